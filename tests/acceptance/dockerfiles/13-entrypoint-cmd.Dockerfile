# Forms of ENTRYPOINT and CMD, another SHELL, and what inheriting does to CMD.
FROM busybox AS one
CMD ["inherited"]
FROM one AS two
SHELL ["/bin/sh", "-exc"]
ENTRYPOINT echo "shell form" $HOME
FROM two AS three
CMD now set
RUN echo "with -x" > /shell
FROM three
ENTRYPOINT ["/bin/echo", "exec form"]
