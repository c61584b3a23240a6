"""Our dataclasses beside the library's: every class of the tree, and what values do."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from layers import quick, quicktuple

TREE = Path(__file__).parents[3]
PACKAGES = ("builder", "layers", "registry", "runner", "pybuild")

DECLARE = """
import dataclasses, importlib, pkgutil, sys
from layers import quick

def field(value):
    return dataclasses.field(**vars(value)) if isinstance(value, quick.Field) else value

def both(kind, /, frozen=False, **options):
    bases = tuple(twins.get(base, base) for base in kind.__bases__)
    body = {name: field(value) for name, value in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    twin = dataclasses.dataclass(unsafe_hash=frozen, **options)(type(kind)(kind.__name__, bases, body))
    ours = declare(kind, frozen=frozen, **options)
    twins[ours] = twin
    return ours

twins = {}
declare, quick._declare = quick._declare, both
for package in sys.argv[1:]:
    for module in pkgutil.walk_packages([package], package + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
from tests.unit.layers.test_quick import compare
for ours, twin in twins.items():
    compare(ours, twin)
print(len(twins))
"""


def test_every_class_is_what_the_library_makes_of_it() -> None:
    """So nothing is lost of what that refuses, either: mutable defaults, fields without one after those with one."""
    done = subprocess.run([sys.executable, "-c", DECLARE, *PACKAGES], cwd=TREE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 250


def test_nobody_imports_the_library() -> None:
    for package in PACKAGES:
        for path in (TREE / package).rglob("*.py"):
            if path != TREE / "layers/quick.py":
                assert not re.search(r"^\s*(import|from) dataclasses", path.read_text(), re.M), path


def compare(ours: type, twin: type) -> None:
    """They have the same fields, the same methods, and the same way to be made."""
    assert [*map(_field, quick.fields(ours))] == [*map(_field, dataclasses.fields(twin))], ours
    assert _methods(ours) == _methods(twin), ours
    assert _parameters(ours) == _parameters(twin), ours


def _field(one: Any) -> tuple[object, ...]:
    told = (one.name, one.init, one.repr, one.hash, one.compare, one.kw_only)
    missing = (dataclasses.MISSING, quick.MISSING)
    return (*told, *(None if value in missing else [value] for value in (one.default, one.default_factory)))


def _methods(kind: type) -> dict[str, object]:
    found = {name: getattr(kind, name) if name in vars(kind) else None for name in ("__match_args__", "__slots__")}
    names = ("init", "repr", "eq", "hash", "lt", "le", "gt", "ge")
    return found | {name: callable(vars(kind).get(f"__{name}__")) for name in names}


def _parameters(kind: type) -> list[tuple[object, ...]]:
    init: Any = vars(kind).get("__init__")
    if init and "<locals>" in init.__qualname__:
        init = quick._compiled(kind, "__init__")
    return [(one.name, one.kind, one.default is one.empty) for one in inspect.signature(init).parameters.values()]


class Pair(NamedTuple):
    left: Any
    right: int


@quick.dataclass(frozen=True, slots=True, order=True)
class Point:
    x: int
    y: int = 0
    note: str = quick.field(default="", compare=False, repr=False)
    COUNT: ClassVar[int] = 2


@quick.dataclass
class Base:
    first: int
    many: list[Any] = quick.field(default_factory=list)
    sum: int = quick.field(init=False, default=1)

    def __post_init__(self) -> None:
        self.sum += self.first


@quick.dataclass(kw_only=True)
class Derived(Base):
    last: Point = Point(1)


def test_values_compare_and_hash_by_their_fields() -> None:
    assert Point(1, 2, "a") == Point(1, note="b", y=2)
    assert hash(Point(1, 2, "a")) == hash(Point(1, 2, "b"))
    assert {Point(1): 1}[Point(1)] == 1
    assert Point(1) != Point(2)
    assert Point(2).__eq__((2, 0)) is not True
    assert Point(1, 9) < Point(2) <= Point(2) < Point(2, 1)
    assert sorted([Point(2), Point(1, 1), Point(1)]) == [Point(1), Point(1, 1), Point(2)]
    with pytest.raises(TypeError):
        assert Point(1) < 2  # type: ignore[operator]
    with pytest.raises(TypeError, match="unhashable"):
        hash(Base(1))


def test_slots_hold_fields_and_nothing_else() -> None:
    with pytest.raises(AttributeError):
        Point(1).other = 1  # type: ignore[attr-defined]
    assert Point.COUNT == Point(1).COUNT == 2


def test_each_value_has_its_own_list() -> None:
    one, two = Base(1), Base(2, [3])
    one.many.append(1)
    assert (one.many, two.many, Base(1).many) == ([1], [3], [])
    assert (one.sum, two.sum) == (2, 3)


def test_the_first_values_are_made_as_the_later_ones() -> None:
    """The first few without compiling anything."""

    @quick.dataclass(kw_only=True)
    class Fresh(Base):
        name: str

        def __post_init__(self) -> None:
            super().__post_init__()
            self.name = self.name.upper()

    made = [Fresh(1, name="a") for _ in range(2 * quick.FEW)]
    assert all(value == made[0] and value.name == "A" and value.sum == 2 for value in made)
    assert len({id(value.many) for value in made}) == len(made)


def test_the_first_comparisons_are_as_the_later_ones() -> None:
    @quick.dataclass
    class Fresh(Base):
        note: str = quick.field(default="", compare=False)

    class Other(Fresh):
        pass

    one, same, others = Fresh(1, note="a"), Fresh(1), [Fresh(2), Other(1), 1]
    for _ in range(2 * quick.FEW):
        assert one == same
        assert one not in others
    assert {hash(Point(1, 2, str(number))) for number in range(2 * quick.FEW)} == {hash((1, 2))}


def test_what_a_class_is_made_of_can_be_asked_before_there_is_a_value() -> None:
    def declared() -> Any:
        @quick.dataclass
        class Fresh(Base):
            name: str = ""
            more: list[str] = quick.field(default_factory=list)

        return Fresh

    assert [one.name for one in quick.fields(declared())] == ["first", "many", "sum", "name", "more"]
    assert declared().__match_args__ == ("first", "many", "name", "more")
    assert (declared().name, hasattr(declared(), "more")) == ("", False)
    assert quick.is_dataclass(declared())
    match declared()(5, name="a"):
        case Base(first, many):
            assert (first, many) == (5, [])


def test_many_threads_may_make_the_first_value() -> None:
    for _ in range(20):

        @quick.dataclass(kw_only=True)
        class Fresh(Base):
            name: str = quick.field(default="a")

        with ThreadPoolExecutor(8) as threads:
            made = [*threads.map(lambda number, kind=Fresh: kind(number, name="b"), range(16))]
        assert [(one.sum, one.name) for one in made] == [(number + 1, "b") for number in range(16)]


def test_a_class_inherits_fields() -> None:
    value = Derived(1, last=Point(3))
    assert repr(value) == "Derived(first=1, many=[], sum=2, last=Point(x=3, y=0))"
    assert value == Derived(1, [], last=Point(3)) != Base(1)
    assert [one.name for one in quick.fields(value)] == ["first", "many", "sum", "last"]


@pytest.mark.parametrize(
    ("words", "named", "error"),
    [
        ((), {}, r"Point.__init__\(\) missing 1 required positional argument: 'x'"),
        ((1, 2, "", 3), {}, "takes from 2 to 4 positional arguments but 5 were given"),
        ((1,), {"z": 1}, "unexpected keyword argument 'z'"),
        ((1,), {"x": 1}, "multiple values for argument 'x'"),
    ],
)
@pytest.mark.parametrize("made", [0, 100])
def test_wrong_arguments_are_refused(words: tuple[Any, ...], named: dict[str, Any], error: str, made: int) -> None:
    @quick.dataclass(frozen=True)
    class Fresh(Point):
        pass

    assert [Fresh(1) for _ in range(made)] == [Fresh(1)] * made
    with pytest.raises(TypeError, match=error.replace("Point", "Fresh")):
        Fresh(*words, **named)


def test_a_field_only_by_name() -> None:
    with pytest.raises(TypeError, match="positional arguments"):
        Derived(1, [], Point(1))  # type: ignore[call-arg]


def test_replace_keeps_the_rest() -> None:
    assert quick.replace(Point(1, 2, "a"), y=3) == Point(1, 3)
    assert quick.replace(Point(1, 2, "a"), y=3).note == "a"
    with pytest.raises(TypeError, match="unexpected keyword"):
        quick.replace(Point(1), z=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword"):
        quick.replace(Base(1), sum=3)


def test_asdict_goes_through_what_is_within() -> None:
    value = Base(1, [Point(1), (Point(2),), {"a": Pair(Point(3), 4)}])
    found = quick.asdict(value)
    assert found == {
        "first": 1,
        "many": [
            {"x": 1, "y": 0, "note": ""},
            ({"x": 2, "y": 0, "note": ""},),
            {"a": Pair({"x": 3, "y": 0, "note": ""}, 4)},
        ],
        "sum": 2,
    }
    assert isinstance(found["many"][2]["a"], Pair)


def test_a_pattern_takes_fields_by_place() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_what_is_a_value() -> None:
    assert quick.is_dataclass(Point)
    assert quick.is_dataclass(Point(1))
    assert not quick.is_dataclass(Pair(1, 2))
    with pytest.raises(TypeError):  # the library does not know ours: it says so
        dataclasses.replace(Point(1), x=2)


def test_tuples_whose_places_have_names_are_those_of_typing() -> None:
    def declared(base: Any) -> Any:
        class Place(base):  # type: ignore[misc]
            """Where."""

            row: int
            column: int = 3

            @property
            def both(self) -> int:
                return self.row + self.column

            @classmethod
            def first(cls) -> Any:
                return cls(0)

        return Place

    ours, theirs = declared(quicktuple.NamedTuple), declared(NamedTuple)
    for made in (ours, theirs):
        place = made(1)
        assert (place, place.both, made.first().column, made(column=2, row=1)) == ((1, 3), 4, 3, (1, 2))
        assert place._replace(row=5) == (5, 3)
        with pytest.raises(AttributeError):
            place.row = 2
        for words, named in [((), {}), ((1, 2, 3), {}), ((1,), {"row": 1}), ((1,), {"depth": 1})]:
            with pytest.raises(TypeError):
                made(*words, **named)
        assert (copy(place), place._asdict()) == (place, {"row": 1, "column": 3})
        assert type(copy(place)) is type(made._make([1, 2])) is made
        with pytest.raises((TypeError, ValueError)):
            place._replace(depth=1)
        match place:
            case made(row, column):
                assert (row, column) == (1, 3)
    assert repr(ours(1)) == repr(theirs(1))
    for name in ("_fields", "_field_defaults", "__doc__", "__module__", "__name__", "__slots__"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.__mro__[1:] == theirs.__mro__[1:] == (tuple, object)
    assert not hasattr(ours(1), "__dict__")


def test_texts_of_a_class() -> None:
    def declared(base: Any) -> Any:
        class Word(base):  # type: ignore[misc]
            """One of two."""

            YES = "yes"
            NO = "no"

            @property
            def short(self) -> str:
                return str(self[:1])

        return Word

    for made in (declared(quick.StrEnum), declared(StrEnum)):
        assert made("yes") is made.YES
        assert (made.YES, f"{made.NO}", made.NO.short, made.YES.upper()) == ("yes", "no", "n", "YES")
        assert isinstance(made.YES, made)
        assert ([*made], len(made), "no" in [*made]) == ([made.YES, made.NO], 2, True)
        assert (made.YES.value, type(made.YES.value), str(made.NO)) == ("yes", str, "no")
        assert {made.YES: 1}["yes"] == 1
        for wrong in ("maybe", "YES", "", None):
            with pytest.raises(ValueError, match=r"is not a valid .*Word"):
                made(wrong)
