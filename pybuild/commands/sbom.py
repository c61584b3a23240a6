"""`pybuild sbom`: what is installed in an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from pybuild.formats.table import emit
from pybuild.wiring import Context

COLUMNS = {"Name": "NAME", "Version": "VERSION", "Type": "TYPE", "Found": "FOUND"}


@click.command(
    epilog="\b\nExamples:\n  pybuild sbom app\n  pybuild sbom --format table app\n"
    "  pybuild sbom --anew registry.example.org/app > app.spdx.json"
)
@click.argument("image")
@click.option("--platform", metavar="PLATFORM", help="Which image of an index.")
@click.option("--anew", is_flag=True, help="Look into the image, even if an SBOM lies beside it.")
@click.option("--format", "template", metavar="TEMPLATE", help="spdx (the default), table or a Go template.")
@click.pass_obj
def sbom(context: Context, image: str, platform: str | None, anew: bool, template: str | None) -> None:
    """Show what is installed in an image: the SBOM beside it, else what is found in its files now.

    Found are packages of dpkg, apk, rpm (sqlite), Python and npm. The form is SPDX 2.3.
    """
    from pybuild.attested import SBOM, predicates
    from pybuild.formats.template import encoded
    from pybuild.subject import image as find

    found = find(context.store, image, platform)
    known: list[Mapping[str, Any]] = [] if anew else predicates(context.store, found, SBOM)
    if not known:
        from builder.attest.packages import packages
        from builder.attest.spdx import document

        def warn(text: str) -> None:
            click.echo(f"warning: {text}", err=True)

        name = found.references[0].familiar if found.references else image
        known = [document(found, name, packages(context.store.tree(found.chain), warn))]
    if template in (None, "spdx"):
        for one in known:
            click.echo(encoded(one, indent=2))
        return
    emit([row for one in known for row in rows(one)], COLUMNS, template)


def rows(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """The packages of an SPDX document that have a package URL."""
    told = []
    for package in document.get("packages", ()):
        urls = [one.get("referenceLocator", "") for one in package.get("externalRefs", ())]
        purl = next((url for url in urls if url.startswith("pkg:")), "")
        if purl:
            told.append(
                {
                    "Name": package.get("name", ""),
                    "Version": package.get("versionInfo", ""),
                    "Type": purl[4:].partition("/")[0],
                    "Found": package.get("sourceInfo", "").removeprefix("found in "),
                    "Purl": purl,
                }
            )
    return told
