"""`pybuild provenance`: how an image was built, as it is told beside it."""

from __future__ import annotations

import click

from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild build --provenance=max -t app .\n  pybuild provenance app\n"
    "  pybuild provenance app | jq .runDetails"
)
@click.argument("image")
@click.option("--platform", metavar="PLATFORM", help="Which image of an index.")
@click.pass_obj
def provenance(context: Context, image: str, platform: str | None) -> None:
    """Show the SLSA provenance that lies beside an image of the store, as JSON."""
    from pybuild.attested import PROVENANCE, predicates
    from pybuild.formats.template import encoded
    from pybuild.subject import image as find

    found = predicates(context.store, find(context.store, image, platform), PROVENANCE)
    if not found:
        raise click.ClickException(
            f"no provenance lies beside {image} here\n"
            "help: build --provenance=true makes it, pull --all-platforms brings it along"
        )
    for one in found:
        click.echo(encoded(one, indent=2))
