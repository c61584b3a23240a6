"""Dockerfiles made worse: lines and tokens of good ones, cut, doubled, swapped and stirred."""

from __future__ import annotations

import random
from pathlib import Path

from tests.acceptance.checks.cases import CASES, sections
from tests.acceptance.checks.hadolint import CASES as HADOLINT

TOKENS: tuple[bytes, ...] = (
    *(b"FROM scratch", b"FROM scratch AS a", b"FROM a", b" AS ", b"ARG ", b"ENV ", b"RUN ", b"COPY ", b"ADD "),
    *(b"CMD ", b"ENTRYPOINT ", b"ONBUILD ", b"SHELL ", b"LABEL ", b"EXPOSE ", b"HEALTHCHECK ", b"VOLUME ", b"USER "),
    *(b"WORKDIR ", b"STOPSIGNAL ", b"MAINTAINER ", b"NONE", b"--from=", b"--from=0", b"--mount=type=cache,target=/x"),
    *(b"--chown=", b"--", b"--chmod=", b"--platform=", b"--link", b"--parents", b"--exclude=", b"--checksum="),
    *(b"--interval=", b"--retries=", b"${", b"}", b"$", b"${a:-", b"${a##", b"${a%%", b"${a/", b"${a//", b"/"),
    *(b"${a?", b"${a:+", b"$a", b"$1", b"$@", b"\\", b"\\\n", b"`", b'"', b"'", b"[", b"]", b'["', b'"]', b",", b"="),
    *(b":", b"-", b"<<E", b"<<-E", b'<<"E"', b"\nE\n", b"#", b"# check=", b"# check=skip=all", b"# escape=`\n"),
    *(b"# syntax=", b"experimental=all", b";error=true", b"\n\n", b"\xef\xbb\xbf", b"\xff", b"\xc3", b"\x00"),
    *(b"\r\n", b"\r", b"\t", b"\x0b", b"\x0c", b"\x1b[31m", b"\xe2\x80\xa8", b"\xc2\xa0", b"80/tcp", b"99999"),
    *(b"1-0", b"1h", b"-1", b"*", b"[a-", b"?", b"..", b"/./", b"@sha256:", b"latest", b"&&", b"||", b"|"),
    *(b"apt-get install", b"apt-get update", b"cd ", b"sudo ", b"$(", b"$((", b")", b"(", b";", b'{"a":1}', b"null"),
    *(b"\\u0000",),
)


def seeds() -> list[bytes]:
    """Good and bad Dockerfiles to begin with."""
    root = Path(__file__).parents[2]
    files = [*root.glob("tests/acceptance/dockerfiles/*.Dockerfile"), *root.glob("examples/**/*Dockerfile*")]
    found = [file.read_bytes() for file in files if file.is_file()]
    return [*found, *(text.encode() for file in (CASES, HADOLINT) for _, text in sections(file))]


class Mutator:
    """Endless inputs, the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seeds = seeds()

    def next(self) -> bytes:
        """One input."""
        random = self.random
        data = random.choice(self.seeds)
        for _ in range(random.choice((1, 1, 2, 3, 5, 8, 13))):
            data = random.choice((self.token_, self.line_, self.byte_, self.splice_, self.repeat_, self.cut_))(data)
        return data[: 1 << 16]

    def token_(self, data: bytes) -> bytes:
        """A token somewhere."""
        at = self.random.randint(0, len(data))
        return data[:at] + self.random.choice(TOKENS) + data[at:]

    def line_(self, data: bytes) -> bytes:
        """A line moved, doubled or gone."""
        lines = data.split(b"\n")
        one, other = self.random.randrange(len(lines)), self.random.randrange(len(lines))
        kind = self.random.randrange(3)
        if kind == 0:
            lines[one], lines[other] = lines[other], lines[one]
        elif kind == 1:
            lines.insert(other, lines[one])
        else:
            del lines[one]
        return b"\n".join(lines)

    def byte_(self, data: bytes) -> bytes:
        """A byte that is another one."""
        if not data:
            return b"\x00"
        at = self.random.randrange(len(data))
        return data[:at] + bytes((self.random.randrange(256),)) + data[at + 1 :]

    def splice_(self, data: bytes) -> bytes:
        """The beginning of one and the end of another."""
        other = self.random.choice(self.seeds)
        return data[: self.random.randint(0, len(data))] + other[self.random.randint(0, len(other)) :]

    def repeat_(self, data: bytes) -> bytes:
        """A piece many times over: what takes long shows."""
        start = self.random.randint(0, len(data))
        end = min(len(data), start + self.random.choice((1, 2, 3, 8, 40)))
        return data[:start] + data[start:end] * self.random.choice((2, 10, 100, 1000)) + data[end:]

    def cut_(self, data: bytes) -> bytes:
        """A piece gone."""
        start = self.random.randint(0, len(data))
        return data[:start] + data[start + self.random.choice((1, 2, 5, 20)) :]
