"""What BuildKit's checks say of many small Dockerfiles, kept as data."""
