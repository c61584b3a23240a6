void backwards(char *word);
