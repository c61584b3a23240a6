#include "words.h"

#include <string.h>

void backwards(char *word) {
    for (char *end = word + strlen(word); word < --end; word++) {
        char kept = *word;
        *word = *end;
        *end = kept;
    }
}
