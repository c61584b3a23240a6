# The contents of a directory, not the directory; what happens to modes of directories that were there before.
FROM busybox
RUN mkdir -p /old/sub /other && chmod 0711 /old && chmod 0700 /old/sub && echo kept > /old/sub/kept && chmod 0600 /old/sub/kept
COPY dir /new
COPY dir/ /new-slash/
COPY dir /old
COPY modes /modes
COPY dir modes /together/
COPY . /everything/
