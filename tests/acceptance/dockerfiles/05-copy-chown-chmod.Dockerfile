# Owners by number and by name; modes by octal number; parents that the copy makes.
FROM busybox
RUN echo app:x:123:456:app:/app:/bin/sh >> /etc/passwd && echo crew:x:789: >> /etc/group
COPY --chown=1000 file.txt /numbers/one
COPY --chown=1000:2000 dir /numbers/two
COPY --chown=app file.txt /names/one
COPY --chown=app:crew dir /names/two
COPY --chown=app:7 file.txt /names/three
COPY --chown=8:crew file.txt /names/four
COPY --chmod=600 file.txt /modes/one
COPY --chmod=4755 script.sh /modes/two
COPY --chmod=0750 dir /modes/three
COPY --chown=www-data:www-data --chmod=0640 file.txt /both/made/here
