# Files with something special about them.
FROM busybox
RUN echo shared > /h1 && ln /h1 /h2 && ln /h1 /etc/h3
RUN chmod 4755 /h2
RUN dd if=/dev/zero of=/sparse bs=1 count=1 seek=10000000 2>/dev/null
RUN mknod /null c 1 3 && chmod 666 /null
RUN mkdir /sticky && chmod 1777 /sticky && chown 1:2 /sticky && ln -s "a target with spaces" /sticky/link && chown -h 3:4 /sticky/link
RUN rm /etc/h3 && echo more >> /h1
RUN printf 'x' > "/a name with spaces" && printf 'x' > "/ünïcödé" && printf 'x' > "$(printf '/new\nline')"
RUN d=/long; for i in 1 2 3 4 5 6; do d=$d/0123456789012345678901234567890123456789012345678; mkdir -p $d; done; touch $d/end
