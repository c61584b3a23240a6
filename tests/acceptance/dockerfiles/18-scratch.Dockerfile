# Nothing below, and a program copied by name.
FROM busybox AS tools
FROM scratch
COPY --from=tools /bin/busybox /bin/sh
COPY file.txt /
RUN ["/bin/sh", "-c", "echo ran > /ran"]
ENTRYPOINT ["/bin/sh"]
