"""A small web of the test's own on the loopback interface: files with every header, and git repositories."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LAST_MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"
MTIME = 1_700_000_000
BACKEND = "/usr/lib/git-core/git-http-backend"
AUTHOR = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_AUTHOR_DATE": f"{MTIME} +0000",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_COMMITTER_DATE": f"{MTIME} +0000",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


@dataclass
class Page:
    """What is served at a path. `cut`: bytes after which the first answer breaks off; `ranges`: it can go on then."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = False
    head: bool = True


class Handler(BaseHTTPRequestHandler):
    """Answers from the pages of its site."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        site = self.server.site
        path = urlsplit(self.path).path
        site.asked.append((self.command, path, {name.lower(): value for name, value in self.headers.items()}))
        if site.repositories is not None and path.startswith("/git/"):
            self._git(site.repositories)
            return
        page = site.pages.get(path)
        if page is None:
            self._send(404, {}, b"")
            return
        if self.command == "HEAD" and not page.head:
            self._send(405, {}, b"")
            return
        tag = page.headers.get("ETag", "")
        if tag and tag in self.headers.get("If-None-Match", ""):
            self._send(304, {"ETag": tag}, b"")
            return
        modified = page.headers.get("Last-Modified")
        if not tag and modified and self.headers.get("If-Modified-Since") == modified:
            self._send(304, {}, b"")
            return
        asked = self.headers.get("Range", "")
        if page.ranges and asked.startswith("bytes="):
            start = int(asked[6:].rstrip("-"))
            told = {"Content-Range": f"bytes {start}-{len(page.body) - 1}/{len(page.body)}"}
            self._send(206, {**page.headers, **told}, page.body[start:])
            return
        cut, page.cut = page.cut, None
        self._send(page.status, page.headers, page.body, cut)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def _git(self, folder: Path) -> None:
        """Through git's own CGI program."""
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "PATH_INFO": parts.path.removeprefix("/git"),
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run([BACKEND], env=environment, input=body, capture_output=True, check=False)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200 OK").split()[0])
        self._send(status, headers, rest)


class Server(ThreadingHTTPServer):
    """Knows its site."""

    daemon_threads = True
    site: Site


@dataclass
class Site:
    """The pages by path, what was asked (method, path, headers in lower case), and where it is."""

    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    repositories: Path | None = None

    def methods(self, path: str) -> list[str]:
        """How a path was asked for, in order."""
        return [method for method, asked, _ in self.asked if asked == path]


@contextmanager
def website() -> Iterator[Site]:
    """A site that is there while inside."""
    server = Server(("127.0.0.1", 0), Handler)
    site = server.site = Site(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def git(folder: Path, *args: str) -> str:
    """What a command of git prints."""
    environment = {**os.environ, **AUTHOR}
    done = subprocess.run(["git", *args], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {args}: {done.stderr}"
    return done.stdout.strip()


def repository(folder: Path, fill: Callable[[Path], object]) -> str:
    """Make a repository with one commit of what `fill` writes; the commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    fill(folder)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=first")
    return git(folder, "rev-parse", "HEAD")
