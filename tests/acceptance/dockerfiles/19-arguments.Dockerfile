# ARG before and after FROM, progressive defaults, ENV against ARG, the platform's own.
ARG BASE=busybox
ARG GLOBAL=from-above
FROM ${BASE} AS first
ARG GLOBAL
ARG LATER=${GLOBAL}-later
ARG X=1 Y=$X-2
ENV X=from-env
RUN echo "$GLOBAL $LATER $X $Y" > /first
FROM first
ARG Y
ARG GLOBAL=own
ARG TARGETPLATFORM
ARG TARGETARCH
ARG TARGETOS
RUN echo "[$GLOBAL] [$LATER] [$X] [$Y]" > /second && echo "$TARGETPLATFORM $TARGETOS" > /platform
