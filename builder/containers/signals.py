"""Signals as people write them."""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the same without enumerations


def number_of(text: str) -> int:
    """A signal by number or name, with or without SIG. Raises ValueError."""
    if text.isdigit() and 1 <= int(text) <= 64:
        return int(text)
    name = f"SIG{text.upper().removeprefix('SIG')}"
    found = None if name.startswith("SIG_") else vars(signal).get(name)
    if found is None:
        raise ValueError(f"{text!r} is no signal")
    return int(found)
