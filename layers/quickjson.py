"""JSON as the library's `json` reads and writes it, without what that loads: `re` and `enum`, 3 ms of each start.

The halves of the library in C do the work, here as there. What they do not take is left to `json`, which says why.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Pairs = Callable[[list[tuple[str, Any]]], Any]

BLANKS = " \t\n\r"


class _Manner:
    """How a text is to be read: what the scanner asks its decoder for."""

    strict = True
    object_hook = None
    parse_float = float
    parse_int = int

    def __init__(self, pairs: Pairs | None, constant: Callable[[str], Any]) -> None:
        self.object_pairs_hook, self.parse_constant = pairs, constant


def loads(
    text: str | bytes, *, object_pairs_hook: Pairs | None = None, parse_constant: Callable[[str], Any] = float
) -> Any:
    """As `json.loads`. Raises ValueError, RecursionError."""
    said = text
    if isinstance(said, bytes) and said[:4].isascii() and 0 not in said[:4]:  # else it may be UTF-16 or UTF-32
        said = said.decode("utf-8", "surrogatepass")
    if isinstance(said, str):
        try:
            value, end = make_scanner(_Manner(object_pairs_hook, parse_constant))(said, 0)  # type: ignore[arg-type]
        except StopIteration:  # it begins with no value, perhaps with blanks
            pass
        else:
            if not said[end:].strip(BLANKS):
                return value
    import json

    return json.loads(text, object_pairs_hook=object_pairs_hook, parse_constant=parse_constant)


def dumps(value: object, *, separators: tuple[str, str] = (", ", ": "), ensure_ascii: bool = True) -> str:
    """As `json.dumps`. Raises TypeError, ValueError, RecursionError."""
    between, after = separators
    texts = encode_basestring_ascii if ensure_ascii else encode_basestring
    encode = make_encoder({}, _unknown, texts, None, after, between, False, False, True)
    return "".join(encode(value, 0))


def _unknown(value: object) -> object:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
