"""Builds from elsewhere that BuildKit and pybuild must agree on: ADD of URLs and git, contexts of every kind.

`python -m tests.acceptance.remote DIRECTORY [NAME…]` asks the BuildKit inside the docker of a chroot (made by
`bench/peers/sid`; git is lent to it) what it makes of each case, and writes `remote.golden.json`.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.building import tree
from tests.support.images import Image, Tree
from tests.support.web import LAST_MODIFIED, MTIME, Page, Site, repository, website

GOLDEN = Path(__file__).with_name("remote.golden.json")
INNER = "FROM scratch\nCOPY . /x/\n"
LIST = "FROM scratch\nCOPY . /all/\nCOPY sub/f /one\n"


@dataclass(frozen=True, slots=True)
class Case:
    """One build: its Dockerfile (None: the context has it), flags and context, in which URL and WORK are replaced."""

    name: str
    dockerfile: str | None
    context: str = "WORK/main"
    flags: Sequence[str] = ()
    stdin: str = ""
    times: bool = True


LIBRARY = ("--build-context", "lib=WORK/library")
ONE = "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
CASES = [
    Case("url-names", "FROM scratch\nADD URL/dir/file.txt /a\nADD URL/dir/file.txt?v=1 /b/\nADD URL/ /c/\n"
         "ADD URL/dir/with%20blank /d/\nADD URL/named /e/\nADD URL/dir/ /f/\n"),
    Case("url-attributes", "FROM scratch\nADD URL/dated URL/plain /d/\n"
         "ADD --chmod=0644 --chown=7:8 URL/dated /e/f/g\n"),
    Case("url-archives", "FROM scratch\nADD URL/a.tgz /a/\nADD --unpack=true URL/a.tgz /b/\nADD URL/a.tgz b.tar /c/\n"
         "ADD --unpack=false b.tar /d/\nADD --unpack=true --chown=3:4 URL/a.tgz /e/\n"),
    Case("url-checksum", f"FROM scratch\nADD --checksum={ONE} URL/plain /x\n"),
    Case("git", "FROM scratch\nADD URL/git/app.git /a\nADD URL/git/app.git#v1:dir /b/\n"
         "ADD URL/git/app.git?branch=other&subdir=dir /c\n"
         "ADD --chmod=755 --chown=5:6 URL/git/app.git#main /d\n", times=False),
    Case("git-excludes", "FROM scratch\nADD --exclude=dir URL/git/app.git /a\n", times=False),
    Case("context-tar", None, "-", stdin="context.tgz"),
    Case("context-tar-file", None, "-", ("-f", "sub/Other"), "context.tgz"),
    Case("context-git", None, "URL/git/app.git#main", times=False),
    Case("context-git-directory", None, "URL/git/app.git#main:dir", times=False),
    Case("context-url", None, "URL/context.tgz"),
    Case("context-url-dockerfile", None, "URL/Dockerfile"),
    Case("named-directory", "FROM scratch\nCOPY --from=lib . /lib/\nCOPY . /main/\n", flags=LIBRARY),
    Case("named-directory-base", "FROM lib\nCOPY m /m\n", flags=LIBRARY),
    Case("named-directory-stage", "FROM scratch AS lib\nCOPY m /never\nFROM scratch\nCOPY --from=lib . /x/\n",
         flags=LIBRARY),
    Case("named-image", "FROM other:latest\nCOPY --from=other /bin/sh /sh\n",
         flags=("--build-context", "other=docker-image://busybox")),
    Case("named-scratch", "FROM other\nCOPY m /m\n", flags=("--build-context", "other=docker-image://scratch")),
    Case("named-git", "FROM app\nCOPY --from=app dir /d/\n",
         flags=("--build-context", "app=URL/git/app.git#main"), times=False),
    Case("copy-flags", "FROM scratch\nCOPY --chmod=u=rwX,go=rX . /c/\nCOPY --link sub /l/\n"),
]  # fmt: skip


def packed() -> bytes:
    """The archive that is a context."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        files: Mapping[str, bytes | None] = {
            "./": None,
            "./Dockerfile": LIST.encode(),
            "./.dockerignore": b"sub\n",
            "./sub": None,
            "./sub/f": b"f",
            "./sub/Other": b"FROM scratch\nCOPY sub/f /other\n",
        }
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.uid, member.gid, member.mtime, member.mode = 7, 8, MTIME, 0o640
            if data is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o751
            member.size = len(data or b"")
            tar.addfile(member, io.BytesIO(data or b""))
    return buffer.getvalue()


def prepare(work: Path, site: Site) -> None:
    """Fill a site, and a directory of contexts."""
    from tests.support.web import git

    archive = packed()
    site.pages |= {
        "/dir/file.txt": Page(b"file"),
        "/dir/with%20blank": Page(b"blank"),
        "/dir/": Page(b"folder"),
        "/": Page(b"top"),
        "/named": Page(b"named", headers={"Content-Disposition": "attachment; filename=other.txt"}),
        "/dated": Page(b"dated", headers={"Last-Modified": LAST_MODIFIED, "ETag": '"d"'}),
        "/plain": Page(b"1"),
        "/a.tgz": Page(gzip.compress(archive, mtime=0)),
        "/context.tgz": Page(gzip.compress(archive, mtime=0)),
        "/Dockerfile": Page(b"FROM scratch\nCOPY . /x/\n"),
    }
    site.repositories = work / "repositories"
    (work / "context.tgz").write_bytes(gzip.compress(archive, mtime=0))
    main = tree(
        work / "main", {"m": "main", "sub/f": "f", "sub/g": "g", "xa/deep": "1", "xb/c/deep": "2", "xb/tool": "t"}
    )
    (main / "xb/tool").chmod(0o711)
    (main / "b.tar").write_bytes(archive)
    tree(work / "library", {"l": "lib", "d/x": "x", "skip": "no", ".dockerignore": "skip\n"})
    for folder, folders, names in os.walk(work, topdown=False):
        for name in [*folders, *names]:
            place = Path(folder, name)
            place.chmod(0o711 if name == "tool" else 0o755 if place.is_dir() else 0o644)
            os.utime(place, (MTIME, MTIME))
    app = work / "repositories/app.git"
    repository(
        app,
        lambda folder: tree(folder, {"Dockerfile": LIST, "sub/f": "f", "dir/b": "b", "dir/Dockerfile": INNER}),
    )
    git(app, "tag", "v1")
    git(app, "branch", "other")


def told(image: Image, case: Case, url: str, base: Tree) -> dict[str, Any]:
    """What is compared: files with their times, where BuildKit does not take those of its own clock, and documents."""
    config = image.config
    history = [
        [row.get("created_by", "").replace(url, "URL"), row.get("empty_layer", False)] for row in config["history"]
    ]
    times: dict[str, int] = {}
    for raw in image.layers if case.times else ():
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            times |= {
                member.name: int(member.mtime) for member in tar if member.isreg() and base.get(member.name) is None
            }
    return {
        "history": history,
        "config": config.get("config", {}),
        "layers": len(config["rootfs"]["diff_ids"]),
        "tree": {path: node for path, node in image.tree().items() if path and base.get(path) != node},
        "times": times,
    }


def words(case: Case, work: Path, url: str) -> tuple[list[str], bytes]:
    """The flags and context of a build, and its standard input."""

    def filled(text: str) -> str:
        return text.replace("URL", url).replace("WORK", str(work))

    args = [*map(filled, case.flags)]
    stdin = (work / case.stdin).read_bytes() if case.stdin else b""
    if case.dockerfile is not None:
        args += ["-f", "-"]
        stdin = filled(case.dockerfile).encode()
    return [*args, filled(case.context)], stdin


def main(chroot: Path, names: Sequence[str] = ()) -> None:
    """Write the golden file."""
    import tempfile

    from tests.acceptance.cases import base_tree
    from tests.support.bases import DOCKERFILES, rootfs
    from tests.support.dockerd import dockerd
    from tests.support.images import read_image

    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch, website() as site:
        work = Path(scratch)
        prepare(work, site)
        lent = lend_git(work, chroot)
        (work / "busybox").mkdir()
        (work / "busybox/rootfs.tar").write_bytes(rootfs("busybox").read_bytes())
        (work / "busybox/Dockerfile").write_bytes((DOCKERFILES / "busybox/Dockerfile").read_bytes())
        try:
            options = "--feature containerd-snapshotter=true"
            with dockerd(work / "daemon", root=lent, shared=[work], options=options) as peer:
                peer.docker("buildx", "build", "--provenance=false", "-t", "busybox", work / "busybox")
                for case in CASES:
                    if names and case.name not in names:
                        continue
                    out = work / f"{case.name}.oci"
                    args, stdin = words(case, work, site.url)
                    flags = ["--provenance=false", "--no-cache", "-o", f"type=oci,dest={out}"]
                    command = peer.command("buildx", "build", *flags, *args)
                    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
                    if done.returncode:
                        golden[case.name] = {"error": done.stderr.decode().strip().splitlines()[-1]}
                    else:
                        golden[case.name] = told(read_image(out), case, site.url, base_tree())
                    print(case.name, golden[case.name].get("error", ""))
        finally:
            subprocess.run(["umount", lent], check=False)
    GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def lend_git(work: Path, chroot: Path) -> Path:
    """A view of the chroot that has this machine's git, too."""
    upper, lent = work / "lent/upper", work / "lent/root"
    for folder in (upper / "usr/bin", upper / "usr/lib", work / "lent/work", lent):
        folder.mkdir(parents=True)
    subprocess.run(["cp", "-a", "/usr/bin/git", upper / "usr/bin/"], check=True)
    subprocess.run(["cp", "-a", "/usr/lib/git-core", upper / "usr/lib/"], check=True)
    told = subprocess.run(["ldd", "/usr/lib/git-core/git-remote-http"], capture_output=True, text=True, check=True)
    folder = upper / "usr/lib/x86_64-linux-gnu"
    folder.mkdir()
    for name in re.findall(r"=> (\S+/\S+)", told.stdout):
        if not (chroot / "usr/lib/x86_64-linux-gnu" / Path(name).name).exists():
            shutil.copy(name, folder)
    options = f"lowerdir={chroot},upperdir={upper},workdir={work / 'lent/work'}"
    subprocess.run(["mount", "-t", "overlay", "lent", "-o", options, lent], check=True)
    return lent


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
