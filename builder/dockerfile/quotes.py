"""Taking the quotes off a word in which nothing is expanded: a flag, the name of a here-document."""

import re

_QUOTED = r"""\\(.?)|(["'])((?:\\.|(?!\2)[^\\])*)\2?"""


def unquote(text: str) -> str:
    """`text` without its quotes and backslashes; a backslash makes the next character plain."""
    if '"' not in text and "'" not in text and "\\" not in text:
        return text

    def bare(found: re.Match[str]) -> str:
        return found[1] if found[2] is None else re.sub(r"\\(.?)", r"\1", found[3], flags=re.DOTALL)

    return re.sub(_QUOTED, bare, text, flags=re.DOTALL)
