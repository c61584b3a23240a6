# Where a file lands: a missing name, a directory with and without slash, an existing directory, a deep missing path.
FROM busybox
RUN mkdir -m 0700 /existing && mkdir /existing/inner
COPY file.txt /as-name
COPY file.txt /new-dir/
COPY file.txt /existing
COPY file.txt /existing/inner/renamed
COPY file.txt script.sh /several/
COPY file.txt /a/b/c/d
COPY ./dir/../file.txt /cleaned
COPY /file.txt /rooted
