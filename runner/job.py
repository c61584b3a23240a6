"""What the runner tells its spawner, in numbers and bytes only: a process to make, later what it shall become.

The spawner must stay small and import little, so these are plain records that travel by `marshal` together with open
descriptors. Whatever needs judgement (look-ups, defaults, filters) was decided before. A `Seed` can be sown before it
is known what shall grow of it: joining control groups waits for the kernel longer than all the rest takes together.
"""

import marshal

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Self

# Positions of the descriptors that come with a seed; then come cgroup tasks files, the version-2 directory if there is
# one, and for ENTER the process whose walls are entered, for START the network namespace if it shares one, and the
# process whose other namespaces it joins.
REPLY, STATUS, FIRST_JOIN = range(3)
# Positions of those that come with a job, after its own text; then come detached mounts in order.
STDIN, STDOUT, STDERR, ROOT, FIRST_BIND = range(5)

START, ENTER, MAP = "start", "enter", "map"
REFUSED = "refused"
"""What a child tells instead of the step that broke when all was well but for its program; then its exit code, why."""
WIRED = b"wired"
"""A message to a child, before its job or after it: its network is there."""
HUSH = b"hush"
"""A message instead of a seed: whoever listens to the spawner's stderr is to be let go."""
LITTER = b"litter:"
"""A message instead of a seed, then a name: of a directory in that of the first descriptor, which is to be removed.

Further descriptors are kept open until it is gone.
"""
GROUPS = b"groups:"
"""A message instead of a seed, then paths, each after a NUL: of control groups that are empty, and to be removed.

Descriptors are kept open until they are gone.
"""


class Record:
    """Values by name."""

    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)

    def dump(self) -> bytes:
        """As bytes for `load`."""
        return marshal.dumps(self.__dict__)

    @classmethod
    def load(cls, text: bytes) -> "Self":
        """What `dump` was given."""
        return cls(**marshal.loads(text))


class Seed(Record):
    """A process without an order. START gives it namespaces of its own; ENTER goes behind the walls of another.

    MAP is none: it asks for a user namespace, whose descriptor comes in the place of a process's.
    """

    kind: str
    namespaces: int  # CLONE_NEW* flags
    uid_map: bytes  # of CLONE_NEWUSER, as the kernel's file is written
    gid_map: bytes
    time_offset: int | None  # seconds
    joins: int  # how many tasks descriptors
    unified: bool  # whether a cgroup v2 directory follows them
    shares_network: bool = False  # whether the network namespace of others follows, for START
    joins_others: int = 0  # CLONE_NEW* flags of namespaces of a process that follows, for START
    own_cgroups: bool = True  # whether it sees the control groups from its own on, for START
    cgroup_view: list[tuple[bytes, bytes, dict[bytes, bytes | None]]]  # name ("" = the mount itself), fs type, options
    oom_score_adj: int | None
    writable_sys: bool
    masked: list[bytes]  # paths below the root, in /proc and /sys
    readonly: list[bytes]  # paths below the root, in /proc
    bounding: int  # a mask: what nobody below it can have


class Job(Record):
    """What a seed becomes. For START new walls are made around the mount ROOT; ENTER has no use for it."""

    args: list[bytes]
    candidates: list[bytes]  # paths of the program to try, in order
    env: dict[bytes, bytes]
    cwd: bytes
    uid: int
    gid: int
    groups: list[int]
    hostname: bytes
    domainname: bytes  # empty for the host's
    mounts: list[
        tuple[bytes, bool, dict[bytes, bytes | None] | None, int]
    ]  # target, directory?, tmpfs or next fd, flags
    shm_size: int
    nodev: bool
    readonly_root: bool
    devices: list[tuple[bytes, bytes, int, int, int, int, int]]  # path below /dev, host's path, mode, numbers, owner
    given: bool  # whether the first bind is a file system with a node for each of them, by its place in the list
    masked: list[bytes]  # paths below the root, elsewhere than in /proc and /sys
    sysctls: list[tuple[bytes, bytes]]  # path below /proc/sys, value
    emulator: bytes  # how binfmt_misc shall know it, empty for none; it is the last descriptor then
    ulimits: list[tuple[int, int, int]]  # resource, soft, hard
    tty: bool
    init: bool
    until_wired: bool = False  # whether it waits for a word that its network is there, before it gives rights away
    capabilities: int  # a mask
    filter: bytes  # BPF, empty for none
    no_new_privileges: bool
