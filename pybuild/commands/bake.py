"""`pybuild bake`: all the images that a bake or compose file speaks of."""

from __future__ import annotations

import json
from typing import Any

import click

from pybuild.commands.build import mapping
from pybuild.wiring import Context

EPILOG = """
\b
Examples:
  pybuild bake
  pybuild bake -f docker-bake.hcl --print app
  pybuild bake --set '*.platform=linux/amd64' --set app.args.VERSION=2 --push
  pybuild bake -f compose.yaml web db
  TAG=1.2 pybuild bake --metadata-file built.json"""


@click.command(epilog=EPILOG)
@click.argument("targets", metavar="[TARGET...]", nargs=-1)
@click.option("-f", "--file", "files", multiple=True, metavar="FILE", help="A bake or compose file; may be repeated.")
@click.option("--set", "sets", multiple=True, metavar="TARGET.KEY=VALUE", help="Another value; += adds to a list.")
@click.option("--var", "variables", multiple=True, callback=mapping("environment"), metavar="NAME=VALUE",
              help="The value of a variable.")  # fmt: skip
@click.option("--print", "shown", is_flag=True, help="Show as JSON what would be built.")
@click.option("--list", "listed", metavar="targets|variables[,format=json]", help="List targets or variables.")
@click.option("--push", is_flag=True, help="Push the tags of all targets.")
@click.option("--load", is_flag=True, help="Accepted: images are always in the local store.")
@click.option("--no-cache", is_flag=True, help="Run every step anew.")
@click.option("--pull", is_flag=True, help="Ask the registry for newer base images.")
@click.option("--metadata-file", metavar="FILE", help="Write what was built there, as JSON by target.")
@click.option("--allow", multiple=True, metavar="WHAT", help="Let RUN have what targets ask for (see build --allow).")
@click.option(
    "--call", metavar="check|outline|targets[,format=json]", help="Tell something of the Dockerfiles instead."
)
@click.option("--check", "call", flag_value="check", help="The same as --call=check.")
@click.option("--provenance", metavar="SPEC", help="The same as --set=*.attest=type=provenance.")
@click.option("--sbom", metavar="SPEC", help="The same as --set=*.attest=type=sbom.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "tty", "plain", "json", "rawjson", "quiet"]),
    default=None,
    help="How to show what happens (PYBUILD_PROGRESS).",
)
@click.pass_obj
def bake(
    roof: Context,
    /,
    targets: tuple[str, ...],
    files: tuple[str, ...],
    sets: tuple[str, ...],
    variables: dict[str, str],
    shown: bool,
    listed: str | None,
    **options: Any,
) -> int:
    """Build the TARGETs of a bake file (the group default), those that others need first.

    Without -f all of compose.yaml, docker-compose.yml, docker-bake.json, docker-bake.hcl and their overrides that are
    here are read. Targets are built side by side, what several of them share once.
    """
    from pybuild.bake.files import definition
    from pybuild.bake.overrides import Override
    from pybuild.bake.plan import Planner

    if elsewhere := next((word for word in targets if "://" in word or word.startswith("git@")), None):
        raise click.UsageError(
            f"{elsewhere}: bake files elsewhere are not read; fetch it and stand in it, or give -f FILE"
        )
    found = definition(files, variables)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    if listed:
        from pybuild.bake.listing import listing

        click.echo(listing(found, listed), nl=False)
        return 0
    words = [*sets, *(f"*.{key}=true" for key in ("no-cache", "pull") if options[key.replace("-", "_")])]
    for kind in ("provenance", "sbom"):
        if options[kind]:
            words.append(f"*.attest={attested(kind, options[kind])}")
    if options["call"]:
        words.append(f"*.call={options['call']}")
    plan = Planner(found, [Override.parse(word) for word in words]).plan(targets)
    if options["push"]:
        from pybuild.bake.target import pushed

        for name in plan.targets.keys() - plan.linked:
            plan.targets[name].update(pushed(plan.targets[name]))
    if shown:
        click.echo(json.dumps(plan.document(), indent=2, ensure_ascii=False))
        return 0
    from pybuild.bake.building import Oven

    return Oven(roof, plan, options).bake()


def attested(kind: str, value: str) -> str:
    """`--provenance=max` as an attestation's words."""
    if "=" in value:
        return f"type={kind},{value}"
    if value in ("min", "max"):
        return f"type={kind},mode={value}"
    return f"type={kind}" if value == "true" else f"type={kind},disabled={str(value == 'false').lower()}"
