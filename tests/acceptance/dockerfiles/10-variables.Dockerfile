# Every form of expansion, in the instructions that expand.
FROM busybox
ARG EMPTY=
ARG NAME=value
ENV A=one B=two
ENV C=$A-${B}_$A D="$A $B" E='$A' F=\$A G=a\ b
ENV A=changed OLD=$A
ENV DEFAULT=${NONE:-fallback} DEFAULT2=${EMPTY:-fallback} DEFAULT3=${EMPTY-kept} ALT=${NAME:+given} ALT2=${EMPTY:+given} ALT3=${EMPTY+set}
ENV NESTED=${NONE:-${A:+$B}} PATHLIKE=/usr/local/lib:/usr/lib
ENV CUT1=${PATHLIKE#*/} CUT2=${PATHLIKE##*/} CUT3=${PATHLIKE%/*} CUT4=${PATHLIKE%%/*} SUB1=${PATHLIKE/usr/opt} SUB2=${PATHLIKE//usr/opt}
ENV legacy form with   spaces and $NAME
LABEL made.by=$NAME "quoted key"="a \"quoted\" value" multi="two\
lines"
WORKDIR /$A/${NAME}
COPY file.txt ${NAME}-copy
EXPOSE $EMPTY 80${EMPTY}
USER ${NONE:-1000}
RUN env | grep -v -E '^(PATH|HOME|HOSTNAME|PWD|SHLVL|_)=' | sort > /tmp/environment
