"""What OCI specifications speak of, as values: digests, references, platforms, documents.

Nothing here touches a disk.
"""
