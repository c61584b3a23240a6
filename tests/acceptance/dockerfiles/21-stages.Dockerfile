# Stages by name, by index, unused ones, and one that builds on another.
FROM busybox AS Base
ENV FROM_BASE=1
WORKDIR /base
RUN echo base > file
FROM scratch AS unused
COPY does-not-exist /
FROM base AS left
RUN echo left > left
FROM base AS right
RUN echo right > right
ENV RIGHT=1
FROM left
COPY --from=right /base/right /base/file ./from-right/
COPY --from=3 /base /whole
COPY --from=base --chown=1:1 /base/file /owned/deep/file
