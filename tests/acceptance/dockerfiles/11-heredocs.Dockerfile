# Heredocs of RUN and COPY.
FROM busybox
ARG WHO=world
RUN <<SCRIPT
echo "$WHO" > /from-script
false
echo "still here" >> /from-script
SCRIPT
RUN cat <<ONE > /one && cat <<TWO > /two
first $WHO
ONE
second
TWO
RUN <<'PROGRAM'
#!/bin/awk -f
BEGIN { print "from awk" > "/from-awk" }
PROGRAM
COPY <<plain <<'quoted' <<-tabs /files/
expanded $WHO \$WHO "$WHO" '$WHO'
plain
kept $WHO \$WHO
quoted
	no tab
	tabs
COPY --chmod=0700 --chown=5:6 <<END /single
content
END
COPY <<a file.txt /with-file/
content of a
a
