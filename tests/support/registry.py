"""Debian's docker-registry as a test's own: on 127.0.0.1, on a free port, gone with the test."""

import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

STARTED_WITHIN = 30.0  # seconds

_CONFIG = """
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{data}"}}, delete: {{enabled: {delete}}}}}
http: {{addr: "127.0.0.1:{port}", secret: "of one test"}}
"""
_HTPASSWD = """
auth: {{htpasswd: {{realm: test, path: "{file}"}}}}
"""


@dataclass(frozen=True, slots=True)
class RegistryServer:
    """A running registry: `host` is what stands before the slash of a reference."""

    host: str
    data: Path

    def reference(self, name: str) -> str:
        """A reference to `name` in this registry."""
        return f"{self.host}/{name}"


@contextmanager
def registry_server(
    folder: Path, *, users: Mapping[str, str] | None = None, auth: str = "", delete: bool = True
) -> Iterator[RegistryServer]:
    """Start a registry that keeps its blobs under `folder`; `users` maps names to passwords (basic auth).

    `auth` is another section of that name for its configuration.
    """
    binary = shutil.which("docker-registry")
    if binary is None:
        raise FileNotFoundError("docker-registry is missing: apt-get install docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = _CONFIG.format(data=folder / "data", port=port, delete=str(delete).lower()) + auth
    if users is not None:
        import bcrypt

        lines = [f"{user}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode()}\n" for user, word in users.items()]
        (folder / "htpasswd").write_text("".join(lines), encoding="utf-8")
        config += _HTPASSWD.format(file=folder / "htpasswd")
    (folder / "config.yml").write_text(config, encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "serve", folder / "config.yml"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, port, folder / "log")
        yield RegistryServer(f"127.0.0.1:{port}", folder / "data")
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + STARTED_WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/v2/")
            connection.getresponse().read()
            connection.close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"docker-registry did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")
