"""Rules about the commands of RUN."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from builder.checks.rule import Found
from builder.checks.shell import Command, commands
from builder.checks.subject import Visit
from builder.dockerfile import Run
from layers.quick import dataclass

LISTS = "/var/lib/apt/lists"
NEEDLESS = ("free", "ifconfig", "kill", "mount", "ps", "service", "shutdown", "ssh", "top", "vim")
QUIET = ("-q", "--quiet", "-nv", "--no-verbose", "--progress", "-o", "--output-file", "-a", "--append-output")
NO_POSIX = ("pwsh", "powershell", "powershell.exe", "cmd", "cmd.exe", "fish", "csh", "tcsh")
PINNED = {
    "apt-get": re.compile(r"[=/$]|\.deb$"),
    "apk": re.compile(r"[=<>~$/]|\.apk$"),
    "pip": re.compile(r"[=<>~!@$]|\.(?:whl|tar\.gz|zip)$|^\.{0,2}/"),
}
VALUED = {
    "apt-get": ("-t", "--target-release", "-o", "-c", "--default-release"),
    "apk": ("-t", "--virtual", "-X", "--repository", "-p", "--root", "--repositories-file", "--keys-dir"),
    "pip": (
        *("-i", "--index-url", "--extra-index-url", "--find-links", "-f", "-t", "--target", "--prefix", "--root"),
        *("--trusted-host", "--proxy", "--timeout", "-c", "--constraint", "--cache-dir", "--log", "--progress-bar"),
    ),
}

LOGS = {
    **dict.fromkeys(("apt-get", "apt"), (("install", "upgrade", "dist-upgrade"), "/var/log/apt and /var/log/dpkg.log")),
    **dict.fromkeys(("dnf", "microdnf", "yum"), (("install", "update", "upgrade"), "/var/log/*.log")),
    "apk": (("add", "upgrade"), "/var/log/apk.log"),
}
"""Who writes logs with times, when doing what, and where; apk since its version 3."""


def told(visit: Visit) -> tuple[Command, ...]:
    """The commands of the RUN that is looked at."""
    assert isinstance(visit.instruction, Run)
    return commands(visit.instruction)


def any_command(test: Callable[[Command], bool], message: str) -> Callable[[Visit], Iterator[Found]]:
    """A rule that speaks once if any command passes a test."""

    def of(visit: Visit) -> Iterator[Found]:
        if any(test(command) for command in told(visit)):
            yield Found(message)

    return of


def does(command: Command, program: str, *verbs: str) -> bool:
    """Whether a command is `program … verb …`."""
    return command.name == program and any(verb in command.arguments for verb in verbs)


def cached(visit: Visit, *places: str) -> bool:
    """Whether one of these directories is mounted into the RUN, so that no layer keeps it."""
    assert isinstance(visit.instruction, Run)
    for mount in visit.instruction.mounts:
        options = dict(mount.options)
        target = next((options[key] for key in ("target", "dst", "destination") if options.get(key)), None) or ""
        if options.get("type") in ("cache", "tmpfs") and any(place.startswith(target.rstrip("/")) for place in places):
            return True
    return False


def apt_lists_kept(visit: Visit) -> Iterator[Found]:
    """`apt-get update`, and the lists it fetched stay in the layer."""
    found = told(visit)
    if not any(does(one, "apt-get", "update") or does(one, "apt", "update") for one in found):
        return
    removes = (one for one in found if one.name == "rm" and any(LISTS in word for word in one.words))
    if not any(removes) and not cached(visit, LISTS):
        yield Found("Delete the apt lists (/var/lib/apt/lists) after installing something")


def apt_without_update(visit: Visit) -> Iterator[Found]:
    """`apt-get install` in one RUN, `apt-get update` in another: the cache keeps an old list."""
    found = told(visit)
    updates = any(does(one, tool, "update") for one in found for tool in ("apt-get", "apt"))
    installs = any(does(one, tool, "install") for one in found for tool in ("apt-get", "apt"))
    if installs and not updates and not cached(visit, LISTS):
        yield Found("apt-get install without apt-get update in the same RUN: cached lists may be old, or none")
    elif updates and not installs and not any(one.name == "apt-get" and len(one.arguments) > 1 for one in found):
        others = ("upgrade", "dist-upgrade", "full-upgrade", "build-dep", "download", "source")
        if not any(does(one, tool, *others) for one in found for tool in ("apt-get", "apt")):
            yield Found("apt-get update alone in a RUN: a later install is cached with the lists of today")


def pinned(program: str, verb: str) -> Callable[[Command], bool]:
    """Tests whether a command installs a package without naming its version."""

    def test(command: Command) -> bool:
        name = "pip" if program == "pip" and re.fullmatch(r"pip[0-9.]*", command.name) else command.name
        words = list(command.words[1:])
        if re.fullmatch(r"python[0-9.]*", name) and words[:2] == ["-m", "pip"]:
            name, words = "pip", words[2:]
        if name != program or verb not in words:
            return False
        words = words[words.index(verb) + 1 :]
        if program == "pip" and any(word in ("-r", "--requirement", "-e", "--editable", ".") for word in words):
            return False
        skip = False
        for word in words:
            if skip or word.startswith("-"):
                skip = not skip and word in VALUED.get(program, ())
                continue
            if not PINNED[program].search(word):
                return True
        return False

    return test


def pip_cache(command: Command) -> bool:
    """`pip install` that keeps what it downloaded."""
    words = command.words
    if re.fullmatch(r"python[0-9.]*", words[0]) and words[1:3] == ("-m", "pip"):
        words = words[2:]
    return bool(re.fullmatch(r"pip[0-9.]*", words[0])) and "install" in words and "--no-cache-dir" not in words


def pip_cache_kept(visit: Visit) -> Iterator[Found]:
    """`pip install` without `--no-cache-dir`"""
    off = visit.at.env.get("PIP_NO_CACHE_DIR", "")
    if off.lower() in ("1", "true", "on", "yes") or cached(visit, "/root/.cache/pip"):
        return
    if any(map(pip_cache, told(visit))):
        yield Found("Avoid use of cache directory with pip. Use `pip install --no-cache-dir <package>`")


def missing_pipefail(visit: Visit) -> Iterator[Found]:
    """`curl … | sh`: if curl fails, the RUN does not."""
    shell = visit.at.shell
    if any("pipefail" in word for word in shell) or (shell and shell[0].rpartition("/")[2] in NO_POSIX):
        return
    for command in told(visit):
        if command.name == "set" and "pipefail" in command.words:
            return
        if command.piped:
            yield Found("Set the SHELL option -o pipefail before RUN with a pipe in it")
            return


def consecutive_runs(visit: Visit) -> Iterator[Found]:
    """Two RUN one after the other: two layers where one would do."""
    before, this = visit.before, visit.instruction
    assert isinstance(this, Run)
    if not isinstance(before, Run) or len(commands(before)) != 1 or len(told(visit)) != 1:
        return  # whoever joins commands has thought of it
    if not this.mounts and not before.mounts and before.network == this.network:
        yield Found("Multiple consecutive `RUN` instructions. Consider consolidation.")


@dataclass(frozen=True, slots=True)
class Manager:
    """A package manager: how it is told yes, and how it forgets what it downloaded."""

    yes: tuple[str, ...]
    clean: tuple[str, ...]
    install: tuple[str, ...] = ("install", "groupinstall", "localinstall", "reinstall")


MANAGERS: Mapping[str, Manager] = {
    "yum": Manager(("-y", "--assumeyes"), ("clean",)),
    "dnf": Manager(("-y", "--assumeyes"), ("clean",)),
    "microdnf": Manager(("-y", "--assumeyes"), ("clean",)),
    "zypper": Manager(("-n", "--non-interactive", "-y", "--no-confirm"), ("clean", "cc"), ("install", "in")),
}


def asks(*programs: str) -> Callable[[Command], bool]:
    """Tests whether a package manager would wait for an answer."""

    def test(command: Command) -> bool:
        if command.name not in programs:
            return False
        manager = MANAGERS[command.name]
        return does(command, command.name, *manager.install) and not command.has(*manager.yes)

    return test


def keeps(*programs: str) -> Callable[[Visit], Iterator[Found]]:
    """A rule: what a package manager downloaded stays in the layer."""

    def of(visit: Visit) -> Iterator[Found]:
        found = told(visit)
        for program in programs:
            manager = MANAGERS[program]
            place = f"/var/cache/{program.removeprefix('micro')}"
            if not any(does(one, program, *manager.install) for one in found) or cached(visit, place):
                continue
            cleans = any(does(one, program, *manager.clean) for one in found)
            removes = any(one.name == "rm" and any(place in word for word in one.words) for one in found)
            if not cleans and not removes:
                yield Found(f"`{program} clean all` missing after {program} use.")

    return of


def apk_cache_kept(visit: Visit) -> Iterator[Found]:
    """`apk add` without `--no-cache`"""
    adds = (does(one, "apk", "add") and not one.has("--no-cache") for one in told(visit))
    if any(adds) and not cached(visit, "/var/cache/apk"):
        yield Found("Use the `--no-cache` switch to avoid the need to use `--update` and remove `/var/cache/apk/*`")


def logs_kept(visit: Visit) -> Iterator[Found]:
    """`apt-get install`, and what it logged, with the time, stays in the layer."""
    found = told(visit)
    writers = (one.name for one in found if one.name in LOGS and does(one, one.name, *LOGS[one.name][0]))
    writer = next(writers, None)
    if writer is None or cached(visit, "/var/log"):
        return
    if not any(one.name in ("rm", "find", "truncate") and "/var/log" in " ".join(one.words) for one in found):
        yield Found(f"{writer} logs when it ran: remove {LOGS[writer][1]} in the same RUN, and each build is the same")


def wget_and_curl(visit: Visit) -> Iterator[Found]:
    """Two programs for one thing."""
    names = {command.name for command in told(visit)}
    used = visit.at.programs
    fresh = names & {"wget", "curl"}
    used |= fresh
    if fresh and used >= {"wget", "curl"}:
        yield Found("Either use Wget or Curl but not both")


def long_uid(command: Command) -> bool:
    """`useradd -u 1000000` writes a sparse log as long as that number."""
    if command.name != "useradd" or command.has("-l", "--no-log-init"):
        return False
    words = command.words
    given = [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-u", "--uid")]
    given += [word.partition("=")[2] for word in words if word.startswith("--uid=")]
    return any(len(uid) > 5 for uid in given)
