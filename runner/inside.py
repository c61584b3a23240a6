"""Processes where no lock and no control group is theirs: who lives still, and who is among whom."""

import os
from contextlib import suppress
from pathlib import Path


def processes(pid: int) -> set[int]:
    """All in the PID namespace of a process, by their numbers here; itself alone if that is ours, too."""
    place = _namespace(str(pid))
    if not place or place == _namespace("self"):
        return {pid}
    return {int(name) for name in os.listdir("/proc") if name.isdigit() and _namespace(name) == place}


def _namespace(name: str) -> str:
    with suppress(OSError):  # it has ended, or is somebody else's
        return os.readlink(f"/proc/{name}/ns/pid")
    return ""


def began(pid: int) -> int:
    """When a living process began, in clock ticks since boot; 0 if it has ended or never was."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])
