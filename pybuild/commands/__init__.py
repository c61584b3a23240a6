"""One file a command. A command parses, calls a lower floor and prints; what it uses it imports when it runs."""
