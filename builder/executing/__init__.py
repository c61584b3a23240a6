"""Runs the graph: every step as soon as what it needs is there, what is known from the cache at once."""
