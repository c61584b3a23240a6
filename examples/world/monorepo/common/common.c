#define TEXT(word) #word
#define QUOTED(word) TEXT(word)

const char *about(void) {
    return QUOTED(EDITION) " edition, common " STAMP;
}
