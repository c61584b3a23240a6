#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sum.h"

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--sum") == 0)
        printf("%ld\n", sum(argc - 2, argv + 2));
    else
        printf("service %s for %s, user %d\n", VERSION, TARGET, (int)getuid());
    return 0;
}
