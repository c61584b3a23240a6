"""What this machine can and cannot do for us, each thing tried, and the line that would mend it."""
