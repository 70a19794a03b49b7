"""A module that no template can hold."""

import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()


def serve():
    pass
