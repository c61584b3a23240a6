"""How lists and objects are shown: docker's tables and the Go templates of its --format."""
