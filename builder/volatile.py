"""Files that programs fill from the clock or by chance, known by where they are, and how an image gets rid of them."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

REMOVED = (
    "/etc/machine-id",
    "/etc/ssh/ssh_host_*",
    "/etc/ssl/certs/ssl-cert-snakeoil.pem",
    "/etc/ssl/private/ssl-cert-snakeoil.key",
    "/home/*/.cache",
    "/home/*/.npm",
    "/root/.cache",
    "/root/.npm",
    "/root/.wget-hsts",
    "/tmp/*",
    "/usr/local/share/.cache",
    "/var/cache/apk/*",
    "/var/cache/apt/*",
    "/var/cache/dnf/*",
    "/var/cache/fontconfig/*",
    "/var/cache/ldconfig/aux-cache",
    "/var/cache/man/*",
    "/var/cache/yum/*",
    "/var/lib/apt/lists/*",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/catalog/database",
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/timers/*",
    "/var/log/*.log",
    "/var/log/apt/*",
    "/var/log/journal/*",
    "/var/tmp/*",
)
"""As words of rm, which may take all of them away: package managers, caches of users, keys, logs."""
BYTECODE = "*/__pycache__/*.pyc"
"""Has the time of its source if an import wrote it, and no compiler."""


def remedy(paths: Iterable[str]) -> str:
    """What to do about files (absolute paths) of which some are new each time, as is known; "" if none is."""
    gone: set[str] = set()
    compiled = False
    for path in paths:
        found = [word for word in REMOVED if _takes(word, path)]
        gone.update(found)
        compiled |= not found and fnmatchcase(path, BYTECODE)
    ways = [f"end the RUN that makes them with rm -rf {' '.join(sorted(gone))}"] if gone else []
    ways += ["set ENV PYTHONDONTWRITEBYTECODE=1 before Python runs"] if compiled else []
    return f"some of these files are new each time; {', and '.join(reversed(ways))}" if ways else ""


def _takes(word: str, path: str) -> bool:
    """Whether `rm -rf word` takes a file away; `*` is any text but a slash."""
    parts, wanted = path.split("/"), word.split("/")
    return len(parts) >= len(wanted) and all(map(fnmatchcase, parts, wanted))
