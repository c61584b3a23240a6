"""Ask the BuildKit of a chroot what its checks say, and keep it.

`python -m tests.acceptance.checks CHROOT`, a chroot as `bench/peers/sid` makes it.
"""

import base64
import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.acceptance.checks.cases import GOLDEN, IMAGES, cases
from tests.support.dockerd import Dockerd, dockerd
from tests.support.registry import registry_server

ELSEWHERE = "registry.test"
"""Stands for the registry that other platforms' images come from."""


def main(root: Path) -> None:
    """Write the golden file anew."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
        shared = Path(work) / "shared"
        shared.mkdir()
        options = "--feature containerd-snapshotter=true"  # only then are images of other platforms bases
        with (
            registry_server(Path(work) / "registry") as registry,
            dockerd(Path(work) / "state", root=root, shared=[shared], options=options) as daemon,
        ):
            (shared / "one.tar").write_bytes(tar({"x": b"x"}))
            for name, (platform, text) in IMAGES.items():
                daemon.docker("import", "--platform", platform, shared / "one.tar", "start")
                stdin = f"FROM start:latest\n{text}\n"
                daemon.docker("buildx", "build", "--platform", platform, "--tag", name, "-", stdin=stdin)
            # A manifest without an index: only that can be for another platform than was asked for.
            daemon.docker("import", "--platform", "linux/arm64", shared / "one.tar", registry.reference("wrong:latest"))
            daemon.docker("push", registry.reference("wrong:latest"))
            found, texts = {}, {case.name: case.text for case in cases()}
            for case in cases():
                place = case.write(shared / case.name)
                file = place / "Dockerfile"
                file.write_text(file.read_text().replace(ELSEWHERE, registry.host))
                found[case.name] = {call: asked(daemon, place, call, case.flags) for call in case.calls}
            text = json.dumps(found).replace(registry.host, ELSEWHERE)
    found = json.loads(text)
    for name, answers in found.items():
        for answer in answers.values():
            for source in answer.get("data", {}).get("sources") or ():
                if isinstance(source, dict):  # what was sent names the registry of that moment
                    source["data"] = base64.b64encode(texts[name].encode()).decode()
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def asked(daemon: Dockerd, place: Path, call: str, flags: list[str]) -> dict[str, Any]:
    """What one call answers: its exit code, and its output as text and, where it has one, as data."""
    done = daemon.docker("buildx", "build", "--progress=quiet", f"--call={call}", *flags, place, check=False)
    answer: dict[str, Any] = {"code": done.returncode}
    if not call.endswith("json"):
        return answer | {"text": done.stdout.replace(str(place), "."), "error": done.stderr.replace(str(place), ".")}
    try:
        data = json.loads(done.stdout)
    except ValueError:
        return answer | {"error": done.stderr.replace(str(place), ".")}
    for source in data.get("sources") or ():
        if isinstance(source, dict):
            source.pop("definition", None)
    return answer | {"data": data}


def tar(files: dict[str, bytes]) -> bytes:
    """A tar of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
