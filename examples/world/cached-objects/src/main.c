#include <stdio.h>

#include "words.h"

int main(int argc, char **argv) {
    if (argc < 2) {
        puts("usage: backwards WORD");
        return 3;
    }
    backwards(argv[1]);
    puts(argv[1]);
    return 0;
}
