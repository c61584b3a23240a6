"""Images as OCI runtime bundles, and bundles as images."""
