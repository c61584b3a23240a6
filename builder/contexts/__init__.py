"""The files that a build reads: directories without what is ignored, looked at in columns, and other places of files.

A `context` is asked for what is at a path; `listing` and `batch` have many files at once, `ahead` looks at them in two
processes, `hashing` reads them, unless `statcache` vouches for them. `ignore` knows the patterns of .dockerignore,
`sending` what they leave of a directory. `contexts` finds which directory, archive, repository or URL is meant.
"""
