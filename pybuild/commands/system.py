"""`pybuild system`: what takes space, whether everything is whole, what this machine is."""

from __future__ import annotations

import click

from pybuild import __version__, units
from pybuild.formats.table import emit
from pybuild.wiring import Context

COLUMNS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
KINDS = {
    "images": "Images",
    "containers": "Containers",
    "cache": "Build Cache",
    "snapshots": "Unpacked Layers",
    "caches": "Cache Mounts",
}


@click.group(epilog="\b\nExamples:\n  pybuild system df\n  pybuild system check --repair\n  pybuild system info")
def system() -> None:
    """Disk usage, checks and facts about this machine."""


@system.command(epilog="\b\nExample:\n  pybuild system df")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def df(context: Context, template: str | None) -> None:
    """Show what takes space in the store, and what 'prune --all' could free of it."""
    from layers import usage

    found = usage(context.store)
    rows = []
    for name, title in KINDS.items():
        share = getattr(found, name)
        percent = f" ({100 * share.reclaimable // share.size}%)" if share.size else ""
        rows.append(
            {
                "Type": title,
                "TotalCount": str(share.total),
                "Active": str(share.active),
                "Size": units.size(share.size),
                "Reclaimable": f"{units.size(share.reclaimable)}{percent}",
            }
        )
    emit(rows, COLUMNS, template)


@system.command(epilog="\b\nExamples:\n  pybuild system check\n  pybuild system check --repair")
@click.option("--repair", is_flag=True, help="Remove what is damaged, make again what can be made again.")
@click.pass_obj
def check(context: Context, repair: bool) -> int:
    """Read every byte of the store and compare it with its name; 1 if something is damaged."""
    from layers.check import check as look

    found = look(context.store, repair=repair)
    for damage in found.damages:
        done = f" ({damage.repaired})" if damage.repaired else ""
        click.echo(f"{damage.where}: {damage.what}{done}")
    verdict = f"{len(found.damages)} damaged" if found.damages else "no damage"
    click.echo(f"{units.plural(found.blobs, 'blob')}, {units.size(found.bytes)} read: {verdict}")
    return int(any(not damage.repaired for damage in found.damages))


@system.command(epilog="\b\nExample:\n  pybuild system info")
@click.pass_obj
def info(context: Context) -> None:
    """Show facts for a bug report: versions, store, control groups, how layers become directories and why."""
    import os
    import platform
    from contextlib import suppress

    from layers import LayerError
    from runner import SandboxUnavailable, mounts
    from runner.hierarchy import discover

    with suppress(SandboxUnavailable):  # how layers are mounted is found by mounting, where nobody sees it
        mounts.enter()
    try:
        ways = context.store.snapshots.how()
    except LayerError as error:
        ways = f"unknown: {error}"

    there = discover()
    kinds = [*(["v2"] if there.unified is not None else []), *(["v1"] if there.legacy else [])]
    rows = {
        "pybuild": __version__,
        "python": platform.python_version(),
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "store": str(context.settings.root),
        "layers": ways,
        "cgroups": " and ".join(kinds) or "none",
        "controllers": " ".join(sorted(there.legacy)) or "of version 2",
        "user": "root" if os.geteuid() == 0 else str(os.geteuid()),
    }
    for name, value in rows.items():
        click.echo(f"{name:<14}{value}")
