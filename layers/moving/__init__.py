"""Images from any place to any other, each place behind the same five methods."""
