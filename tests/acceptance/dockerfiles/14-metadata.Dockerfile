# Everything that is only configuration.
FROM busybox
MAINTAINER Ada <ada@example.org>
EXPOSE 80 443/tcp 53/udp 9000-9002
VOLUME /data /more/data
VOLUME ["/json volume"]
LABEL one=1 two="2 and more"
LABEL one=changed
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=1m30s --timeout=3s --start-period=500ms --retries=5 CMD test -e /healthy
ENV PATH=/opt/bin:$PATH
USER 12:34
CMD ["sh", "-c", "echo hi"]
