"""Small Dockerfiles by feature (`cases/*.txt`, a section each), and what BuildKit made of them (`golden/*.json`).

A section begins with `==== name` and header lines, then comes the Dockerfile:

    arg: NAME=VALUE      a build argument             file: PATH TEXT      a file of the context (with \\n in TEXT)
    target: STAGE        build that stage             link: PATH TARGET    a symbolic link of the context
    ignore: PATTERN      a line of .dockerignore      mode: PATH 0755      a mode of the context
    bytes: crlf | bom | ESCAPES   how the Dockerfile is written; ESCAPES: \\xHH in it stand for bytes
    fifo: PATH           a pipe of the context        xattr: PATH NAME VALUE      an extended attribute
    users: host          RUN has the host's users, as BuildKit's
    allow: ENTITLEMENT   as --allow                   named: NAME PATH      --build-context: a directory of the context
    secret: ID TEXT      of the build

The context of all is the one of `tests/acceptance/cases.py`; the Dockerfile stands beside it. Devices are those of
`CDI`.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.acceptance.cases import MTIME, make_context
from tests.acceptance.checks.cases import sections

HERE = Path(__file__).parent
HEADS = (
    "arg",
    "target",
    "ignore",
    "file",
    "link",
    "mode",
    "fifo",
    "xattr",
    "users",
    "bytes",
    "allow",
    "named",
    "secret",
)
CONTEXT = frozenset(("file", "link", "mode", "fifo", "xattr"))
_AUTOMATIC, _CLASS = "org.mobyproject.buildkit.device.autoallow", "org.mobyproject.buildkit.device.class"
CDI: dict[str, Any] = {
    "device": {
        "foo": {"env": ["FOO=injected", "BOTH=foo"], "deviceNodes": [{"path": "/dev/other", "hostPath": "/dev/zero"}]},
        "bar": {"env": ["BAR=bar", "BOTH=bar"]},
        "free": {"env": ["FREE=1"], _AUTOMATIC: "true"},
        "modes": {
            "deviceNodes": [{"path": "/dev/moded", "hostPath": "/dev/zero", "fileMode": 0o640, "uid": 3, "gid": 4}]
        },
        "below": {"deviceNodes": [{"path": "/dev/deep/er/zero", "hostPath": "/dev/zero", "permissions": "r"}]},
        "mounts": {
            "mounts": [{"hostPath": "TOLD", "containerPath": "/vendor/told", "options": ["ro", "bind"]}],
        },
        "groups": {"additionalGIDs": [44]},
        "hooked": {"hooks": [{"hookName": "createRuntime", "path": "/bin/true"}]},
        "broken": {"deviceNodes": [{"path": "/dev/nosuch"}]},
    },
    "cards": {
        "one": {"env": ["CARD=one"], _CLASS: "gpu"},
        "two": {"env": ["CARD=two"], _CLASS: "gpu"},
        "lamp": {"env": ["LIGHT=on"], _CLASS: "light", _AUTOMATIC: "1"},
        "group": {"env": ["GROUPED=yes"], _CLASS: "vendor.example/group"},
    },
}
"""What is edited for `vendor.example/KIND=NAME`, and annotations."""
OTHER_DESCRIPTIONS = {
    "other.yaml": """\
cdiVersion: 0.6.0
kind: vendor.yaml/device
devices: [{name: plain, containerEdits: {env: [YAML=1]}}]
""",
    "old.yaml": """\
cdiVersion: 0.5.0
kind: vendor.old/device
devices:
- name: fits
  annotations: {org.mobyproject.buildkit.device.autoallow: "true"}
  containerEdits: {env: [OLD=1], additionalGIDs: [44]}
""",
    "one.yaml": "cdiVersion: 0.6.0\nkind: vendor.twice/device\ndevices: [{name: t, containerEdits: {env: [T=1]}}]\n",
    "two.yaml": "cdiVersion: 0.6.0\nkind: vendor.twice/device\ndevices: [{name: t, containerEdits: {env: [T=2]}}]\n",
    "odd.yaml": "cdiVersion: 0.6.0\nkind: vendor.odd/device\ndevices: [{name: o, containerEdits: {nosuch: [O=1]}}]\n",
    "same.txt": "cdiVersion: 0.6.0\nkind: vendor.text/device\ndevices: [{name: x, containerEdits: {env: [X=1]}}]\n",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One build of a feature's file."""

    feature: str
    name: str
    text: str
    heads: tuple[tuple[str, str], ...]

    def head(self, kind: str) -> list[str]:
        """The values of the header lines of one kind."""
        return [value for key, value in self.heads if key == kind]

    @property
    def args(self) -> dict[str, str]:
        """The build arguments."""
        return dict(word.split("=", 1) for word in self.head("arg"))

    @property
    def target(self) -> str | None:
        """The stage that is asked for."""
        return next(iter(self.head("target")), None)

    @property
    def named(self) -> dict[str, str]:
        """Directories of the context that are contexts of their own."""
        return dict(word.split(" ", 1) for word in self.head("named"))

    def secrets(self, work: Path) -> dict[str, Path]:
        """Secrets of the build, each in a file that is written here."""
        found = {}
        for value in self.head("secret"):
            id, _, text = value.partition(" ")
            found[id] = work / f"{self.feature}.{self.name}.secret"
            found[id].write_text(text.replace("\\n", "\n"), encoding="utf-8")
        return found

    @property
    def data(self) -> bytes:
        """The Dockerfile as bytes."""
        data = self.text.encode()
        if "crlf" in self.head("bytes"):
            data = data.replace(b"\n", b"\r\n")
        if "ESCAPES" in self.head("bytes"):
            data = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), data)
        return b"\xef\xbb\xbf" + data if "bom" in self.head("bytes") else data

    def write(self, work: Path) -> tuple[Path, Path]:
        """Write the Dockerfile, and the context if it is no common one: both places. `work` has `context` already."""
        file = work / f"{self.feature}.{self.name}/Dockerfile"
        file.parent.mkdir()
        file.write_bytes(self.data)
        if ignore := self.head("ignore"):
            (file.parent / "Dockerfile.dockerignore").write_text("\n".join(ignore) + "\n", encoding="utf-8")
        if not any(key in CONTEXT for key, _ in self.heads):
            return file, work / "context"
        context = work / f"{self.feature}.{self.name}.context"
        shutil.copytree(work / "context", context, symlinks=True)
        for key, value in self.heads:
            name, _, rest = value.partition(" ")
            place = context / name
            if key == "mode":
                place.chmod(int(rest, 8))
            elif key == "fifo":
                os.mkfifo(place, 0o644)
            elif key == "xattr":
                attribute, _, text = rest.partition(" ")
                data = bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()
                os.setxattr(place, attribute, data)
            elif key in ("file", "link"):
                place.parent.mkdir(parents=True, exist_ok=True)
                if key == "link":
                    place.symlink_to(rest)
                else:
                    place.write_text(rest.replace("\\n", "\n"), encoding="utf-8")
                    place.chmod(0o644)
        for folder, folders, names in os.walk(context, topdown=False):
            for one in [*folders, *names]:
                os.utime(Path(folder, one), (MTIME, MTIME), follow_symlinks=False)
        return file, context


def prepare(work: Path) -> None:
    """Make the common context, and describe devices in `cdi`."""
    (work / "context").mkdir()
    make_context(work / "context")
    (work / "cdi").mkdir()
    (work / "told").write_text("of the host\n", encoding="utf-8")
    for kind, devices in CDI.items():
        described: list[dict[str, Any]] = [
            {
                "name": name,
                "annotations": {key: value for key, value in edits.items() if isinstance(value, str)},
                "containerEdits": {key: value for key, value in edits.items() if not isinstance(value, str)},
            }
            for name, edits in devices.items()
        ]
        document: dict[str, Any] = {"cdiVersion": "0.7.0", "kind": f"vendor.example/{kind}", "devices": described}
        if kind == "cards":
            document["containerEdits"] = {"env": ["COMMON=1"]}
        text = json.dumps(document).replace("TOLD", str(work / "told"))
        (work / f"cdi/{kind}.json").write_text(text, encoding="utf-8")
    for name, text in OTHER_DESCRIPTIONS.items():
        (work / "cdi" / name).write_text(text, encoding="utf-8")


def features() -> list[str]:
    """The names of the files of cases."""
    return sorted(file.stem for file in (HERE / "cases").glob("*.txt"))


def cases(feature: str) -> Iterator[Case]:
    """The cases of one file."""
    for name, text in sections(HERE / f"cases/{feature}.txt"):
        heads: list[tuple[str, str]] = []
        lines = text.splitlines(keepends=True)
        while lines and (head := lines[0].partition(": "))[0] in HEADS:
            heads.append((head[0], head[2].rstrip("\n")))
            del lines[0]
        yield Case(feature, name, "".join(lines), tuple(heads))


def every() -> dict[str, Case]:
    """All cases by `feature/name`."""
    return {f"{case.feature}/{case.name}": case for feature in features() for case in cases(feature)}


def golden_file(feature: str) -> Path:
    """Where BuildKit's answers are kept."""
    return HERE / f"golden/{feature}.json"


@cache
def golden(feature: str) -> dict[str, Any]:
    """BuildKit's answers by the case's name."""
    file = golden_file(feature)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found
