"""What the runner tells its spawner: one process to start, in numbers and bytes only.

The spawner must stay small and import little, so this is a plain record that travels by `marshal` together with open
descriptors. Whatever needs judgement (look-ups, defaults, filters) was decided before.
"""

import marshal

# Positions of the descriptors that every job brings; then come cgroup.procs files, then detached mounts in order.
REPLY, STATUS, STDIN, STDOUT, STDERR, WHERE, FIRST_JOIN = range(7)

START, ENTER = "start", "enter"


class Job:
    """One process. START makes new walls around the mount WHERE; ENTER goes behind those of the process WHERE."""

    kind: str
    args: list[bytes]
    candidates: list[bytes]  # paths of the program to try, in order
    env: dict[bytes, bytes]
    cwd: bytes
    uid: int
    gid: int
    groups: list[int]
    namespaces: int  # CLONE_NEW* flags
    time_offset: int | None  # seconds
    joins: int  # how many cgroup.procs descriptors
    unified: bool  # whether a cgroup v2 directory follows them
    hostname: bytes
    mounts: list[
        tuple[bytes, bool, dict[bytes, bytes | None] | None, int]
    ]  # target, directory?, tmpfs or next fd, flags
    cgroup_view: list[tuple[bytes, bytes, dict[bytes, bytes | None]]]  # name ("" = the mount itself), fs type, options
    masked_sys: list[bytes]  # paths below /sys
    shm_size: int
    nodev: bool
    readonly_root: bool
    tty: bool
    init: bool
    capabilities: int  # a mask
    filter: bytes  # BPF, empty for none
    no_new_privileges: bool

    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)

    def dump(self) -> bytes:
        """As bytes for `load`."""
        return marshal.dumps(self.__dict__)

    @staticmethod
    def load(text: bytes) -> "Job":
        """What `dump` was given."""
        return Job(**marshal.loads(text))
