"""The options of `run` and `create` that say how a container lives: stopped, restarted, attached to, checked."""

from __future__ import annotations

from collections.abc import Mapping

from pybuild.declared import click
from pybuild.limiting import sized
from pybuild.options import together

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from builder.containers.health import Healthcheck

STREAMS = ("stdin", "stdout", "stderr")
LOGS = {"json-file": (0, 1), "local": (20 << 20, 5), "none": (0, 1)}
"""Bytes of a file of the log, 0 for no bound, and how many there are."""
MOST_FILES = 1000
HEALTH = ("interval", "timeout", "start_period", "start_interval")
"""Options of --health-… that are lengths of time."""

OPTIONS = (
    click.option("-a", "--attach", multiple=True, metavar="STREAM", help="Only stdin, stdout or stderr; repeatable."),
    click.option("--label-file", "label_files", multiple=True, metavar="FILE", help="Labels, one a line."),
    click.option("--log-driver", metavar="DRIVER", help="json-file (the default), local (bounded) or none."),
    click.option("--log-opt", "log_opts", multiple=True, metavar="KEY=VALUE", help="max-size=10m and max-file=3."),
    click.option("--restart", metavar="POLICY", help="no, on-failure[:N], always or unless-stopped."),
    click.option("--stop-timeout", type=int, metavar="SECONDS", help="From the stop signal to SIGKILL (10)."),
    click.option("--health-cmd", metavar="COMMAND", help="Run to see whether it is well."),
    click.option("--health-interval", metavar="TIME", help="Between two checks (30s)."),
    click.option("--health-timeout", metavar="TIME", help="That a check may take (30s)."),
    click.option("--health-retries", type=int, metavar="N", help="Failures in a row that mean unhealthy (3)."),
    click.option("--health-start-period", metavar="TIME", help="Failures do not count so long (0s)."),
    click.option("--health-start-interval", metavar="TIME", help="Between two checks in the start period (5s)."),
    click.option("--no-healthcheck", is_flag=True, help="Not even the image's."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing of a pull."),
)


def settings(options: Mapping[str, Any], runtime: Mapping[str, Any], *, detach: bool) -> dict[str, Any]:
    """What the options come to, as words of `Settings`. Raises click.UsageError."""
    from builder.containers.restart import RestartPolicy

    try:
        restart = RestartPolicy.parse(options["restart"] or "no")
    except ValueError as error:
        raise click.UsageError(f"--restart: {error}") from error
    if options["remove"] and restart.name != "no":
        raise click.UsageError("--restart and --rm conflict: what is removed when it ends cannot be restarted")
    streams = attached(options["attach"])
    if detach and streams:
        raise click.UsageError("--detach and --attach conflict: choose one")
    timeout = options["stop_timeout"]
    return {
        "restart": restart,
        "healthcheck": healthcheck(options, runtime),
        "shell": tuple(runtime.get("Shell") or ("/bin/sh", "-c")),
        "stop_timeout": 10.0 if timeout is None else float(timeout),
        **log(options["log_driver"] or "json-file", options["log_opts"]),
        "input_ends": not detach and (not streams or "stdin" in streams),
    }


def log(driver: str, opts: tuple[str, ...]) -> dict[str, Any]:
    """What is kept of its output, as words of `Settings`. Raises click.UsageError."""
    if driver not in LOGS:
        what = "nobody stays here who would hand lines on"
        raise click.UsageError(f"--log-driver {driver}: {what}; {', '.join(LOGS)} are known, logs -f follows")
    size, files = LOGS[driver]
    for text in opts:
        key, _, value = text.partition("=")
        flag = f"--log-opt {text}"
        if driver == "none":
            raise click.UsageError(f"{flag}: nothing is kept with --log-driver none")
        if key == "max-size":
            try:
                size = 0 if value == "-1" else sized(value)
            except ValueError as error:
                raise click.UsageError(f"{flag}: {error}") from error
        elif key == "max-file":
            if not value.isdecimal() or not 1 <= int(value) <= MOST_FILES:
                raise click.UsageError(f"{flag}: a number from 1 to {MOST_FILES} is needed")
            files = int(value)
        elif (key, value) not in (("mode", "blocking"), ("compress", "false")):
            raise click.UsageError(f"{flag}: unknown; max-size and max-file are known")
    if files > 1 and not size:
        raise click.UsageError("--log-opt max-file needs max-size: without it there is one file")
    return {"log_driver": "none" if driver == "none" else "json-file", "log_size": size, "log_files": files}


def attached(words: tuple[str, ...]) -> frozenset[str]:
    """The streams of --attach. Raises click.UsageError."""
    found = frozenset(word.lower() for word in words)
    if unknown := found - set(STREAMS):
        raise click.UsageError(f"--attach {min(unknown)!r}: choose stdin, stdout or stderr")
    return found


def labels(files: tuple[str, ...]) -> dict[str, str]:
    """The lines of --label-file."""
    from pybuild.variables import written

    return dict(line.partition("=")[::2] for file in files for line in written(file))


def healthcheck(options: Mapping[str, Any], runtime: Mapping[str, Any]) -> Healthcheck | None:
    """The image's health check and what the options change of it. Raises click.UsageError."""
    times = {name: options[f"health_{name}"] for name in HEALTH}
    command, retries = options["health_cmd"], options["health_retries"]
    asked = command is not None or retries is not None or any(value is not None for value in times.values())
    if not (asked or options["no_healthcheck"] or runtime.get("Healthcheck")):
        return None
    from builder.containers.health import SECOND, Healthcheck
    from pybuild.units import parse_period

    if options["no_healthcheck"]:
        if asked:
            raise click.UsageError("--no-healthcheck conflicts with --health-* options")
        return Healthcheck(test=("NONE",))
    image = Healthcheck.of(runtime.get("Healthcheck"))
    if not asked:
        return image
    if retries is not None and retries < 0:
        raise click.UsageError(f"--health-retries cannot be negative ({retries})")
    found: dict[str, int] = {}
    for name, text in times.items():
        flag = f"--health-{name.replace('_', '-')}"
        try:
            value = 0 if text is None else int(parse_period(text) * SECOND)
        except ValueError as error:
            raise click.UsageError(f"{flag}: {error}") from error
        if 0 < value < SECOND // 1000:
            raise click.UsageError(f"{flag} cannot be less than 1ms")
        found[name] = value
    test = ("CMD-SHELL", command) if command else ()
    return Healthcheck(test=test, retries=retries or 0, **found).over(image)


def detach_keys(_: click.Context, __: click.Parameter, text: str | None) -> bytes:
    """The callback of --detach-keys."""
    from builder.containers.keys import DETACH_KEYS, parse

    if text is None:
        return DETACH_KEYS
    try:
        return parse(text) if text else b""
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


stopping = together(
    click.option(
        "-t", "--time", "--timeout", "grace", type=float, metavar="SECONDS", help="Patience (10); -1 waits for ever."
    ),
    click.option("-s", "--signal", "name", metavar="SIGNAL", help="Instead of its stop signal."),
)
"""Adds the options that say how a container is stopped."""
KEYS = click.option(
    "--detach-keys", "keys", callback=detach_keys, metavar="KEYS", help="Leave it, still running (ctrl-p,ctrl-q)."
)
PROXY = click.option("--sig-proxy/--no-sig-proxy", "proxy", default=True, help="Signals go to it (the default).")
