"""Taking the quotes off a word in which nothing is expanded: a flag, the name of a here-document."""

import re

_QUOTED = re.compile(r"""\\(.?)|(["'])((?:\\.|(?!\2)[^\\])*)\2?""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)


def unquote(text: str) -> str:
    """`text` without its quotes and backslashes; a backslash makes the next character plain."""
    if '"' not in text and "'" not in text and "\\" not in text:
        return text
    return _QUOTED.sub(lambda found: found[1] if found[2] is None else _ESCAPED.sub(r"\1", found[3]), text)
