"""`pybuild oci`: containers of bundles, with the words and flags of an OCI runtime, for engines and for people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pybuild.catalogue import Listed
from pybuild.cli import HELP
from pybuild.oci import Face, Runtime

TABLE = {
    **{
        name: Listed(f"pybuild.commands.oci_life:{name}", summary)
        for name, summary in (
            ("create", "Make a container that waits to be started."),
            ("start", "Let a created container go."),
            ("run", "Make a container, start it and wait for its end."),
            ("kill", "Send a signal to a container."),
            ("delete", "Take away all that belongs to a container."),
            ("pause", "Freeze a container."),
            ("resume", "Let a frozen container go on."),
        )
    },
    "exec": Listed("pybuild.commands.oci_life:exec_", "Run a further process in a container."),
    "list": Listed("pybuild.commands.oci_look:list_", "List containers."),
    **{
        name: Listed(f"pybuild.commands.oci_look:{name}", summary)
        for name, summary in (
            ("state", "Print a container's state."),
            ("ps", "List the processes of a container."),
            ("events", "Print what a container uses, and when memory runs out."),
            ("update", "Set other limits."),
            ("spec", "Write a config.json to begin with."),
            ("features", "Print what this runtime can do."),
        )
    },
}


def version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """In the form that engines read."""
    if asked:
        from pybuild import __version__
        from runner.oci.bundle import VERSION

        click.echo(f"pybuild-oci-runtime version {__version__}\nspec: {VERSION}")
        context.exit()


@click.group(
    cls=Runtime,
    table=TABLE,
    context_settings=HELP,
    epilog="\b\nExamples:\n  pybuild unpack --image app bundle && pybuild oci run -b bundle app1\n"
    "  podman --runtime $(command -v pybuild-oci-runtime) run --rm app",
)
@click.option(
    "--root", type=click.Path(path_type=Path), help="Where states are kept (/run/pybuild/oci, or $XDG_RUNTIME_DIR)."
)
@click.option("--log", type=click.Path(path_type=Path), help="Write errors there, too.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="How.")
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
@click.option("--systemd-cgroup", is_flag=True, help="cgroupsPath is SLICE:PREFIX:NAME.")
@click.option("--version", "-v", is_flag=True, is_eager=True, expose_value=False, callback=version, help="Say it.")
@click.option("--criu", hidden=True)
@click.option("--rootless", hidden=True)
@click.pass_context
def oci(context: click.Context, /, root: Path | None, log: Path | None, log_format: str, **flags: Any) -> None:
    """Run bundles: directories with a config.json and a root file system (OCI runtime-spec)."""
    from runner.oci.home import usual

    context.obj = Face(root or usual(), log, log_format, flags["debug"], flags["systemd_cgroup"])
    context.call_on_close(context.obj.close)


def main() -> None:
    """`pybuild-oci-runtime`: what engines call. Its words are those after `pybuild oci`."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from pybuild.streams import mend

        mend()
    from pybuild import first
    from pybuild.exits import conclude

    def run() -> object:
        first.be_root()
        return oci.main(prog_name="pybuild-oci-runtime", standalone_mode=False)

    sys.exit(conclude(run, failure=1, debug=False))
