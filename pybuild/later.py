"""Modules of the standard library that others import and seldom use, loaded when they are used after all.

Half of what click costs to import is `inspect`, `uuid`, `datetime` and `gettext` with all that these bring: 6 ms of
each start, of which a command needs two functions that take a line. `pathlib` brings `re`, and that `enum`: 2 ms.
`functools` and `contextlib` bring `collections` for a tuple that nobody asks for, and a type that is elsewhere: 1 ms.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence
    from operator import attrgetter
    from types import ModuleType
    from typing import Any, TypeVar

    T = TypeVar("T")
else:
    from _collections import deque
    from _operator import attrgetter

    ModuleType = type(sys)


class Name:
    """A class or function of a module that is loaded when this is called, asked for more, or to tell an instance."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def _itself(self) -> Any:
        if isinstance(sys.modules.get(self._module), Later):  # it is wanted as soon as that
            del sys.modules[self._module]
        __import__(self._module)
        return getattr(sys.modules[self._module], self._name)

    def __call__(self, *words: Any, **named: Any) -> Any:
        return self._itself()(*words, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # typing looks whether it is of a special kind
            raise AttributeError(name)
        return getattr(self._itself(), name)

    def __instancecheck__(self, it: object) -> bool:
        return isinstance(it, self._itself())


class Later(ModuleType):
    """Stands in for a module, for those who import it while inside; what it is given goes for names of the module."""

    def __init__(self, module: str, **names: Any) -> None:
        super().__init__(module)
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self.__dict__[name] = Name(self.__name__, name)
        return value

    def __enter__(self) -> None:
        sys.modules.setdefault(self.__name__, self)

    def __exit__(self, *_: object) -> None:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]


def cleandoc(text: str) -> str:
    """`inspect.cleandoc`: a docstring without the margin of the code around it."""
    first, *rest = text.expandtabs().split("\n")
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    return "\n".join([first.lstrip(), *(line[margin:] for line in rest)]).strip("\n")


def plural(one: str, many: str, count: int) -> str:
    """`gettext.ngettext` without a catalogue: nobody has translated click's messages, or ours."""
    return one if count == 1 else many


def named(name: str, fields: Sequence[str]) -> Callable[..., object]:
    """`collections.namedtuple` for who will seldom make one: the class is made then."""

    def make(*values: object) -> object:
        return Name("collections", "namedtuple")(name, fields)(*values)

    return make


def plain(_: str = "") -> Callable[[T], T]:
    """`reprlib.recursive_repr` for the only class of `functools` that has it, and is replaced by one of C at once."""
    return lambda function: function


SPARED: dict[str, dict[str, dict[str, Any]]] = {
    "functools": {"collections": {"namedtuple": named}, "reprlib": {"recursive_repr": plain}},
    "contextlib": {"collections": {"deque": deque}},
    "pathlib": {"urllib.parse": {}, "operator": {"attrgetter": attrgetter}},
    "click": {
        "urllib.parse": {},
        "datetime": {},
        "uuid": {},
        "inspect": {"cleandoc": cleandoc},
        "gettext": {"gettext": str, "ngettext": plural},
    },
}
"""What modules are imported without, and names that stand in for those of theirs."""
FIRST = ("functools", "contextlib", "pathlib")
"""Those of them that every command needs, in the order in which they need each other."""
if sys.version_info < (3, 12):  # later ones want more of these than functions
    SPARED["pathlib"] |= {"fnmatch": {}, "ntpath": {}, "warnings": {}, "re": {"IGNORECASE": 2}}


def lean(module: str) -> None:
    """Import a module of SPARED without what it imports and does not need."""
    absent = [Later(name, **names) for name, names in SPARED[module].items()]
    for one in absent:
        one.__enter__()
    try:
        __import__(module)
    finally:
        for one in absent:
            one.__exit__()
