const char *about(void);
