"""Files that are not in the context: git repositories, URLs, archives and contexts with names."""

import re

ADDRESS = re.compile(r"[A-Za-z0-9]+://|[\w.\-]+@[\w.\-]+:")
"""How everything begins that may be a URL or a git repository; most sources do not, and cost no more than this look."""
