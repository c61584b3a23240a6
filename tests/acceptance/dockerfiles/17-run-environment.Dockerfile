# What a RUN sees of its own process.
FROM busybox
ENV GREETING=hello
ARG BUILD=argument
WORKDIR /work
RUN env | grep -v ^HOSTNAME= | sort > env-root; id > id-root; umask > umask; pwd > pwd; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status > status
USER www-data
RUN env | grep -v ^HOSTNAME= | sort > /tmp/env-user; id > /tmp/id-user; grep -E '^Cap' /proc/self/status > /tmp/status-user
USER 4242
RUN env | grep -v ^HOSTNAME= | sort > /tmp/env-number; id > /tmp/id-number
USER 4242:33
RUN id > /tmp/id-both
USER root
RUN ["/bin/sh", "-c", "echo $0 $# > /exec-form", "zero", "one"]
