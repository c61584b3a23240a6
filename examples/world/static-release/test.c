#include "sum.h"

int main(void) {
    char *words[] = {"1", "2", "-3"};
    return sum(3, words) != 0 || sum(0, words) != 0;
}
