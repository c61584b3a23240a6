"""File systems to look at, wherever their bytes lie: what is there, what differs, who made it, what nobody sees."""
