# What .dockerignore leaves out: patterns, exceptions, directories.
FROM busybox
COPY . /context/
COPY dir /dir/
