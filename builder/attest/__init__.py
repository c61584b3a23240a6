"""What is told of an image beside it: how it was built (SLSA) and what is in it (SPDX), in BuildKit's shape.

`provenance` and `spdx` make predicates, `packages` finds what is installed, `statements` puts them into an index and
reads them again.
"""
