"""What other people's trees ask of whoever walks, writes and removes them."""
