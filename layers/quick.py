"""Values: dataclasses that cost little to declare, and nothing until they are used.

To the type checker these names are those of `dataclasses`, and it proves that nobody changes what is frozen. At run
time they are ours, and know just what is used here. The library's writes and compiles the methods of each class when
it is declared, 0.3 ms every time, which each start of the command would pay for all of them, after 5 ms for
`dataclasses` and all that imports. Here a class takes 0.01 ms: its fields are looked at when they are asked for, its
methods compiled when they were called a few times. What is frozen can be hashed and is trusted to stay as it is: to
enforce that makes values four times as slow to make. With `slots` a class is made twice: that is for those of which
there are thousands of values.

This stands on nothing, so `runner`, which knows nothing else of `layers`, may use it as well.
"""

from __future__ import annotations

__all__ = ["MISSING", "StrEnum", "asdict", "dataclass", "field", "fields", "is_dataclass", "replace"]

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
    from enum import StrEnum
    from typing import Any
else:
    MISSING = type("MISSING", (), {"__repr__": lambda self: "MISSING"})()

FEW = 24
"""Calls of a method before it is compiled, which takes as long as two dozen without."""
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


class Plan:
    """What a class declares. In the class it stands for its fields, which are made when somebody asks for them.

    `names` are those of the fields that are given, `places` those that are given by place; others are as `usual`, or
    made by one of `makers`. So a value has `count` of them, all in its `__dict__` if that is `open`.
    """

    fields: dict[str, Field] | None = None
    places: tuple[str, ...] | None = None
    """None until there is a value, and nothing of that is known then."""
    names: set[str]
    usual: dict[str, Any]
    makers: dict[str, Callable[[], Any]]
    count: int
    open: bool
    further: bool
    """Whether it does something itself when it is made."""

    def __init__(self, kind: type, own: dict[str, Any], *, kw_only: bool) -> None:
        self.kind, self.own, self.kw_only = kind, own, kw_only

    def __get__(self, value: object, owner: type) -> dict[str, Field]:
        if self.fields is None:
            every: dict[str, Field] = {}
            for name, (said, kw_only) in self.declared().items():
                every[name] = one = said if type(said) is Field else Field(default=said)
                one.name, one.kw_only = name, one.kw_only or kw_only
            self.fields = every
        return self.fields

    def declared(self) -> dict[str, tuple[Any, bool]]:
        """What is said of the fields, those of the bases first, and whether they are given by name only."""
        found: dict[str, tuple[Any, bool]] = {}
        for base in reversed(self.kind.__mro__[1:]):
            if (plan := base.__dict__.get("__fields__")) is not None:
                found |= plan.declared()
        for name, value in self.own.items():
            found[name] = value, self.kw_only
        return found

    def by_place(self) -> tuple[str, ...]:
        """Names of the fields that are given by place."""
        if self.places is None:
            names: set[str] = set()
            usual: dict[str, Any] = {}
            makers: dict[str, Callable[[], Any]] = {}
            places: list[str] = []
            for name, (value, kw_only) in self.declared().items():
                given = True
                if type(value) is Field:
                    given, kw_only = value.init, kw_only or value.kw_only
                    if value.default_factory is not MISSING:
                        makers[name] = value.default_factory
                    value = value.default
                if value is not MISSING:
                    usual[name] = value
                if given:
                    names.add(name)
                    if not kw_only:
                        places.append(name)
            self.names, self.usual, self.makers = names, usual, makers
            self.count = len(names | usual.keys() | makers.keys())
            self.open = not any(base.__dict__.get("__slots__") for base in self.kind.__mro__)
            self.further = hasattr(self.kind, "__post_init__")
            self.places = tuple(places)
        return self.places

    def fill(self, it: Any, words: tuple[Any, ...], named: dict[str, Any]) -> bool:
        """Do what `__init__` does, slowly but at once; False if the arguments do not fit: the compiled one says why."""
        given = {**dict(zip(self.places or self.by_place(), words, strict=False)), **named}
        if len(given) < len(words) + len(named) or not given.keys() <= self.names:
            return False
        every = self.usual | given
        for name, make in self.makers.items():
            if name not in given:
                every[name] = make()
        if len(every) < self.count:
            return False
        if self.open:
            it.__dict__.update(every)
        else:
            for name, value in every.items():
                setattr(it, name, value)
        if self.further:
            it.__post_init__()
        return True


class Places:
    """Stands in a class for the names of fields by place, as a pattern takes them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __get__(self, value: object, owner: type) -> tuple[str, ...]:
        return self.plan.by_place()


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
    hints = told.get("__annotations__", {}).items()
    own = {name: told.get(name, MISSING) for name, hint in hints if "ClassVar" not in str(hint)}
    plan, few = Plan(kind, own, kw_only=kw_only), FEW

    def __init__(self: Any, /, *words: Any, **named: Any) -> None:
        nonlocal few
        few -= 1
        if few < 0 or not plan.fill(self, words, named):
            compiled = _compiled(plan.kind, "__init__")
            setattr(plan.kind, compiled.__name__, compiled)
            compiled(self, *words, **named)

    def later(name: str) -> Callable[..., Any]:
        """What gives its place to the method, compiled, when it was called a few times."""
        left = FEW

        def method(self: Any, /, *words: Any) -> Any:
            nonlocal left
            left -= 1
            if left >= 0 and name in SLOWLY:
                return SLOWLY[name](plan.kind, self, *words)
            compiled = _compiled(plan.kind, name)
            setattr(plan.kind, name, compiled)
            return compiled(self, *words)

        return method

    made: dict[str, Any] = {"__fields__": plan, "__match_args__": Places(plan), "__init__": __init__, "__repr__": _repr}
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
        plan.kind = type(kind)(kind.__name__, kind.__bases__, kept | made)
        return plan.kind
    for name, one in own.items():
        if type(one) is Field:
            made[name] = one.default
    for name, value in made.items():
        if value is MISSING:
            delattr(kind, name)
        else:
            setattr(kind, name, value)
    return kind


def _repr(self: Any) -> str:
    shown = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in self.__fields__.values() if one.repr)
    return f"{self.__class__.__qualname__}({shown})"


def _hash(kind: Any, it: Any) -> int:
    counted = (one.name for one in kind.__fields__.values() if (one.compare if one.hash is None else one.hash))
    return hash(tuple([getattr(it, name) for name in counted]))


def _equal(kind: Any, it: Any, other: Any) -> Any:
    if other.__class__ is not it.__class__:
        return NotImplemented
    compared = [one.name for one in kind.__fields__.values() if one.compare]
    return [getattr(it, name) for name in compared] == [getattr(other, name) for name in compared]


SLOWLY: dict[str, Callable[..., Any]] = {"__hash__": _hash, "__eq__": _equal}
"""Methods that are not compiled for a few values."""


def _compiled(kind: type, name: str) -> Callable[..., Any]:
    """A method of this class, written from its fields."""
    every: list[Field] = [*kind.__fields__.values()]  # type: ignore[attr-defined]
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
