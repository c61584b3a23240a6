# From another stage everything is kept: owners, modes, links, hard links, fifos.
FROM busybox AS source
RUN mkdir -p /out/sub && echo data > /out/file && ln /out/file /out/hard && ln -s file /out/soft && mkfifo /out/fifo && \
    chown -R 5:6 /out && chmod 2775 /out/sub && chmod 4711 /out/file && touch /out/sub/empty && chmod 0 /out/sub/empty
FROM busybox
COPY --from=source /out /all
COPY --from=0 /out/file /single
COPY --from=source --chown=9:9 /out/sub /owned/sub
COPY --from=source out/soft /soft-followed
