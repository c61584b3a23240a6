"""`pybuild oci list|state|ps|events|update|spec|features`: looking at containers of bundles."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from pybuild import units
from pybuild.oci import Face

ID = click.argument("container", metavar="CONTAINER-ID")


@click.command()
@ID
@click.pass_obj
def state(face: Face, container: str) -> None:
    """Print a container's state as JSON."""
    found = face.home.get(container)
    face.json(found.state(found.read()))


@click.command("list")
@click.option("--format", "-f", "shape", type=click.Choice(["table", "json"]), default="table", help="table or json.")
@click.option("--quiet", "-q", is_flag=True, help="Only ids.")
@click.pass_obj
def list_(face: Face, shape: str, quiet: bool) -> None:
    """List the containers of this root of states."""
    states = [found.state(record) for found, record in face.home.list()]
    if shape == "json" and not quiet:
        face.json(states or None, indent=None)
        return
    if quiet:
        rows = [[one["id"]] for one in states]
    else:
        owner = {one["id"]: face.owner(one["id"]) for one in states}
        names = ("id", "pid", "status", "bundle", "created")
        rows = [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]]
        rows += [[*(str(one[name]) for name in names), owner[one["id"]]] for one in states]
    face.table(rows)


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--format", "-f", "shape", type=click.Choice(["table", "json"]), default="table", help="table or json.")
@ID
@click.argument("words", metavar="[ps OPTIONS]", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ps(face: Face, container: str, shape: str, words: tuple[str, ...]) -> None:
    """List the processes of a container: ps(1) of them, by default ps -ef; json are their numbers."""
    from runner.oci import home
    from runner.oci.errors import ContainerError

    inside = home.processes(face.home.get(container).read())
    if shape == "json":
        face.json(inside or None, indent=None)
        return
    told = subprocess.run(["ps", *(words or ("-ef",))], capture_output=True, text=True, check=False)
    if told.returncode:
        raise ContainerError(f"ps failed: {told.stderr.strip()}")
    head, *lines = told.stdout.splitlines()
    if "PID" not in head.split():
        raise ContainerError("couldn't find PID field in ps output")
    place = head.split().index("PID")
    click.echo(head)
    for line in lines:
        if int(line.split()[place]) in inside:
            click.echo(line)


@click.command()
@click.option("--interval", default="5s", metavar="TIME", help="Between two looks (5s).")
@click.option("--stats", is_flag=True, help="Look once.")
@ID
@click.pass_obj
def events(face: Face, container: str, interval: str, stats: bool) -> None:
    """Print what a container uses, as a line of JSON each time, until it ends; and when memory has run out."""
    from runner.oci import home
    from runner.oci import stats as counted
    from runner.oci.errors import NOT_RUNNING, ContainerError

    found = face.home.get(container)
    record = found.read()
    if found.status(record) is home.Status.STOPPED:
        raise ContainerError(NOT_RUNNING)
    cgroup, pause = home.groups(record), units.parse_period(interval)
    kills = cgroup.oom_kills
    while True:
        face.json({"type": "stats", "id": container, "data": counted.stats(cgroup)}, indent=None)
        if stats:
            return
        until = time.monotonic() + pause
        while time.monotonic() < until:
            time.sleep(min(0.1, pause))
            if cgroup.oom_kills > kills:
                kills = cgroup.oom_kills
                face.json({"type": "oom", "id": container}, indent=None)
            if found.status(record) is home.Status.STOPPED:
                return


SIZES = {"memory": "memory.limit", "memory-reservation": "memory.reservation", "memory-swap": "memory.swap"}
NUMBERS = {
    "cpu-period": "cpu.period",
    "cpu-quota": "cpu.quota",
    "cpu-burst": "cpu.burst",
    "cpu-share": "cpu.shares",
    "cpu-rt-period": "cpu.realtimePeriod",
    "cpu-rt-runtime": "cpu.realtimeRuntime",
    "cpu-idle": "cpu.idle",
    "blkio-weight": "blockIO.weight",
    "pids-limit": "pids.limit",
}
LISTS = {"cpuset-cpus": "cpu.cpus", "cpuset-mems": "cpu.mems"}


def limits(command: Any) -> Any:
    """An option for each limit that has a flag."""
    for name, place in {**SIZES, **NUMBERS, **LISTS}.items():
        kind = int if name in NUMBERS else str
        command = click.option(f"--{name}", name.replace("-", "_"), type=kind, help=f"resources.{place}")(command)
    return command


@click.command()
@click.option("--resources", "-r", metavar="FILE", help="A file with `resources`, - for standard input.")
@limits
@ID
@click.pass_obj
def update(face: Face, /, container: str, resources: str | None, **flags: Any) -> None:
    """Set other limits while a container runs."""
    from runner.oci.document import Node

    asked: dict[str, Any] = {}
    if resources:
        text = sys.stdin.buffer.read() if resources == "-" else Path(resources).read_bytes()
        asked = Node.read(text, "resources").value
    for name, place in {**SIZES, **NUMBERS, **LISTS}.items():
        value = flags[name.replace("-", "_")]
        if value is not None:
            table, _, key = place.partition(".")
            if name in SIZES:
                value = -1 if value == "-1" else units.parse_size(value)
            asked[table] = {**(asked.get(table) or {}), key: value}
    face.engine.update(container, Node(asked, "resources"))


@click.command()
@click.option("--bundle", "-b", type=click.Path(path_type=Path), default=".", help="The bundle's directory (.).")
@click.option("--rootless", is_flag=True, help="For a user who is root only in a namespace of its own.")
def spec(bundle: Path, rootless: bool) -> None:
    """Write a config.json to begin with."""
    from layers.bundles.runtimespec import MOUNTS
    from runner.oci.bundle import VERSION
    from runner.oci.errors import ContainerError
    from runner.oci.template import config

    try:
        with (bundle / "config.json").open("x") as file:
            file.write(json.dumps(config(VERSION, MOUNTS, rootless=rootless), indent="\t") + "\n")
    except FileExistsError as error:
        raise ContainerError("file config.json exists. Remove it first") from error


@click.command()
@click.pass_obj
def features(face: Face) -> None:
    """Print what this runtime can do, as JSON."""
    from runner.oci.features import features as known

    face.json(known(), indent=4)
