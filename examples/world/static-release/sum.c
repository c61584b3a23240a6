#include "sum.h"

#include <stdlib.h>

long sum(int count, char **words) {
    long total = 0;
    while (count-- > 0)
        total += strtol(words[count], NULL, 10);
    return total;
}
