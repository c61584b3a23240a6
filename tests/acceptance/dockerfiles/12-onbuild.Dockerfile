# Triggers of a base in the same file; they run once, right after FROM.
FROM busybox AS base
ONBUILD ENV TRIGGERED=yes
ONBUILD COPY file.txt /triggered/
ONBUILD RUN echo $TRIGGERED > /triggered/value
ONBUILD LABEL from=trigger
FROM base AS child
RUN test -e /triggered/file.txt && rm /triggered/file.txt
FROM child
RUN ls /triggered > /listing
ONBUILD RUN echo "left for the next"
