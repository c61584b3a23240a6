"""What is compared of a build."""

import io
import tarfile
import time
from datetime import datetime
from typing import Any

from tests.acceptance.cases import MTIME, digest_of
from tests.support.images import Image, Tree

USUAL = {
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    "WorkingDir": "/",
    "Cmd": ["sh"],
}
"""What nearly every config has, and is left out."""


def told(image: Image, base: Tree, *, created: bool = False) -> dict[str, Any]:
    """Config, history, files, what is gone, the paths with the context's time, the number of layers; if asked, times.

    Those of the image and its history, "now" for what is of today.
    """
    found = digest_of(image, base)
    found["config"] = {key: value for key, value in found["config"].items() if USUAL.get(key) != value}
    times: dict[str, int] = {}
    for raw in image.layers:
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            times |= {member.name.strip("/"): int(member.mtime) for member in tar}
    found["dated"] = sorted(name for name, mtime in times.items() if mtime == MTIME and name in found["tree"])
    found["layers"] = len(image.layers)
    del found["platform"]
    if created:
        found["created"] = [_dated(row.get("created")) for row in (image.config, *image.config["history"])]
    return {key: value for key, value in found.items() if value}


def _dated(text: str | None) -> str | None:
    if text is None:
        return None
    past = time.time() - datetime.fromisoformat(text).timestamp()
    return "now" if abs(past) < 24 * 60 * 60 else text
