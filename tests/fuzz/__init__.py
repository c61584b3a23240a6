"""Bytes nobody would write, through everything between them and the steps of a build."""
