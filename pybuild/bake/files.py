"""Which bake files there are, and what is in them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pybuild.bake.compose import loaded, parse_compose
from pybuild.bake.definition import Definition
from pybuild.bake.errors import BakeError
from pybuild.bake.hcl import Block, parse_hcl, parse_json

USUAL = (
    "compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml", "docker-bake.json", "docker-bake.hcl",
    "docker-bake.override.json", "docker-bake.override.hcl",
)  # fmt: skip
"""All of those that are there are read, in this order; later ones override."""


def definition(names: Sequence[str], variables: Mapping[str, str]) -> Definition:
    """All files together. Raises BakeError, OSError."""
    chosen = list(names) or [name for name in USUAL if Path(name).is_file()]
    if not chosen:
        raise BakeError(f"there is no bake file here; one of {', '.join(USUAL)}, or -f FILE")
    blocks: list[Block] = []
    composed = []
    for name in chosen:
        content = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        shown = "<stdin>" if name == "-" else name
        if is_compose(content, shown):
            composed.append(parse_compose(content, shown))
        else:
            blocks.append(_block(content, shown))
    found = Definition(blocks, variables)
    for targets, groups in composed:
        found.add(targets, groups)
    return found


def is_compose(content: str, name: str) -> bool:
    """Whether a file is one of compose: by its name, else by what is in it."""
    suffix = Path(name).suffix
    if suffix in (".yml", ".yaml"):
        return True
    if suffix in (".hcl", ".json"):
        return False
    if content.lstrip().startswith("{"):
        return False
    try:
        return "services" in loaded(content, name)
    except BakeError:
        return False


def _block(content: str, name: str) -> Block:
    if Path(name).suffix == ".json" or (not name.endswith(".hcl") and content.lstrip().startswith("{")):
        return parse_json(content, name)
    return parse_hcl(content, name)
