"""Commands that are declared in click's words and usually read without it.

Click takes 10 ms to load, to make a hundred options and to look at each of them; a container that runs `true` takes no
longer. So a module of a command that has to be quick says `from pybuild.declared import click`. Where click is loaded
that is click itself; else it notes what is said, and `Declared.read` knows what click would make of the usual words:
flags, and options with values of the plain kinds. Whatever else there is (help, mistakes, values that begin with a
dash), it does not know, and click is asked, of whom the same command is made by the same words.
"""

from __future__ import annotations

import os
import sys

__all__ = ["Declared", "Unsure", "click"]

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    import click


class Unsure(Exception):
    """Only click knows."""


class Note:
    """Something that was said to click: which name of its was called, by which words. It can be said again."""

    def __init__(self, called: str, words: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        self.called, self.words, self.named = called, words, named

    def __call__(self, function: Callable[..., Any]) -> Any:
        """As a decorator: an option or an argument of the function, or the command that it becomes."""
        if (real := sys.modules.get("click")) is not None:
            return self.said(real)(function)
        if self.called == "command":
            return Declared(self, function, vars(function).pop("declared"))
        vars(function).setdefault("declared", []).insert(0, self)
        return function

    def said(self, real: Any) -> Any:
        """What click makes of it."""
        told = [one.said(real) if isinstance(one, Note) else one for one in self.words]
        named = {key: one.said(real) if isinstance(one, Note) else one for key, one in self.named.items()}
        return getattr(real, self.called)(*told, **named)


class Name(Note):
    """A name of click's that was not called."""

    def __init__(self, called: str) -> None:
        super().__init__(called, (), {})

    def said(self, real: Any) -> Any:
        """What it means."""
        return getattr(real, self.called)


class Parameter:
    """An option or an argument, as far as it is of a plain kind."""

    def __init__(self, note: Note) -> None:
        told = note.named
        spelt = [word for word in note.words if not word.isidentifier()]
        self.spelt = [word for word in spelt if "/" not in word]
        self.name = next(filter(str.isidentifier, note.words), "") or spoken(spelt)
        self.is_flag = told.get("is_flag", len(self.spelt) < len(spelt))
        self.many = told.get("multiple", False)
        self.usual = told.get("default", () if self.many else False if self.is_flag else None)
        self.kind = told.get("type")
        self.callback = told.get("callback")
        self.count = told.get("nargs", 1)
        self.required = told.get("required", self.count == 1)
        if "envvar" in told and told["envvar"] in os.environ:
            raise Unsure

    def valued(self, text: str) -> Any:
        """The value that a text stands for."""
        kind = self.kind
        if kind is None and self.usual in (None, ()):
            return text
        if kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                raise Unsure from None
        if isinstance(kind, Note) and kind.called == "Choice" and text in kind.words[0]:
            return text
        raise Unsure

    def final(self, value: Any) -> Any:
        """What the function gets."""
        if self.callback is None:
            return value
        try:
            return self.callback(None, None, value)
        except Exception as problem:  # click says it with the option
            raise Unsure from problem


def spoken(spelt: Sequence[str]) -> str:
    """The name that click takes from how an option is spelt: from the first long one."""
    longest = next((word for word in spelt if word.startswith("--")), spelt[0])
    return longest.partition("/")[0].lstrip("-").replace("-", "_").lower()


class Declared:
    """A command that can be read here, and made by click."""

    def __init__(self, note: Note, function: Callable[..., Any], notes: Sequence[Note]) -> None:
        self.note, self.function, self.notes = note, function, notes

    def read(self, words: Sequence[str]) -> dict[str, Any]:
        """The parameters that click would hand to the function. Raises Unsure."""
        every = [(note.called, Parameter(note)) for note in self.notes if note.called != "pass_obj"]
        options = {word: one for called, one in every if called == "option" for word in one.spelt}
        found = {one.name: one.usual for _, one in every}
        waiting = iter(words)
        rest: list[str] = []
        for word in waiting:
            if not word.startswith("-"):
                rest = [word, *waiting]
                break
            name, equals, value = word.partition("=")
            if (one := options.get(name)) is None or (equals and not name.startswith("--")):
                raise Unsure
            if one.is_flag:
                if equals:
                    raise Unsure
                found[one.name] = True
                continue
            if not equals and (value := next(waiting, "-")).startswith("-"):
                raise Unsure
            found[one.name] = (*found[one.name], one.valued(value)) if one.many else one.valued(value)
        if self.note.named.get("context_settings", {}).get("allow_interspersed_args", True) and any(
            word.startswith("-") for word in rest
        ):
            raise Unsure
        for one in (one for called, one in every if called == "argument"):
            taken, rest = (rest[:1], rest[1:]) if one.count == 1 else (rest, [])
            if not taken and one.required:
                raise Unsure
            found[one.name] = taken[0] if one.count == 1 else tuple(taken)
        if rest:
            raise Unsure
        return {one.name: one.final(found[one.name]) for _, one in every}

    def made(self) -> Any:
        """The same command, by click."""
        import click as real

        command: Any = self.function
        for note in reversed(self.notes):
            command = note.said(real)(command)
        return self.note.said(real)(command)


class Click:
    """Stands in for click as long as that is not loaded."""

    UNPROCESSED, pass_obj = Name("UNPROCESSED"), Name("pass_obj")

    def __getattr__(self, name: str) -> Any:
        if name in ("option", "argument", "command", "Choice", "Path"):
            return lambda *words, **named: Note(name, words, named)
        from pybuild.later import lean

        lean("click")
        return getattr(sys.modules["click"], name)


if not TYPE_CHECKING:
    click = Click()
