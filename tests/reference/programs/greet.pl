# A script for prefork-interp, with its library for Perl.
use strict;
use Proc::Prefork::Interp;
prefork_initialisation_complete();
shift @ARGV while @ARGV > 1 && $ARGV[0] ne "say";
print "hello $$ $ARGV[1] $ENV{GIVEN}\n";
exit 7;
