/* The smallest subject: linked statically, it makes hardly a call but its end. */
int main(void) {
    return 0;
}
