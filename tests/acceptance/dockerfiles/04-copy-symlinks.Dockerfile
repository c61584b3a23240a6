# Links in the source, links in the destination, and a destination that points outside.
FROM busybox
RUN mkdir /target && ln -s target /link-to-dir && ln -s /nowhere/at/all /dangling && ln -s ../../../../../.. /climb
COPY links/to-file /followed
COPY links /kept
COPY file.txt /link-to-dir/
COPY dir /link-to-dir/sub
COPY file.txt /dangling/
COPY file.txt /climb/stayed
