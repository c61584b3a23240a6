use strict;
use warnings;
use Counts;

my @found = Counts::of('"GET /b HTTP/1.1"', '"GET /a HTTP/1.1"', 'POST', '"GET /b HTTP/1.1"');
print "1..1\n", ("@found" eq '2 /b 1 /a' ? 'ok' : 'not ok'), " 1 - most first\n";
