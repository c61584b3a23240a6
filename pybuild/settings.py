"""What holds for every command: flags, environment, defaults, read once at the start.

Flags win over `PYBUILD_*` variables, those over the defaults. Nothing else of the roof reads the environment for these.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from layers.quick import dataclass

OWNER = "PYBUILD_ROOTLESS_UID"
"""Set in processes that are root only in a user namespace of their own (`runner.rootless`)."""
STANDING = "PYBUILD_ROOTLESS_STANDING"
"""Set in those whose namespace knows owners in a way of its own (there, too)."""
HOMELESS = "/nonexistent"
"""The home of who has none, as Debian writes it into /etc/passwd: nobody can make it."""
TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True)
class Settings:
    """root: where the store lies. debug: errors come with a traceback. color: stderr may be coloured."""

    root: Path
    debug: bool = False
    color: bool = False

    @classmethod
    def gather(
        cls, environ: Mapping[str, str], *, root: str | None = None, debug: bool = False, color: bool = True
    ) -> Settings:
        """Settings from flags (None or False: not given) and the environment."""
        where = root or environ.get("PYBUILD_ROOT") or ""
        return cls(
            Path(os.path.abspath(where)) if where else default_root(environ),
            debug or environ.get("PYBUILD_DEBUG", "").lower() in TRUE,
            color and colored(environ),
        )


def default_root(environ: Mapping[str, str]) -> Path:
    """The usual data directory: /var/lib/pybuild for root, $XDG_DATA_HOME/pybuild (~/.local/share) for others."""
    if os.geteuid() == 0 and OWNER not in environ:
        return Path("/var/lib/pybuild")
    data = environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(data):
        return Path(data, "pybuild")
    home = environ.get("HOME") or ("" if OWNER in environ else os.path.expanduser("~"))
    return Path(home if os.path.isabs(home) else HOMELESS, ".local/share/pybuild")


def colored(environ: Mapping[str, str]) -> bool:
    """Colour on stderr: NO_COLOR (no-color.org) forbids it, FORCE_COLOR asks for it, else a terminal decides."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return sys.stderr.isatty() and environ.get("TERM") != "dumb"
