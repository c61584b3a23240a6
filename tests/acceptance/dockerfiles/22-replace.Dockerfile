# The same path written several times by different instructions.
FROM busybox
COPY file.txt /x
COPY script.sh /x
COPY dir /d
COPY modes /d
COPY --chown=1:1 file.txt /d/new/file
COPY --chown=2:2 file.txt /d/new/other
RUN rm /x
COPY file.txt /x
COPY file.txt /bin/vi
