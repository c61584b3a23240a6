"""The options of a mount in config.json: attributes of the mount, its propagation, and words for the file system."""

from collections.abc import Iterable, Mapping

from layers.quick import dataclass, field
from runner.linux import MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE, NODEV, NOEXEC, NOSUID, RDONLY

ATIME, NOATIME, STRICTATIME, NODIRATIME, NOSYMFOLLOW = 0x70, 0x10, 0x20, 0x80, 0x200000
# What each word sets and clears.
ATTRIBUTES: Mapping[str, tuple[int, int]] = {
    "ro": (RDONLY, 0),
    "rw": (0, RDONLY),
    "nosuid": (NOSUID, 0),
    "suid": (0, NOSUID),
    "nodev": (NODEV, 0),
    "dev": (0, NODEV),
    "noexec": (NOEXEC, 0),
    "exec": (0, NOEXEC),
    "nodiratime": (NODIRATIME, 0),
    "diratime": (0, NODIRATIME),
    "nosymfollow": (NOSYMFOLLOW, 0),
    "symfollow": (0, NOSYMFOLLOW),
    "relatime": (0, ATIME),
    "norelatime": (0, ATIME),
    "noatime": (NOATIME, ATIME),
    "atime": (0, ATIME),
    "strictatime": (STRICTATIME, ATIME),
    "nostrictatime": (0, ATIME),
}
PROPAGATION: Mapping[str, int] = {
    prefix + word: flag | (MS_REC if prefix else 0)
    for word, flag in (
        ("private", MS_PRIVATE),
        ("slave", MS_SLAVE),
        ("shared", MS_SHARED),
        ("unbindable", MS_UNBINDABLE),
    )
    for prefix in ("", "r")
}
FLAGS = frozenset("sync dirsync lazytime mand iversion".split())
"""Words that a file system takes as flags; a bind mount has none of its own to change."""
NOTHING = frozenset("defaults async nolazytime nomand noiversion loud silent rw".split())


@dataclass(slots=True)
class Options:
    """What a list of options comes to."""

    add: int = 0
    clear: int = 0
    deep_add: int = 0
    deep_clear: int = 0
    bind: bool = False
    recursive: bool = False
    propagation: int = 0
    copied: bool = False
    mapped: str = ""
    data: dict[bytes, bytes | None] = field(default_factory=dict)


def read(words: Iterable[str]) -> Options:
    """What the words say. Raises ValueError for those that cannot be given."""
    found = Options()
    for word in words:
        if word in ATTRIBUTES:
            add, clear = ATTRIBUTES[word]
            found.add = found.add & ~clear | add
            found.clear = found.clear & ~add | clear & ~add
        elif word.startswith("r") and word[1:] in ATTRIBUTES:
            add, clear = ATTRIBUTES[word[1:]]
            found.deep_add = found.deep_add & ~clear | add
            found.deep_clear = found.deep_clear & ~add | clear
        elif word in PROPAGATION:
            found.propagation = PROPAGATION[word]
        elif word in ("bind", "rbind"):
            found.bind, found.recursive = True, word == "rbind"
        elif word == "tmpcopyup":
            found.copied = True
        elif word in ("idmap", "ridmap"):
            found.mapped = word
        elif word in ("remount", "copy-symlink"):
            raise ValueError(f"the option {word!r} is not supported")
        elif word not in NOTHING:
            key, equals, value = word.partition("=")
            found.data[key.encode()] = value.encode() if equals else None
    return found
