"""The Dockerfiles that several builders must agree on, and the one context they all use.

`python -m tests.acceptance.cases DIRECTORY [NAME…]` asks the BuildKit inside the docker of a chroot (made by
`bench/peers/sid`) what it makes of each case, or of those named, and writes `NAME.golden.json` beside the Dockerfile;
the tests then compare without needing BuildKit.
"""

import gzip
import io
import json
import os
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.images import Image, Tree, merge

FOLDER = Path(__file__).with_name("dockerfiles")
MTIME = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """One Dockerfile and what BuildKit made of it."""

    file: Path

    @property
    def name(self) -> str:
        return self.file.name.removesuffix(".Dockerfile")

    @property
    def golden(self) -> Path:
        return self.file.with_name(f"{self.name}.golden.json")

    def context(self, directory: Path) -> Path:
        """Fill an empty directory with the context and this case's Dockerfile."""
        make_context(directory)
        (directory / "Dockerfile").write_bytes(self.file.read_bytes())
        ignore = self.file.with_name(f"{self.name}.dockerignore")
        if ignore.exists():
            (directory / ".dockerignore").write_bytes(ignore.read_bytes())
        for name in ("Dockerfile", ".dockerignore"):
            if (directory / name).exists():
                (directory / name).chmod(0o644)
        return directory


def cases() -> list[Case]:
    """Every case, in order."""
    return [Case(file) for file in sorted(FOLDER.glob("*.Dockerfile"))]


def make_context(directory: Path) -> None:
    """A small tree with most of what a context can hold; the same on every machine, whatever its umask."""
    files = {
        "file.txt": (0o644, "a file\n"),
        "fil2.txt": (0o640, "another file\n"),
        "b.txt": (0o600, "b\n"),
        "script.sh": (0o755, "#!/bin/sh\necho script\n"),
        "name with blanks": (0o644, "blanks\n"),
        "disguised.txt": (0o644, ""),
        "not-an-archive.tar.gz": (0o644, ""),
        "dir/one": (0o644, "one\n"),
        "dir/other": (0o604, "other\n"),
        "dir/.hidden": (0o644, "hidden\n"),
        "dir/sub/deep.txt": (0o644, "deep\n"),
        "dir/sub/tool": (0o711, "tool\n"),
        "modes/setuid": (0o4755, "setuid\n"),
        "modes/setgid": (0o2711, "setgid\n"),
        "modes/unreadable": (0o000, "nobody reads this\n"),
        "modes/closed/inside": (0o644, "inside\n"),
        "links/target": (0o644, "target\n"),
    }
    for name, (_, text) in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    (directory / "modes/sticky").mkdir()
    (directory / "empty").mkdir()
    for link, target in (
        ("to-file", "target"),
        ("to-dir", "../dir"),
        ("broken", "nowhere"),
        ("absolute", "/etc/passwd"),
    ):
        (directory / "links" / link).symlink_to(target)
    os.link(directory / "links/target", directory / "links/hard")
    (directory / "archive.tar").write_bytes(_archive())
    (directory / "archive.tar.gz").write_bytes(gzip.compress(_archive(), mtime=0))
    (directory / "disguised.txt").write_bytes(gzip.compress(_archive(), mtime=0))
    (directory / "not-an-archive.tar.gz").write_bytes(gzip.compress(b"only text\n", mtime=0))
    for name in ("archive.tar", "archive.tar.gz"):
        (directory / name).chmod(0o644)
    for name, (mode, _) in files.items():
        (directory / name).chmod(mode)
    for folder, folders, names in os.walk(directory, topdown=False):
        for name in [*folders, *names]:
            os.utime(Path(folder, name), (MTIME, MTIME), follow_symlinks=False)
        Path(folder).chmod(0o755)
    (directory / "modes/sticky").chmod(0o1777)
    (directory / "modes/closed").chmod(0o700)


def _archive() -> bytes:
    """A tar with owners, modes, links and a directory that is only implied."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, mode, link in (
            ("top", tarfile.DIRTYPE, 0o750, ""),
            ("top/file", tarfile.REGTYPE, 0o4711, ""),
            ("top/soft", tarfile.SYMTYPE, 0o777, "file"),
            ("top/hard", tarfile.LNKTYPE, 0o4711, "top/file"),
            ("implied/by/path", tarfile.REGTYPE, 0o644, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.linkname = kind, mode, link
            member.uid, member.gid, member.mtime = 77, 88, MTIME
            data = b"from the archive\n" if kind == tarfile.REGTYPE else b""
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def digest_of(image: Image, base: Tree) -> dict[str, Any]:
    """What is compared: container config, history without times, and paths that differ from the base's."""
    tree = image.tree()
    tree.pop("", None)
    program = base["bin/busybox"]
    for path, node in tree.items():
        if path != "bin/busybox" and node[:1] == ["file"] and node[4] == program[4]:
            tree[path] = [*node[:3], "as busybox's", "as busybox's", *node[5:]]
    if "bin/busybox" not in tree:  # this image does not stand on the base
        base = {}
    return {
        "platform": {key: image.config[key] for key in ("architecture", "os", "variant") if key in image.config},
        "author": image.config.get("author", ""),
        "config": image.config.get("config", {}),
        "history": [
            [row.get("created_by", ""), row.get("empty_layer", False)] for row in image.config.get("history") or ()
        ],
        "tree": {path: node for path, node in tree.items() if base.get(path) != node},
        "removed": sorted(base.keys() - tree.keys() - {""}),
    }


def printed(told: dict[str, Any]) -> str:
    """JSON with one path, one history row and one config field a line, for people who read differences."""

    def block(value: Any) -> str:
        text = partial(json.dumps, ensure_ascii=False, sort_keys=True)
        if isinstance(value, dict) and value:
            return "{\n" + ",\n".join(f"  {text(key)}: {text(item)}" for key, item in sorted(value.items())) + "\n }"
        if isinstance(value, list) and value:
            return "[\n" + ",\n".join(f"  {text(item)}" for item in value) + "\n ]"
        return text(value)

    return "{\n" + ",\n".join(f" {json.dumps(key)}: {block(value)}" for key, value in told.items()) + "\n}\n"


def base_tree() -> Tree:
    """The tree of the busybox base, from the tar that it is made of."""
    from tests.support.bases import rootfs

    return merge([rootfs("busybox").read_bytes()])


def main(chroot: Path, names: Sequence[str] = ()) -> None:
    """Write the golden files."""
    import tempfile

    from tests.support.bases import DOCKERFILES, rootfs
    from tests.support.dockerd import dockerd
    from tests.support.images import read_image

    base = base_tree()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        work = Path(scratch)
        tar = rootfs("busybox")
        (work / "busybox").mkdir()
        (work / "busybox/rootfs.tar").write_bytes(tar.read_bytes())
        (work / "busybox/Dockerfile").write_bytes((DOCKERFILES / "busybox/Dockerfile").read_bytes())
        with dockerd(
            work / "daemon", root=chroot, shared=[work], options="--feature containerd-snapshotter=true"
        ) as peer:
            peer.docker("buildx", "build", "--provenance=false", "-t", "busybox", work / "busybox")
            for case in (case for case in cases() if not names or case.name in names):
                context = work / case.name
                context.mkdir()
                case.context(context)
                out = work / f"{case.name}.tar"
                # fmt: off
                peer.docker("buildx", "build", "--provenance=false", "--network=none", "--no-cache",
                            "-o", f"type=oci,dest={out}", context)
                # fmt: on
                told = digest_of(read_image(out), base)
                case.golden.write_text(printed(told), encoding="utf-8")
                print(case.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
