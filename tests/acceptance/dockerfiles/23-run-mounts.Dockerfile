# RUN --mount: what commands see, what is left of it in the layers (nothing), where links and relative targets lead.
FROM busybox AS tool
RUN mkdir -p /t/sub && echo tool > /t/x && chmod 0640 /t/x && chown 3:4 /t/x && ln -s /t /link && ln -s /etc/passwd /t/out
FROM busybox
RUN mkdir -p /seen /there/inner && ln -s /there /door && echo own > /there/own
WORKDIR /work
ARG PLACE=here
RUN --mount=target=/ctx find /ctx -mindepth 1 -exec stat -c '%n %a %u:%g %F' {} \; | sort > /seen/context
RUN --mount=target=. ls > /seen/here
RUN --mount=target=/ctx stat -c '%a %u:%g %F' /ctx > /seen/root
RUN --mount=source=dir/sub,target=$PLACE --mount=source=file.txt,target=/etc/file.txt ls -R /work /etc/file.txt > /seen/files
RUN --mount=source=links/to-dir,target=/d --mount=source=links/to-file,target=/f ls /d > /seen/links && cat /f >> /seen/links
RUN --mount=from=tool,source=/link,target=/door/inner stat -c '%n %a %u:%g %F' /there/inner/* > /seen/stage
RUN --mount=from=tool,source=/t,target=/t,rw echo more >> /t/x && rm -r /t/sub && ls /t > /seen/rw
RUN --mount=from=tool,source=/t,target=/t (echo more >> /t/x) 2> /dev/null || cat /t/x > /seen/ro
RUN --mount=type=tmpfs,target=/there ls -a /there > /seen/tmpfs && echo lost > /there/lost
RUN --mount=type=cache,target=/root/.cache,sharing=locked,mode=0711,uid=5,gid=6 stat -c '%a %u:%g' /root/.cache > /seen/cache && echo lost > /root/.cache/x
RUN --mount=type=cache,target=pip,from=tool,source=/t ls -ln pip | awk '{print $1, $3, $4, $9}' > /seen/filled
RUN --mount=type=secret,id=none --mount=type=secret,id=other,env=OTHER ls -d /run/secrets > /seen/secret 2>&1; env | grep OTHER >> /seen/secret
RUN --mount=type=ssh echo $SSH_AUTH_SOCK > /seen/ssh; ls /run/buildkit 2>&1 | sed 's/^ls: //' >> /seen/ssh
RUN --mount=type=cache,target=/new/deep/cache true
RUN --mount=type=tmpfs,target=/there/inner rm -rf /there 2> /dev/null; find /there > /seen/removed
RUN --network=none ls /sys/class/net > /seen/network
