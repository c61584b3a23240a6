# ADD unpacks local archives by their content, whatever they are called, and copies anything else.
FROM busybox
ADD archive.tar.gz /gz/
ADD archive.tar /plain
ADD --chown=3:4 archive.tar.gz /owned/
ADD disguised.txt /disguised/
ADD not-an-archive.tar.gz /copied/
ADD file.txt dir /mixed/
COPY archive.tar /as-it-is/
