"""The keys that leave a terminal without ending what runs in it: ctrl-p ctrl-q, or others (docker's --detach-keys)."""

from __future__ import annotations

DETACH_KEYS = b"\x10\x11"
"""ctrl-p, ctrl-q."""
NAMED = {"DEL": 127, "ctrl-@": 0, "ctrl-[": 27, "ctrl-\\": 28, "ctrl-]": 29, "ctrl-^": 30, "ctrl-_": 31}


def parse(text: str) -> bytes:
    """From `ctrl-p,ctrl-q` or `a,b`. Raises ValueError."""
    found = bytearray()
    for word in text.split(","):
        low = word.lower()
        if len(word) == 1 and word.isascii():
            found.append(ord(word))
        elif len(low) == 6 and low.startswith("ctrl-") and "a" <= low[5] <= "z":
            found.append(ord(low[5]) - 96)
        elif word in NAMED or low in NAMED:
            found.append(NAMED.get(word, NAMED.get(low, 0)))
        else:
            raise ValueError(f"{word!r} is no key; write a letter, ctrl- and a letter or one of @[\\]^_, or DEL")
    return bytes(found)


class Keys:
    """Looks for a sequence in what is typed; its beginning is held back until it is known that the rest differs."""

    def __init__(self, sequence: bytes) -> None:
        self.sequence = sequence
        self.held = b""
        self.complete = False

    def pass_on(self, data: bytes) -> tuple[bytes, bool]:
        """(what the command gets of some more bytes, whether the sequence is complete)."""
        if not self.sequence:
            return data, False
        out = bytearray()
        for number in data:
            typed = self.held + bytes([number])
            while typed and not self.sequence.startswith(typed):
                out.append(typed[0])
                typed = typed[1:]
            if typed == self.sequence:
                self.complete = True
                return bytes(out), True
            self.held = typed
        return bytes(out), False
