"""A careful look into JSON: every value is asked for with the type that it must have, and a wrong one is named."""

import json
from collections.abc import Iterator
from typing import Any

from runner.oci.errors import BundleInvalid

LARGEST = 16 << 20
"""Bytes of a config.json that are read."""
Table = dict[str, Any]


class Node:
    """An object of a JSON document and the way to it. Missing values, and null, are the type's empty one."""

    def __init__(self, value: Table, where: str = "") -> None:
        self.value = value
        self.where = where

    @classmethod
    def read(cls, text: bytes, what: str = "") -> "Node":
        """The object that a document is. Raises BundleInvalid."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BundleInvalid(what or "document", f"is not JSON ({error})") from error
        if not isinstance(value, dict):
            raise BundleInvalid(what or "document", "is no JSON object")
        return cls(value, what)

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def _at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def fail(self, key: str, why: str) -> BundleInvalid:
        """The error that `key` is wrong, to be raised."""
        return BundleInvalid(self._at(key), why)

    def table(self, key: str) -> "Node":
        """An object."""
        found = self._typed(key, dict, "object")
        return Node(found if found is not None else {}, self._at(key))

    def tables(self, key: str) -> Iterator["Node"]:
        """A list of objects."""
        for number, found in enumerate(self._list(key)):
            if not isinstance(found, dict):
                raise BundleInvalid(f"{self._at(key)}[{number}]", "is no object")
            yield Node(found, f"{self._at(key)}[{number}]")

    def text(self, key: str, default: str = "") -> str:
        """A text without NUL characters."""
        found = self._typed(key, str, "text")
        if found is not None and "\0" in found:
            raise self.fail(key, "holds a NUL character")
        return default if found is None else str(found)

    def texts(self, key: str) -> list[str]:
        """A list of texts without NUL characters."""
        found = self._list(key)
        if not all(isinstance(word, str) and "\0" not in word for word in found):
            raise self.fail(key, "is no list of texts")
        return found

    def flag(self, key: str) -> bool:
        """true or false."""
        return bool(self._typed(key, bool, "true or false"))

    def number(self, key: str, *, low: int = 0, high: int = 2**64 - 1) -> int | None:
        """A whole number within bounds, or None."""
        found = self._typed(key, int, "whole number")
        if found is None:
            return None
        if isinstance(found, bool) or not low <= found <= high:
            raise self.fail(key, f"{found} is no number from {low} to {high}")
        return int(found)

    def numbers(self, key: str, *, low: int = 0, high: int = 2**32 - 2) -> list[int]:
        """A list of whole numbers within bounds."""
        found = self._list(key)
        for one in found:
            if isinstance(one, bool) or not isinstance(one, int) or not low <= one <= high:
                raise self.fail(key, f"{one!r} is no number from {low} to {high}")
        return found

    def pairs(self, key: str) -> dict[str, str]:
        """An object of texts, such as annotations."""
        found = self.table(key).value
        if not all(isinstance(word, str) for word in found.values()):
            raise self.fail(key, "its values are not all texts")
        return found

    def _list(self, key: str) -> list[Any]:
        found = self._typed(key, list, "list")
        return [] if found is None else list(found)

    def _typed(self, key: str, kind: type, name: str) -> Any:
        found = self.value.get(key)
        if found is not None and not isinstance(found, kind):
            raise self.fail(key, f"{str(found)[:40]!r} is no {name}")
        return found
