# Relative and absolute, with variables, under another user, over a link.
FROM busybox
WORKDIR one
WORKDIR two/three
RUN pwd > here
ENV PLACE=/srv/place
WORKDIR ${PLACE}/below
USER 1000:100
WORKDIR /home/made/by/user
RUN id -u > mine
USER root
RUN ln -s /srv/place /shortcut
WORKDIR /shortcut/through
COPY file.txt .
COPY file.txt sub/
WORKDIR /last/../final/
