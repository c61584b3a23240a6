# escape=`
# JSON with blanks, comments between continued lines, odd spacing, lower case.
from busybox
copy ["name with blanks", "dir/other", "/json dir/"]
run   echo   "spaces   kept"  `
# a comment in between
   '#not a comment' > /spaces
env   K1=v1 `
      K2="v 2"
RUN echo "it's \"quoted\" \\ and \$HOME" > /quotes
RUN echo a `

    b > /blank-line
label a=b	c=d
