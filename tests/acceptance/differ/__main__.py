"""Ask the BuildKit of a chroot what it makes of the cases, and keep it.

`python -m tests.acceptance.differ CHROOT [FEATURE | FEATURE/NAME]…`, a chroot as `bench/peers/sid` makes it, or for
COPY --parents, RUN --device and RUN --security `bench/peers/labs`; without names, the cases that have no answer yet.
"""

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.acceptance.cases import base_tree
from tests.acceptance.differ.cases import Case, cases, features, golden, golden_file, prepare
from tests.acceptance.differ.told import told
from tests.support.bases import DOCKERFILES, rootfs
from tests.support.dockerd import Dockerd, dockerd
from tests.support.images import Tree, read_image


def main(root: Path, wanted: Sequence[str] = ()) -> None:
    """Write the golden files."""
    base = base_tree()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        work = Path(scratch)
        prepare(work)
        (work / "busybox").mkdir()
        (work / "busybox/rootfs.tar").write_bytes(rootfs("busybox").read_bytes())
        (work / "busybox/Dockerfile").write_bytes((DOCKERFILES / "busybox/Dockerfile").read_bytes())
        settings = {
            "features": {"containerd-snapshotter": True},
            "builder": {"Entitlements": {"security-insecure": True}},
            "cdi-spec-dirs": [str(work / "cdi")],
        }
        (work / "daemon.json").write_text(json.dumps(settings), encoding="utf-8")
        options = f"--config-file {work}/daemon.json"
        with dockerd(work / "daemon", root=root, shared=[work], options=options) as daemon:
            daemon.docker("buildx", "build", "--provenance=false", "-t", "busybox", work / "busybox")
            for feature in features():
                kept = golden(feature)
                here = {case.name: case for case in cases(feature)}
                asked = [
                    case
                    for name, case in here.items()
                    if feature in wanted or f"{feature}/{name}" in wanted or (not wanted and name not in kept)
                ]
                # One at a time: builds at once of one directory see what others asked of it.
                found = kept | {case.name: answer(daemon, case, work, base) for case in asked}
                lines = (
                    f" {json.dumps(name)}: {json.dumps(found[name], ensure_ascii=False, sort_keys=True)}"
                    for name in here
                    if name in found
                )
                golden_file(feature).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
                print(feature, len(asked))


def answer(daemon: Dockerd, case: Case, work: Path, base: Tree) -> dict[str, Any]:
    """What BuildKit makes of a case, or the last line of why not."""
    file, context = case.write(work)
    out = work / f"{case.feature}.{case.name}.tar"
    flags = [f"--build-arg={key}={value}" for key, value in case.args.items()]
    flags += [f"--allow={one}" for one in case.head("allow")]
    flags += [f"--build-context={name}={context / path}" for name, path in case.named.items()]
    flags += [f"--secret=id={id},src={path}" for id, path in case.secrets(work).items()]
    if case.target is not None:
        flags.append(f"--target={case.target}")
    # fmt: off
    done = daemon.docker("buildx", "build", "--provenance=false", "--network=none", "--no-cache", "--progress=quiet",
                         "-o", f"type=oci,dest={out},compression=uncompressed", "-f", file, *flags, context,
                         check=False)
    # fmt: on
    if done.returncode:
        return {"error": re.sub(rf"{work}/?", "", done.stderr.strip().splitlines()[-1])}
    try:
        return told(read_image(out), base, created=case.feature == "epoch")
    finally:
        out.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
