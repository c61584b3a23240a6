"""Long Dockerfiles: of any number of lines, with what such files are full of."""

from __future__ import annotations

import resource
import time

from builder.dockerfile import expansion, parse
from builder.planning.plan import plan
from builder.request import BuildRequest
from layers import Platform, Reference

STEPS = 20
"""Lines to a step; what is between are variables, labels, ports and comments, a quarter of all ENV."""
ROUNDS = 10


def text(count: int, base: str) -> str:
    """A file of so many lines, whose variables are used."""
    lines = [f"FROM {base}"]
    for number in range(1, count):
        last = f"$NAME_{(number - 1) // 4 * 4}"
        if number % STEPS == STEPS - 1:
            step = number // STEPS
            run = f"RUN echo {last} > /file-{step}" if base != "scratch" else f"WORKDIR /{last}/run"
            lines.append((run, f"COPY Dockerfile /copy/{last}/{step}", f"WORKDIR /work/{step}")[step % 3])
        elif number % 4 == 0:
            lines.append(f'ENV NAME_{number}=value-{number} OTHER_{number}="a {last} b"')
        elif number % 4 == 1:
            lines.append(f'LABEL org.example.label-{number}="some text {number}"')
        elif number % 4 == 2:
            lines.append(f"ARG ARGUMENT_{number}=default-{number}" if number % 8 == 2 else f"EXPOSE {number % 60000}")
        else:
            lines.append("# why it is so" if number % 8 == 3 else "")
    return "\n".join(lines) + "\n"


def planned(count: int) -> tuple[float, int]:
    """CPU seconds that a plan takes, the file parsed and nothing known before: the least of some; and MiB."""
    data, least = text(count, "scratch").encode(), float("inf")

    def images(*_: object) -> object:
        raise AssertionError("it stands on nothing")

    for _ in range(ROUNDS):
        expansion._parsed.cache_clear()
        began = time.process_time()
        request = BuildRequest(context=None, text=data)
        plan(parse(data), request, Platform.host(), images, print, named=Reference.parse)  # type: ignore[arg-type]
        least = min(least, time.process_time() - began)
    return least, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
