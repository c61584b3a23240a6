"""Values: dataclasses that cost little to declare, and nothing until they are used.

To the type checker these names are those of `dataclasses`, and it proves that nobody changes what is frozen. At run
time they are ours, and know just what is used here. The library's writes and compiles the methods of each class when
it is declared, 0.3 ms every time, which each start of the command would pay for all of them, after 5 ms for
`dataclasses` and all that imports. Here a class takes 0.02 ms, and its methods are compiled when they are first called,
`__init__` when there have been a few values. What is frozen can be hashed and is trusted to stay as it is: to enforce
that makes values four times as slow to make.

This stands on nothing, so `runner`, which knows nothing else of `layers`, may use it as well.
"""

from __future__ import annotations

__all__ = ["MISSING", "NamedTuple", "StrEnum", "asdict", "dataclass", "field", "fields", "is_dataclass", "replace"]

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
    from enum import StrEnum
    from typing import Any, NamedTuple
else:
    MISSING = type("MISSING", (), {"__repr__": lambda self: "MISSING"})()

FEW = 24
"""Values of a class before its `__init__` is compiled, which takes as long as making two dozen without."""
COMPARISONS = {"__eq__": "==", "__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}


class Field:
    """One field of a class: its name, and what `field` was told of it."""

    name = ""
    default: Any = MISSING
    default_factory: Any = MISSING
    init = repr = compare = True
    hash: bool | None = None
    """Whether it counts for the hash of the value; None: if it is compared."""
    kw_only = False

    def __init__(self, **told: Any) -> None:
        self.__dict__ = told


def _declare(
    kind: type,
    /,
    *,
    eq: bool = True,
    order: bool = False,
    frozen: bool = False,
    slots: bool = False,
    kw_only: bool = False,
) -> type:
    """The class, with all methods of a dataclass that it has not written itself."""
    told = kind.__dict__
    every: dict[str, Field] = {}
    for base in reversed(kind.__mro__[1:]):
        every |= base.__dict__.get("__fields__", {})
    own = [name for name, hint in told.get("__annotations__", {}).items() if "ClassVar" not in str(hint)]
    for name in own:
        value = told.get(name, MISSING)
        every[name] = one = value if type(value) is Field else Field(default=value)
        one.name, one.kw_only = name, one.kw_only or kw_only

    few = FEW
    positions = tuple(one.name for one in every.values() if one.init and not one.kw_only)

    def __init__(self: Any, /, *words: Any, **named: Any) -> None:
        nonlocal few
        few -= 1
        if few < 0 or not _filled(self, every, positions, words, named):
            compiled = _compiled(kind, "__init__")
            setattr(kind, compiled.__name__, compiled)
            compiled(self, *words, **named)

    def later(name: str) -> Callable[..., Any]:
        """What compiles the method when it is first called, and gives its place to that."""

        def method(self: Any, /, *words: Any, **named: Any) -> Any:
            compiled = _compiled(kind, name)
            setattr(kind, name, compiled)
            return compiled(self, *words, **named)

        return method

    made: dict[str, Any] = {"__fields__": every, "__match_args__": positions, "__init__": __init__, "__repr__": _repr}
    if eq:
        made["__eq__"] = later("__eq__")
    if order:
        made |= {name: later(name) for name in COMPARISONS if name != "__eq__"}
    made = {name: value for name, value in made.items() if name not in told}
    if told.get("__hash__") is None:
        if frozen:
            made["__hash__"] = later("__hash__")
        elif "__eq__" in made:
            made["__hash__"] = None
    if slots:
        inherited = {name for base in kind.__mro__[1:] for name in base.__dict__.get("__slots__", ())}
        made["__slots__"] = tuple(name for name in own if name not in inherited)
        gone = {*own, "__dict__", "__weakref__"}
        kept = {name: value for name, value in told.items() if name not in gone}
        kind = type(kind)(kind.__name__, kind.__bases__, kept | made)
        return kind
    for name in own:
        if type(told.get(name)) is Field:
            made[name] = every[name].default
    for name, value in made.items():
        if value is MISSING:
            delattr(kind, name)
        else:
            setattr(kind, name, value)
    return kind


def _repr(self: Any) -> str:
    shown = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in self.__fields__.values() if one.repr)
    return f"{self.__class__.__qualname__}({shown})"


def _filled(
    self: Any, every: dict[str, Field], positions: tuple[str, ...], words: tuple[Any, ...], named: dict[str, Any]
) -> bool:
    """Do what `__init__` does, slowly but at once; False if the arguments do not fit: the compiled one says why."""
    given = dict(zip(positions, words, strict=False)) | named
    if len(given) < len(words) + len(named):
        return False
    for name, one in every.items():
        if one.init and name in given:
            value = given.pop(name)
        elif one.default_factory is not MISSING:
            value = one.default_factory()
        elif one.default is not MISSING:
            value = one.default
        elif one.init:
            return False
        else:
            continue
        setattr(self, name, value)
    if given:
        return False
    if hasattr(self, "__post_init__"):
        self.__post_init__()
    return True


def _compiled(kind: type, name: str) -> Callable[..., Any]:
    """A method of this class, written from its fields."""
    every: list[Field] = [*kind.__dict__["__fields__"].values()]
    known: dict[str, Any] = {"MISSING": MISSING}
    if name == "__init__":
        source = _initialiser(every, known, also=hasattr(kind, "__post_init__"))
    elif name == "__hash__":
        counted = (one.name for one in every if (one.compare if one.hash is None else one.hash))
        source = f"(self): return hash(({''.join(f'self.{name},' for name in counted)}))"
    else:
        ours, theirs = ("".join(f"{who}.{one.name}," for one in every if one.compare) for who in ("self", "other"))
        verdict = f"({ours}) {COMPARISONS[name]} ({theirs})"
        source = f"(self, other): return {verdict} if other.__class__ is self.__class__ else NotImplemented"
    exec(f"def {name}{source}", known)
    method: Callable[..., Any] = known[name]
    method.__qualname__ = f"{kind.__qualname__}.{name}"
    return method


def _initialiser(every: list[Field], known: dict[str, Any], *, also: bool) -> str:
    """The source of `__init__`; the defaults are added to what it knows."""
    takes: tuple[list[str], list[str]] = ["self"], ["*"]
    does = ["self.__post_init__()"] if also else ["pass"]
    for one in every:
        name, usual = one.name, f"_usual_{one.name}"
        made = one.default_factory is not MISSING
        known[usual] = one.default_factory if made else one.default
        if one.init:
            default = "" if known[usual] is MISSING else " = MISSING" if made else f" = {usual}"
            takes[one.kw_only].append(name + default)
            does.insert(-1, f"self.{name} = " + (f"{usual}() if {name} is MISSING else {name}" if made else name))
        elif known[usual] is not MISSING:
            does.insert(-1, f"self.{name} = {usual}" + "()" * made)
    words = ", ".join(takes[0] + takes[1] * (len(takes[1]) > 1))
    return f"({words}):\n " + "\n ".join(does)


if not TYPE_CHECKING:
    field = Field

    class Named(type):
        """Of `NamedTuple`: what is declared below it is a tuple whose places have names."""

        def __new__(cls, name: str, bases: tuple[type, ...], told: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, told)
            from collections import namedtuple

            places = told["__annotations__"]
            usual = [told[place] for place in places if place in told]
            made = namedtuple(name, places, defaults=usual, module=told["__module__"])
            own = {key: value for key, value in told.items() if key not in places and key != "__qualname__"}
            for key, value in own.items():
                setattr(made, key, value)
            return made

    class NamedTuple(metaclass=Named):
        """As `typing.NamedTuple`."""

    class Many(type):
        """Of `StrEnum`: a class below is all its values, in order."""

        def __iter__(cls) -> Any:
            return iter(cls.__members__.values())

        def __len__(cls) -> int:
            return len(cls.__members__)

    class StrEnum(str, metaclass=Many):
        """As `enum.StrEnum`: texts that are declared in a class below, one value each."""

        __slots__ = ()

        def __init_subclass__(cls) -> None:
            cls.__members__ = {}
            for name, text in [*vars(cls).items()]:
                if type(text) is str and not name.startswith("__"):
                    cls.__members__[text] = member = str.__new__(cls, text)
                    setattr(cls, name, member)

        def __new__(cls, text: str) -> StrEnum:
            if text not in cls.__members__:
                raise ValueError(f"{text!r} is not a valid {cls.__qualname__}")
            return cls.__members__[text]

        @property
        def value(self) -> str:
            return str(self)

    def dataclass(kind: type | None = None, /, **options: bool) -> Any:
        """As `dataclasses.dataclass`; the options are `_declare`'s."""
        return _declare(kind, **options) if kind else lambda kind: _declare(kind, **options)

    def fields(of: Any) -> tuple[Field, ...]:
        """The fields of a class, or of a value."""
        return tuple(of.__fields__.values())

    def is_dataclass(it: object) -> bool:
        """Whether this is a value or a class of values."""
        return hasattr(it, "__fields__")

    def replace(value: Any, /, **changes: Any) -> Any:
        """The same value with these fields changed."""
        for name, one in value.__fields__.items():
            if name not in changes and one.init:
                changes[name] = getattr(value, name)
        return value.__class__(**changes)

    def asdict(value: Any) -> dict[str, Any]:
        """The fields of a value by name, and so those of the values within."""
        return {name: _plain(getattr(value, name)) for name in value.__fields__}

    def _plain(it: Any) -> Any:
        match it:
            case dict():
                return {key: _plain(value) for key, value in it.items()}
            case list() | tuple():
                within = map(_plain, it)
                return type(it)(*within) if hasattr(it, "_fields") else type(it)(within)
        return asdict(it) if is_dataclass(it) else it
