"""`RUN --mount=type=…,key=value,…`: from the unexpanded flag to a typed mount.

Keys and their legal mixes follow the Dockerfile reference, "RUN --mount". Every value but
`from` may hold variables, so a flag is checked twice: when the file is parsed (if it holds no
variable) and when the plan expands it.
"""

from dataclasses import dataclass
from typing import Literal

MountType = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked"]


@dataclass(frozen=True, slots=True)
class RunMount:
    """One mount of a RUN. `from_` "" is the context (bind) or nothing (cache); `size` in bytes.

    `target` may be "" for secret and ssh (they have a usual place) and is relative to WORKDIR.
    """

    type: MountType
    target: str = ""
    source: str = ""
    from_: str = ""
    readonly: bool = False
    id: str = ""
    sharing: Sharing = "shared"
    required: bool = False
    size: int | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None
