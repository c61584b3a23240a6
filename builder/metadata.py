"""What instructions do to an image's config, and the words that history has for them.

Texts and corner cases are BuildKit's, so that `docker history` and `docker inspect` show the same for both builders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from builder.dockerfile import Command, ExecForm, Healthcheck, ShellForm

DEFAULT_SHELL = ("/bin/sh", "-c")
PORT = r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/([A-Za-z]*))?\Z"
PROTOCOLS = ("tcp", "udp", "sctp")
SIGNAL = r"(?:SIG)?([A-Z]+[12]?|RTMIN(?:\+(?:[1-9]|1[0-5]))?|RTMAX(?:-(?:[1-9]|1[0-4]))?)\Z"
UNITS = ((3_600_000_000_000, "h"), (60_000_000_000, "m"))


def lines(env: Mapping[str, str]) -> list[str]:
    """A mapping as the Env of a config; the reverse of `builder.process.assignments`."""
    return [f"{key}={value}" for key, value in env.items()]


def argv(command: Command, shell: Sequence[str]) -> list[str]:
    """The words of CMD or ENTRYPOINT: a shell form gets the SHELL before it."""
    return list(command.args) if isinstance(command, ExecForm) else [*shell, command.text]


def ports(words: Iterable[str]) -> list[str]:
    """`80`, `80/udp`, `8000-8002/tcp` as the keys of ExposedPorts. Raises ValueError with the reason."""
    found: list[str] = []
    for word in words:
        host, _, port = word.rpartition(":")
        if not (match := re.match(PORT, port)):
            raise ValueError(f"invalid containerPort: {port}")
        _published(host, match)
        first, last = int(match[1]), int(match[2] or match[1])
        protocol = (match[3] or "tcp").lower()
        if protocol not in PROTOCOLS:
            raise ValueError(f"invalid proto: {match[3]}; it is one of {', '.join(PROTOCOLS)}")
        if not 0 <= first <= last <= 65535:
            raise ValueError(f"invalid containerPort: {word}; ports are 0 to 65535, a range goes upwards")
        found += [f"{number}/{protocol}" for number in range(first, last + 1)]
    return found


def _published(host: str, port: re.Match[str]) -> None:
    """Check the `[address:]port` before a port, which EXPOSE takes and does not use. Raises ValueError."""
    address, _, outer = host.rpartition(":")
    if outer:
        if not (match := re.match(PORT, outer)) or match[3] or int(match[2] or match[1]) > 65535:
            raise ValueError(f"invalid hostPort: {outer}")
        inside, outside = (int(one[2] or one[1]) - int(one[1]) for one in (port, match))
        if inside and inside != outside:
            raise ValueError(f"invalid ranges specified for container and host Ports: {port[0]} and {outer}")
    if address:
        import ipaddress

        try:
            ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
        except ValueError:
            raise ValueError(f"invalid IP address: {address}") from None


def signal(text: str) -> str:
    """A STOPSIGNAL as it is kept. Raises ValueError."""
    from signal import Signals

    match = re.match(SIGNAL, text, re.IGNORECASE)
    name = match[1].upper() if match else ""
    number = int(text) if text.isdecimal() and len(text) < 3 else 0
    if not 1 <= number <= 64 and not name.startswith("RTM") and f"SIG{name}" not in Signals.__members__:
        raise ValueError(f"invalid signal: {text}; write a name such as SIGTERM, or a number from 1 to 64")
    return text


def healthcheck(instruction: Healthcheck, shell: Sequence[str]) -> dict[str, Any]:
    """The Healthcheck of a config; what was not given is left out and so inherited."""
    command = instruction.command
    test = ["NONE"]
    if isinstance(command, ExecForm):
        test = ["CMD", *command.args]
    elif isinstance(command, ShellForm):
        test = ["CMD-SHELL", command.text]
    found: dict[str, Any] = {"Test": test}
    for key, value in (
        ("Interval", instruction.interval),
        ("Timeout", instruction.timeout),
        ("StartPeriod", instruction.start_period),
        ("StartInterval", instruction.start_interval),
        ("Retries", instruction.retries),
    ):
        if value:
            found[key] = value
    return found


def healthcheck_text(check: Mapping[str, Any]) -> str:
    """A health check as Go prints the structure, which is what history shows."""
    times = " ".join(
        f'"{duration(check.get(key, 0))}"' for key in ("Interval", "Timeout", "StartPeriod", "StartInterval")
    )
    return f"HEALTHCHECK &{{{quoted(check['Test'])} {times} {rune(check.get('Retries', 0))}}}"


def duration(nanoseconds: int) -> str:
    """Go's time.Duration: `1m30s`, `500ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < 1_000_000_000:
        for size, unit in ((1_000_000, "ms"), (1_000, "µs"), (1, "ns")):
            if nanoseconds >= size:
                return f"{decimal(nanoseconds, size)}{unit}"
    text, rest = "", nanoseconds
    for size, unit in UNITS:
        if rest >= size or text:
            text += f"{rest // size}{unit}"
            rest %= size
    return f"{text}{decimal(rest, 1_000_000_000)}s"


def decimal(value: int, unit: int) -> str:
    """`value / unit` without needless zeros."""
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")


def rune(number: int) -> str:
    """A small integer under Go's %q: a quoted character."""
    if number < 32 or number == 127:
        named = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r"}.get(number)
        return f"'\\{named}'" if named else f"'\\x{number:02x}'"
    return "'\\''" if number == 39 else "'\\\\'" if number == 92 else f"'{chr(number)}'"


def quoted(words: Iterable[str]) -> str:
    """`["a" "b"]`: a list under Go's %q."""
    return "[" + " ".join(quote(word) for word in words) + "]"


def quote(text: str) -> str:
    """One string under Go's %q."""
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char.isprintable():
            out.append(char)
        elif (named := {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r"}.get(ord(char))) is not None:
            out.append("\\" + named)
        elif ord(char) < 0x80:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
    return '"' + "".join(out) + '"'


def run_text(args: Sequence[str], arguments: Mapping[str, str]) -> str:
    """`RUN |1 A=b /bin/sh -c make # buildkit`: the declared build arguments, then the command."""
    given = [f"|{len(arguments)}", *(f"{key}={value}" for key, value in arguments.items())] if arguments else []
    return f"RUN {' '.join([*given, *args])} # buildkit"
