package Counts;
use strict;
use warnings;

sub of {
    my %counts;
    for (@_) { $counts{$1}++ if m{"GET (\S+) HTTP} }
    return map { "$counts{$_} $_" } sort { $counts{$b} <=> $counts{$a} || $a cmp $b } keys %counts;
}

1;
