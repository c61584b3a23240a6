# Patterns: star, question mark, classes; a matched directory gives its contents.
FROM busybox
COPY *.txt /star/
COPY fil?.txt /question/
COPY [a-f]*.txt /class/
COPY d*/ /dirs/
COPY dir/*/deep.txt /nested/
COPY di?/sub/* /below/
