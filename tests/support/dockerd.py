"""A private docker daemon, with its client, that leaves nothing behind.

The daemon lives in mount and pid namespaces of its own: its mounts are invisible to the host, and when its
first process goes, the kernel kills the rest. It may run from another root directory (a chroot of a newer
Debian, say) so that a newer BuildKit can be asked; the `shared` directories are then seen under the same
path on both sides. Its network knows neither bridge nor firewall rules, so containers get `host` or `none`.
"""

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

STARTED_WITHIN = 60.0  # seconds
_UNSHARE = "unshare --mount --propagation private --pid --fork --kill-child --mount-proc --".split()

_ENTER = """
set -e
if [ "$ROOT" != / ]; then
    mount --bind "$ROOT" "$ROOT"
    mount -t proc proc "$ROOT/proc"
    mount --rbind /sys "$ROOT/sys"
    mount --rbind /dev "$ROOT/dev"
    mount -t tmpfs tmpfs "$ROOT/run"
    mount -t tmpfs tmpfs "$ROOT/tmp"
    for directory in "$@"; do
        mkdir -p "$ROOT$directory"
        mount --bind "$directory" "$ROOT$directory"
    done
    cp /etc/resolv.conf /etc/hosts "$ROOT/etc/" 2>/dev/null || true
    mkdir -p "$ROOT/.host"
    cd "$ROOT"
    pivot_root . .host
    umount -l /.host
fi
exec dockerd --data-root "$STATE/data" --exec-root "$STATE/exec" --pidfile "$STATE/pid" --host "unix://$STATE/sock" \
    --bridge none --iptables=false --ip6tables=false --ip-masq=false --cgroup-parent "$CGROUP" $OPTIONS
"""


class DockerdUnavailable(Exception):
    """The daemon is not installed, or did not come up; the text ends with its log."""


@dataclass(frozen=True, slots=True)
class Dockerd:
    """A running daemon and the way to its client."""

    pid: int
    state: Path
    root: Path

    def command(self, *args: str | Path) -> list[str]:
        """The argument list of `docker ARGS…` against this daemon."""
        inside: list[str] = []
        if self.root != Path("/"):
            inside = ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--wd=/", "--"]
        # The distribution's client; an unrelated docker may stand earlier on PATH.
        docker = [
            "env",
            f"DOCKER_CONFIG={self.state / 'config'}",
            "/usr/bin/docker",
            "--host",
            f"unix://{self.state}/sock",
        ]
        return [*inside, *docker, *map(str, args)]

    def docker(
        self, *args: str | Path, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the client; raises `CalledProcessError` with its stderr as a note when `check` is set."""
        done = subprocess.run(self.command(*args), input=stdin or "", capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            failure = subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
            failure.add_note(done.stderr)
            raise failure
        return done


def _first_child(pid: int) -> int | None:
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return int(children[0]) if children else None
    return None


def remove_cgroups(name: str) -> None:
    """Remove what is left of an engine's cgroups; its processes are gone, so the directories are empty."""
    for top in Path("/sys/fs/cgroup").glob(f"**/{name}"):
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)


def _log_tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:] if log.exists() else ""


@contextmanager
def dockerd(
    state: Path, *, root: Path = Path("/"), shared: Sequence[Path] = (), options: str = ""
) -> Iterator[Dockerd]:
    """Start a daemon that keeps everything under `state`, and stop it on the way out.

    Raises `DockerdUnavailable` when it is not installed or does not answer in time.
    """
    binary = root / "usr/sbin/dockerd"
    if not binary.exists() or shutil.which("unshare") is None:
        raise DockerdUnavailable(f"{binary} is missing: apt-get install docker.io")
    state.mkdir(parents=True, exist_ok=True)
    (state / "config").mkdir(exist_ok=True)
    cgroup = f"pybuild-peer-{os.getpid()}-{state.name}"
    log = state / "log"
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "ROOT": str(root),
        "STATE": str(state),
        "CGROUP": f"/{cgroup}",
        "OPTIONS": options,
        "HOME": str(state),
    }
    with log.open("wb") as out:
        outer = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", _ENTER, "enter", str(state), *map(str, shared)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + STARTED_WITHIN
        while True:
            if outer.poll() is not None or time.monotonic() > deadline:
                raise DockerdUnavailable(f"dockerd did not start ({shlex.quote(str(root))}):\n{_log_tail(log)}")
            if (pid := _first_child(outer.pid)) is not None and (state / "sock").exists():
                running = Dockerd(pid, state, root)
                if running.docker("version", check=False).returncode == 0:
                    break
            time.sleep(0.2)
        yield running
    finally:
        if (pid := _first_child(outer.pid)) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        try:
            outer.wait(20)
        except subprocess.TimeoutExpired:
            outer.kill()
            outer.wait()
        remove_cgroups(cgroup)
