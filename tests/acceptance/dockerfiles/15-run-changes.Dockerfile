# What a RUN removes, replaces and renames.
FROM busybox
COPY dir /tree
RUN mkdir -p /gone/below /opaque/a /swap-dir /type && touch /gone/below/file /opaque/a/one /opaque/two /swap-file /type/file && \
    mkdir /type/dir && ln -s file /type/link
RUN rm -r /gone
RUN rm -r /opaque && mkdir /opaque && touch /opaque/three
RUN mv /tree /moved && mv /moved/sub /moved/renamed
RUN rm -r /type/dir /type/file /type/link && touch /type/dir && mkdir /type/file && mkfifo /type/link
RUN rm /bin/vi && rm -r /home && chmod 0700 /var
RUN true
RUN touch /last && rm /last
