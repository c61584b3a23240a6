"""What an image says and holds, read by nobody's code but the standard library's.

Reads the first image of an OCI layout (a directory or a tar) and applies its layers in memory, following the
OCI image-spec ("Image Layer Filesystem Changeset"), so that images of different builders can be compared.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
}
# A node is a list so that it is the same before and after JSON: kind, octal mode, "uid:gid", then for files size and
# content, for links the target, for devices "major:minor"; then extended attributes; last the other names of a file.
Node = list[Any]
Tree = dict[str, Node]


@dataclass(frozen=True, slots=True)
class Image:
    """One image, whole: documents as parsed JSON, layers as uncompressed tars."""

    manifest: dict[str, Any]
    config: dict[str, Any]
    layers: tuple[bytes, ...]

    def tree(self) -> Tree:
        """The merged file system; "" is the root, if a layer says anything about it."""
        return merge(self.layers)


def read_image(layout: Path) -> Image:
    """The first image of an OCI layout for this machine's platform."""
    blobs = _Blobs(layout)
    document = json.loads(blobs.read("index.json"))
    while "manifests" in document:
        chosen = next(
            entry
            for entry in document["manifests"]
            if entry.get("platform", {}).get("os", "linux") == "linux"
            and "vnd.docker.reference.type" not in entry.get("annotations", {})
        )
        document = json.loads(blobs.blob(chosen["digest"]))
    config = json.loads(blobs.blob(document["config"]["digest"]))
    layers = tuple(_unpacked(blobs.blob(layer["digest"])) for layer in document["layers"] or ())
    for layer, diff_id in zip(layers, config["rootfs"]["diff_ids"] or (), strict=True):
        actual = "sha256:" + hashlib.sha256(layer).hexdigest()
        assert actual == diff_id, f"a layer's content is {actual}, its config says {diff_id}"
    return Image(document, config, layers)


def merge(layers: Iterable[bytes]) -> Tree:
    """Apply layers, lowest first."""
    tree: Tree = {}
    inodes: dict[str, int] = {}
    serial = 0
    for raw in layers:
        here: set[str] = set()
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            for member in tar:
                path = member.name.removeprefix("./").strip("/")
                if path == ".":
                    path = ""
                parent, _, base = path.rpartition("/")
                if base == ".wh..wh..opq":
                    _remove_below(tree, parent, keep=here)
                elif base.startswith(".wh."):
                    hidden = f"{parent}/{base[4:]}" if parent else base[4:]
                    tree.pop(hidden, None)
                    _remove_below(tree, hidden, keep=here)
                else:
                    here.add(path)
                    if member.islnk():
                        target = member.linkname.removeprefix("./").strip("/")
                        tree[path] = tree[target]
                        inodes[path] = inodes[target]
                    else:
                        if not member.isdir():
                            _remove_below(tree, path, keep=set())
                        serial += 1
                        tree[path], inodes[path] = _node(tar, member), serial
    names: dict[int, list[str]] = {}
    for path in tree:
        names.setdefault(inodes[path], []).append(path)
    return {path: [*tree[path], sorted(set(names[inodes[path]]) - {path})] for path in sorted(tree)}


def _node(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Node:
    kind = _KINDS[member.type]
    node: Node = [kind, f"{member.mode & 0o7777:04o}", f"{member.uid}:{member.gid}"]
    if kind == "file":
        data = tar.extractfile(member)
        assert data is not None
        node += [member.size, _content(data.read())]
    elif kind == "symlink":
        node += [member.linkname]
    elif kind in ("char", "block"):
        node += [f"{member.devmajor}:{member.devminor}"]
    prefix = "SCHILY.xattr."
    node.append(
        {key.removeprefix(prefix): value for key, value in member.pax_headers.items() if key.startswith(prefix)}
    )
    return node


def _content(data: bytes) -> str:
    """Short text as it is, so that a difference can be read; anything else by its digest."""
    if len(data) <= 512:
        with suppress(UnicodeDecodeError):
            return data.decode()
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _remove_below(tree: Tree, path: str, *, keep: set[str]) -> None:
    start = f"{path}/" if path else ""
    for below in [name for name in tree if name.startswith(start) and name != path and name not in keep]:
        del tree[below]


def _unpacked(blob: bytes) -> bytes:
    if blob.startswith(b"\x1f\x8b"):
        return gzip.decompress(blob)
    if blob.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj().decompress(blob)
    return blob


class _Blobs:
    """A layout's files, wherever they are."""

    def __init__(self, layout: Path) -> None:
        self._layout = layout
        self._members: dict[str, bytes] = {}
        if layout.is_file():
            with tarfile.open(layout) as tar:
                for member in tar:
                    if (data := tar.extractfile(member)) is not None:
                        self._members[member.name.removeprefix("./")] = data.read()

    def read(self, name: str) -> bytes:
        return self._members[name] if self._members else (self._layout / name).read_bytes()

    def blob(self, digest: str) -> bytes:
        data = self.read("blobs/" + digest.replace(":", "/"))
        assert hashlib.sha256(data).hexdigest() == digest.partition(":")[2], f"blob {digest} does not match its name"
        return data
