#include <stdio.h>

#include "common.h"

int main(int argc, char **argv) {
    if (argc > 1)
        return printf("%s: %s\n", argv[1], about()) < 0;
    return puts("client") < 0;
}
