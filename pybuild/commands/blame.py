"""`pybuild blame`: which layer made, changed or removed a file, and the line of the Dockerfile behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Image, Store
    from layers.views.versions import Version, Versions

COLUMNS = {
    "Kind": "WHAT",
    "Path": "PATH",
    "Layer": "LAYER",
    "Digest": "DIGEST",
    "Size": "SIZE",
    "At": "AT",
    "Line": "DOCKERFILE:LINE",
    "CreatedBy": "CREATED BY",
}
WIDTH = 45
WILD = re.compile(r"[*?\[\\]")


@click.command(
    epilog="\b\nExamples:\n  pybuild blame app /etc/passwd             the layer that a file comes from\n"
    "  pybuild blame --all app /etc/passwd       every version of it, the newest first\n"
    "  pybuild blame app '/usr/lib/**/*.so'      each file that matches\n"
    "  pybuild blame app /var/cache              a directory: what each layer did below it\n"
    "  pybuild blame --format json app /bin/sh   with blob, offset and length of the bytes"
)
@click.argument("name", metavar="IMAGE")
@click.argument("path")
@click.option("--all", "every", is_flag=True, help="Every version, the newest first, not the last one alone.")
@click.option("--no-trunc", is_flag=True, help="Whole digests and commands.")
@click.option("--platform", metavar="PLATFORM", help="Which image of an index.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def blame(
    context: Context, name: str, path: str, every: bool, no_trunc: bool, platform: str | None, template: str | None
) -> None:
    """Show which layer made (A), changed (C) or removed (D) a path, and what made that layer.

    PATH is a path in the image or a pattern (* ? [] and ** for any depth); of removed files too. No link is followed.
    LAYER counts from 1, the lowest. AT is where the bytes of a file are in the layer's uncompressed tar: offset+length.
    A directory is told layer by layer, with the paths and bytes that each has below it; --all lists them.
    """
    from layers.views.versions import Versions
    from pybuild.formats.table import emit
    from pybuild.subject import image as find
    from pybuild.subject import pattern

    image = find(context.store, name, platform)
    book = Versions([context.store.toc(diff_id) for diff_id in image.config.diff_ids])
    wanted = "/".join(part for part in path.split("/") if part not in ("", "."))
    wild = WILD.search(wanted) is not None and not book.of(wanted)
    paths = book.matching(pattern(wanted)) if wild else [wanted]
    found = [version for each in paths for version in book.of(each)[: None if every else 1]]
    folder = not wild and (not wanted or is_folder(book.of(wanted)))
    if not found and not folder:
        raise click.ClickException(f"no layer of {name} ever had {'anything like ' if wild else ''}/{wanted}")
    shown = Rows(context.store, image, book, whole=no_trunc or template is not None)
    if folder:
        inside = [version for each in book.matching(below(wanted)) for version in book.of(each)]
        rows = [shown.row(version) for version in [*found, *inside]] if every else shown.summary(wanted, found, inside)
    else:
        rows = [shown.row(version) for version in found]
    emit(rows, COLUMNS, template)


def below(path: str) -> re.Pattern[str]:
    """All that is in a directory, at any depth."""
    return re.compile(f"{re.escape(path)}/.*" if path else ".+", re.DOTALL)


def is_folder(versions: list[Version]) -> bool:
    """True if a path is a directory, or was one when it was removed."""
    last = next((version for version in versions if version.kind.value != "D"), None)
    return last is not None and (last.entry is None or last.entry.type.value == "dir")


class Rows:
    """Versions as rows of the table."""

    def __init__(self, store: Store, image: Image, book: Versions, *, whole: bool) -> None:
        from builder.caching.cache import lines

        self._store = store
        self._book = book
        self._whole = whole
        self._places = lines(store, image.config.diff_ids)
        self._lines = [line for line, diff_id in image.lines if diff_id is not None]
        self._diff_ids = image.config.diff_ids

    def row(self, version: Version) -> dict[str, Any]:
        """One version. `Blob` is the file that holds the raw tar of the layer with the bytes."""
        from layers.views.tree import pieces
        from pybuild import units
        from pybuild.formats.names import shown

        data = self._book.data(version)
        path, told = f"/{version.path}", self._layer(version.layer)
        told["Kind"] = str(version.kind.value)
        told["Path"] = path if self._whole else shown(path)
        told["Type"] = "" if version.kind.value == "D" else "dir" if version.entry is None else version.entry.type.value
        if version.entry is not None and version.entry.linkname and not self._whole:
            told["Path"] += f" -> {shown(version.entry.linkname)}"
        told["Link"] = version.entry.linkname if version.entry is not None else ""
        told["By"] = f"/{version.by}"
        if data is not None:
            at, entry = data
            told["Size"] = entry.size if self._whole else units.size(entry.size)
            length = sum(count for _, count, _ in pieces(entry))
            told["Offset"], told["Length"] = entry.offset, length
            told["At"] = f"{entry.offset}+{length}" if length else ""
            told["Blob"] = str(self._store.blobs.path(self._diff_ids[at]))
            if at != version.layer and told["At"]:
                told["At"] += f" in layer {at + 1}"
        return told

    def summary(self, path: str, own: Iterable[Version], inside: Iterable[Version]) -> list[dict[str, Any]]:
        """A row for each layer, the newest first: how many paths it made, changed and removed, and their bytes."""
        from pybuild import units
        from pybuild.formats.names import shown

        counts: dict[int, dict[str, int]] = {}
        sizes: dict[int, int] = {}
        for version in (*own, *inside):
            kinds = counts.setdefault(version.layer, {"A": 0, "C": 0, "D": 0})
            kinds[version.kind.value] += 1
            if version.entry is not None and version.entry.type.value == "file":
                sizes[version.layer] = sizes.get(version.layer, 0) + version.entry.size
        rows = []
        for layer in sorted(counts, reverse=True):
            told, size = self._layer(layer), sizes.get(layer, 0)
            told["Kind"] = " ".join(f"{count}{kind}" for kind, count in counts[layer].items() if count)
            told["Path"], told["Type"] = shown(f"/{path}".rstrip("/") + "/"), "dir"
            told["Size"] = size if self._whole else units.size(size)
            rows.append(told)
        return rows

    def _layer(self, at: int) -> dict[str, Any]:
        """What is known of a layer, and the other columns empty."""
        from pybuild.formats.names import shown
        from pybuild.formats.table import truncated

        diff_id = self._diff_ids[at]
        line = self._lines[at]
        by = (line.created_by or "").replace("\t", " ")
        return {
            "Kind": "",
            "Path": "",
            "Type": "",
            "Link": "",
            "By": "",
            "Layer": at + 1,
            "Digest": str(diff_id) if self._whole else diff_id.short,
            "Size": 0 if self._whole else "",
            "At": "",
            "Blob": "",
            "Offset": None,
            "Length": None,
            "Line": self._places.get(diff_id, ""),
            "Created": line.created or "",
            "CreatedBy": by if self._whole else truncated(shown(by), WIDTH),
        }
