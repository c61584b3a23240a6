long sum(int count, char **words);
