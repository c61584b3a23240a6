"""What the runtime tells the process that becomes a container: numbers and bytes, as in `runner.job`.

Descriptors that come with a `BundleSeed`: REPLY, STATUS, then namespace files in the order of `entered`, or for ENTER
the process whose walls are entered. With an `Order`: its own text, STDIN, STDOUT, STDERR, those that the command
inherits from 3 on (`preserved`), the fifo that it waits on (if `waits`), the root, then one a detached mount.
"""

from runner.job import Job, Seed

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from runner.oci.hooks import Hook

    Place = tuple[bytes, bytes, bool, dict[bytes, bytes | None], int, int, bool, int]

FIRST_NAMESPACE = 2
FIRST_PRESERVED = 3
HOOKS, LIMITS, READY, GO = b"hooks", b"limits", b"ready", b"go"
"""The words between the process and the runtime."""


class BundleSeed(Seed):
    """A process to be made for a bundle."""

    entered: list[int]  # CLONE_NEW* kinds, one a descriptor
    offsets: bytes  # for timens_offsets, empty without a time namespace of its own
    uid_map: bytes
    gid_map: bytes


class Order(Job):
    """What it becomes."""

    preserved: int
    waits: bool
    # kind, target, on a directory?, options, attributes, propagation, copy up?, how many descriptors; of the kind
    # "bind" a descriptor is attached, of "cgroup" one for each name in the options, any other is a new file system
    places: "list[Place]"
    nodes: list[tuple[bytes, int, int, int, int, int]]  # path, mode with type, major, minor, uid, gid
    own_dev: bool
    masked: list[bytes]
    readonly: list[bytes]
    sysctl: list[tuple[bytes, bytes]]
    domainname: bytes
    root_propagation: int
    pivot: bool
    keyring: bool
    in_user: bool  # in a user namespace that is not the host's
    own_cgroup: bool
    size: tuple[int, int]  # of the terminal: rows, columns
    console: bool  # whether /dev/console shows it
    umask: int
    personality: int  # -1 to leave it
    sets: tuple[int, int, int, int, int]  # bounding, effective, permitted, inheritable, ambient
    label: bytes  # what to write into the attribute `exec`, for a security module
    priority: int  # for ioprio_set(2), -1 to leave it
    hooked: bool  # whether the runtime has hooks to run before the root is changed
    inside_hooks: list["Hook"]  # createContainer
    start_hooks: list["Hook"]
    state: bytes  # what hooks read
