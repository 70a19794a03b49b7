# Served by prefork-interp(1): the daemon that it leaves behind runs all but this text.
use strict;
use Proc::Prefork::Interp;

prefork_initialisation_complete();
print "hello @ARGV\n";
exit 7;
