#include <stdio.h>

#include "common.h"

int main(void) {
    return printf("server: %s\n", about()) < 0;
}
