"""What is compared of a build."""

import io
import tarfile
from typing import Any

from tests.acceptance.cases import MTIME, digest_of
from tests.support.images import Image, Tree

USUAL = {
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    "WorkingDir": "/",
    "Cmd": ["sh"],
}
"""What nearly every config has, and is left out."""


def told(image: Image, base: Tree) -> dict[str, Any]:
    """Config, history, files, what is gone, the paths with the context's time, and the number of layers."""
    found = digest_of(image, base)
    found["config"] = {key: value for key, value in found["config"].items() if USUAL.get(key) != value}
    times: dict[str, int] = {}
    for raw in image.layers:
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            times |= {member.name.strip("/"): int(member.mtime) for member in tar}
    found["dated"] = sorted(name for name, mtime in times.items() if mtime == MTIME and name in found["tree"])
    found["layers"] = len(image.layers)
    del found["platform"]
    return {key: value for key, value in found.items() if value}
