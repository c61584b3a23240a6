"""A tree with every kind of file that a layer can hold, and what there is to know of a tree on disk."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

CAPABILITY = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
"""cap_net_bind_service=ep, as setcap(8) writes it."""


def make(root: Path) -> None:
    """Make it; needs root."""
    root.mkdir()
    os.umask(0o022)
    (root / "plain").write_bytes(b"plain\n")
    (root / "empty").touch()
    (root / "large").write_bytes(os.urandom(3 << 20))
    (root / ("n" * 255)).write_bytes(b"a name as long as names may be")
    deep = root / "/".join(["deep" * 10] * 6)
    deep.mkdir(parents=True)
    (deep / "below").write_bytes(b"")
    (root / "ünïcödé ☃").write_bytes(b"text")
    (root / "sp ace\nnewline").write_bytes(b"odd")
    (root / "first").write_bytes(b"one file, three names")
    (root / "a").mkdir()
    os.link(root / "first", root / "a" / "second")
    os.link(root / "first", root / "zz")
    (root / "link").symlink_to("plain")
    (root / "dangling").symlink_to("/nowhere/" + "x" * 200)
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "loop", stat.S_IFBLK | 0o660, os.makedev(7, 300))
    for name, mode in (("suid", 0o4755), ("sgid", 0o2755), ("closed", 0o000)):
        (root / name).write_bytes(b"x")
        os.chmod(root / name, mode)
    (root / "sticky").mkdir(mode=0o777)
    os.chmod(root / "sticky", 0o1777)
    (root / "owned").write_bytes(b"x")
    os.chown(root / "owned", 1000, 3_000_000_000)
    os.chown(root / "link", 65534, 65534, follow_symlinks=False)
    (root / "capable").write_bytes(b"#!/bin/true\n")
    os.setxattr(root / "capable", "security.capability", CAPABILITY)
    os.setxattr(root / "plain", "user.note", b"bytes \x00\xff of any kind")
    for path in sorted(root.rglob("*"), reverse=True):
        os.utime(path, (1_234_567_890, 1_234_567_890), follow_symlinks=False)
    os.utime(root / "empty", (0, 0))
    os.utime(root / "large", (4_000_000_000, 4_000_000_000))


def tar(root: Path, target: Path) -> None:
    """The tree as a tar, made by GNU tar."""
    words = "--xattrs --xattrs-include=* --numeric-owner --format=pax --sort=name".split()
    subprocess.run(["tar", *words, "-C", root, "-cf", target, "."], check=True)


def facts(root: Path) -> dict[str, Any]:
    """Everything about every file: kind, mode, owners, time, content, target, device, attributes, other names."""
    found: dict[str, Any] = {}
    names: dict[tuple[int, int], list[str]] = {}
    for folder, below, files in os.walk(root):
        for name in (*below, *files):
            path = Path(folder, name)
            info = path.lstat()
            key = str(path.relative_to(root))
            names.setdefault((info.st_dev, info.st_ino), []).append(key)
            found[key] = {
                "mode": oct(info.st_mode),
                "owner": (info.st_uid, info.st_gid),
                "time": info.st_mtime_ns,
                "device": info.st_rdev,
                "xattrs": {xattr: os.getxattr(path, xattr, follow_symlinks=False) for xattr in attributes(path)},
                "inode": (info.st_dev, info.st_ino),
            }
            if path.is_symlink():
                found[key]["target"] = os.readlink(path)
            elif path.is_file():
                found[key]["content"] = hashlib.sha256(path.read_bytes()).hexdigest()
    for value in found.values():
        value["names"] = sorted(names[value.pop("inode")])
    return found


def attributes(path: Path) -> list[str]:
    """The names of a file's extended attributes, without those that the machine gives by itself."""
    return [name for name in os.listxattr(path, follow_symlinks=False) if name != "security.selinux"]
