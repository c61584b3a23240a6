"""Functions of the C library: the few types of `ctypes` that we use, without the thirty that it declares (0.6 ms).

This stands on nothing, so `runner` may use it as well.
"""

from __future__ import annotations

import _ctypes as ctypes
from _ctypes import Array, addressof, get_errno

__all__ = ["Array", "addressof", "c_char", "c_int", "c_long", "function", "get_errno", "text"]

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable
    from ctypes import c_char, c_int, c_long
else:

    class c_char(ctypes._SimpleCData):
        """char"""

        _type_ = "c"

    class c_int(ctypes._SimpleCData):
        """int"""

        _type_ = "i"

    class c_long(ctypes._SimpleCData):
        """long, as wide as a register."""

        _type_ = "l"


class _Function(ctypes.CFuncPtr):
    """A function that gives a long; other threads of Python run meanwhile."""

    _flags_ = ctypes.FUNCFLAG_CDECL | ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = c_long


class _Locked(ctypes.CFuncPtr):
    """The same, and no thread of Python runs meanwhile."""

    _flags_ = _Function._flags_ | ctypes.FUNCFLAG_PYTHONAPI
    _restype_ = c_long


def function(name: str, *, locked: bool = False) -> Callable[..., int]:
    """A function of the C library, by its name; numbers are given as `c_long`. Raises OSError if there is none.

    `locked`: the interpreter's lock is kept while it runs.
    """
    everything = ctypes.dlopen(None, 0)  # type: ignore[arg-type]
    return (_Locked if locked else _Function)(ctypes.dlsym(everything, name))


def text(content: bytes | int) -> Array[c_char]:
    """Memory of our own that holds these bytes, or as many zeros."""
    made: Array[c_char] = (c_char * (content if isinstance(content, int) else len(content)))()
    if isinstance(content, bytes):
        made.raw = content
    return made
