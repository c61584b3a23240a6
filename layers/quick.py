"""Values that are made by the ten thousand, made fast.

A frozen dataclass sets each of its fields through `object.__setattr__`, which costs four times what an assignment does.
What `quick` gives is the same class to the type checker, frozen, but assigns at run time.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, field, fields, make_dataclass
from typing import Any, TypeVar

Value = TypeVar("Value")


def quick(kind: type[Value]) -> type[Value]:
    """A frozen dataclass whose instances are made fast; that nobody changes them is for the type checker to prove."""
    twin = make_dataclass(kind.__name__, [(one.name, one.type, _again(one)) for one in fields(kind)])  # type: ignore[arg-type]
    kind.__init__ = twin.__init__  # type: ignore[misc, method-assign]
    del kind.__setattr__
    del kind.__delattr__
    return kind


def _again(one: Field[Any]) -> Any:
    """The same field, for another class."""
    if one.default_factory is not MISSING:
        return field(default_factory=one.default_factory)
    return field(default=one.default) if one.default is not MISSING else field()
