"""Chains of layers as directories: indexed and mounted, or unpacked; laid over one another, or copied."""
