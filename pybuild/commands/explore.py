"""`pybuild explore`: what the layers of an image hold, which of it nobody sees, and whether that is too much."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Image, Store, Toc

COLUMNS = {
    "Layer": "LAYER",
    "Digest": "DIGEST",
    "Size": "SIZE",
    "Hidden": "HIDDEN",
    "Line": "DOCKERFILE:LINE",
    "Command": "COMMAND",
}
WIDTH = 60
WORST = 10
"""Places with hidden bytes that the plain report shows."""


@click.command(
    epilog="\b\nExamples:\n  pybuild explore app                        layers, and what is hidden in them\n"
    "  pybuild explore --top 20 app               the largest files and directories\n"
    "  pybuild explore --layer 3 --tree app       what a layer adds, modifies and deletes\n"
    "  pybuild explore --find '**/*.pem' app      where files come from, and go\n"
    "  pybuild explore --ci --highest-wasted-bytes 20MB app   exit 1 if a rule is broken\n"
    "  pybuild explore --json - app               dive's JSON\n"
    "  pybuild explore --html app.html app        a picture for a browser"
)
@click.argument("name", metavar="IMAGE")
@click.option("-j", "--json", "export", metavar="FILE", help="Write dive's JSON to a file, or - for standard output.")
@click.option("--ci", is_flag=True, help="Judge the image by the rules of .dive-ci and of the options; 1 if it fails.")
@click.option("--ci-config", metavar="FILE", help="The file with the rules, in place of .dive-ci.")
@click.option("--lowest-efficiency", "--lowestEfficiency", "lowest", metavar="RATIO", help="Rule; 0.9 unless given.")
@click.option(
    "--highest-wasted-bytes", "--highestWastedBytes", "most", metavar="SIZE", help="Rule; disabled unless given."
)
@click.option(
    "--highest-user-wasted-percent",
    "--highestUserWastedPercent",
    "percent",
    metavar="RATIO",
    help="Rule; 0.1 (of all that is above the first layer) unless given.",
)
@click.option("--find", "wanted", metavar="PATTERN", help="The first and the last layer of each path that matches.")
@click.option("--top", type=click.IntRange(1), metavar="N", help="The N largest files and directories.")
@click.option("--layer", type=click.IntRange(1), metavar="N", help="Which layer --tree shows, 1 the lowest.")
@click.option("--tree", is_flag=True, help="Show a layer as a tree: A added, M modified, D deleted.")
@click.option("--html", "picture", metavar="FILE", help="Write a page with a picture of it all.")
@click.option("--platform", metavar="PLATFORM", help="Which image of an index.")
@click.pass_obj
def explore(
    context: Context,
    name: str,
    export: str | None,
    ci: bool,
    ci_config: str | None,
    lowest: str | None,
    most: str | None,
    percent: str | None,
    wanted: str | None,
    top: int | None,
    layer: int | None,
    tree: bool,
    picture: str | None,
    platform: str | None,
) -> int:
    """Show what the layers of an image hold. Nothing is unpacked.

    HIDDEN are bytes of files in a layer that upper layers replace or delete: every pull brings them and nobody sees
    them. Efficiency, and the bytes that --ci and --json call wasted, are as dive counts them: of a path that several
    layers have, all copies, the one that shows included.
    """
    from pybuild.subject import image as find

    forms = (ci, export, wanted, top, layer, picture)
    if sum(form not in (None, False) for form in forms) > 1:
        raise click.UsageError("--ci, --json, --find, --top, --tree and --html are answers of their own: choose one")
    if (tree or layer) and not (tree and layer):
        raise click.UsageError("--layer N and --tree belong together")
    image = find(context.store, name, platform)
    layers = [context.store.toc(diff_id) for diff_id in image.config.diff_ids]
    if ci:
        given = {"lowestEfficiency": lowest, "highestWastedBytes": most, "highestUserWastedPercent": percent}
        return judge(name, layers, {rule: value for rule, value in given.items() if value is not None}, ci_config)
    if ci_config or lowest or most or percent:
        raise click.UsageError("rules are for --ci")
    if export is not None:
        write(image, layers, export)
    elif wanted is not None:
        print_found(context.store, image, layers, wanted)
    elif top is not None:
        print_top(layers, top)
    elif picture is not None:
        write_picture(name, image, layers, picture)
    elif layer is not None:
        print_tree(context.store, image, layer)
    else:
        print_report(context.store, image, layers)
    return 0


def judge(name: str, layers: Sequence[Toc], given: Mapping[str, str], config: str | None) -> int:
    """Print what dive prints; 1 if a rule is broken. Options go before the file."""
    from layers.views.efficiency import efficiency
    from pybuild.budget import DEFAULTS, judge, read
    from pybuild.formats.dive import report

    file = Path(config or ".dive-ci")
    rules = dict(DEFAULTS)
    if config or file.exists():
        rules |= read(file.read_text(encoding="utf-8"), str(file))
    found = efficiency(layers)
    verdicts = judge(found, {**rules, **given})
    click.echo(f"  Using CI config: {file}" if config or file.exists() else "  Using default CI config")
    click.echo(f"Image Source: {name}\nAnalyzing image...\n{report(found, verdicts)}")
    return int(any(verdict.status == "FAIL" for verdict in verdicts))


def write(image: Image, layers: Sequence[Toc], target: str) -> None:
    """dive's JSON, and beside its numbers those of bytes that do not show."""
    from layers.views.efficiency import efficiency
    from layers.views.waste import waste
    from pybuild.formats import dive

    document = dive.export(image, layers, efficiency(layers))
    lost = waste(layers)
    document["image"] |= {"hiddenBytes": lost.wasted, "hiddenUserPercent": round(lost.user_percent, 4)}
    text = json.dumps(document, indent=2) + "\n"
    if target == "-":
        click.echo(text, nl=False)
    else:
        Path(target).write_text(text, encoding="utf-8")


def write_picture(name: str, image: Image, layers: Sequence[Toc], target: str) -> None:
    """The page of `pybuild.formats.treemap`."""
    from layers.views.waste import waste
    from pybuild.formats.treemap import page

    lines = [line.created_by or "" for line, diff_id in image.lines if diff_id is not None]
    labels = [f"{number} {command}" for number, command in enumerate(lines, 1)]
    Path(target).write_text(page(name, waste(layers), labels), encoding="utf-8")


def print_report(store: Store, image: Image, layers: Sequence[Toc]) -> None:
    """Layers, sums, and the paths with the most hidden bytes."""
    from builder.caching.cache import lines
    from layers.views.efficiency import efficiency
    from layers.views.waste import waste
    from pybuild import units
    from pybuild.formats.names import shown
    from pybuild.formats.table import emit, table, truncated

    lost, score = waste(layers), efficiency(layers)
    sizes, hidden_sizes, hidden = lost.sizes, lost.hidden_sizes, lost.hidden
    places = lines(store, image.config.diff_ids)
    commands = [(line.created_by or "").replace("\t", " ") for line, diff_id in image.lines if diff_id is not None]
    rows: list[dict[str, Any]] = [
        {
            "Layer": at + 1,
            "Digest": diff_id.short,
            "Size": units.size(sizes[at]),
            "Hidden": units.size(hidden_sizes[at]),
            "Line": places.get(diff_id, ""),
            "Command": truncated(shown(commands[at]), WIDTH),
        }
        for at, diff_id in enumerate(image.config.diff_ids)
    ]
    emit(rows, COLUMNS, None)
    click.echo(
        f"\nhidden: {units.size(lost.wasted)} of {units.size(lost.size)}"
        f" ({lost.user_percent:.1f} % of what is above the first layer)"
        f"\nefficiency: {score.score * 100:.2f} %; wasted as dive counts: {units.size(score.wasted)}"
    )
    if hidden:
        worst = [
            [units.size(each.size), str(each.count), str(each.layer + 1), shown(f"/{each.path}")]
            for each in hidden[:WORST]
        ]
        click.echo("\n" + table(["HIDDEN", "FILES", "LAYER", "PATH"], worst))
        if len(hidden) > WORST:
            click.echo(f"… and {units.size(sum(each.size for each in hidden[WORST:]))} more in smaller ones")


def print_found(store: Store, image: Image, layers: Sequence[Toc], wanted: str) -> None:
    """Where each path that matches comes from, and whether it is there. Raises click.ClickException if none is."""
    from builder.caching.cache import lines
    from layers.views.versions import Versions
    from pybuild import units
    from pybuild.formats.names import shown
    from pybuild.formats.table import table
    from pybuild.subject import pattern

    book, places = Versions(layers), lines(store, image.config.diff_ids)
    rows = []
    for path in book.matching(pattern(wanted.strip("/"))):
        versions = book.of(path)
        data = book.data(versions[0])
        gone = versions[0].kind.value == "D"
        last = image.config.diff_ids[versions[0].layer]
        size = units.size(data[1].size) if data else ""
        rows.append(
            [
                str(versions[-1].layer + 1),
                str(versions[0].layer + 1),
                "deleted" if gone else size,
                places.get(last, ""),
                shown(f"/{path}"),
            ]
        )
    if not rows:
        raise click.ClickException(f"no layer has anything like {wanted}")
    click.echo(table(["FIRST", "LAST", "SIZE", "DOCKERFILE:LINE", "PATH"], rows))


def print_top(layers: Sequence[Toc], count: int) -> None:
    """The largest files that show, and the directories with the most bytes below them."""
    from layers.views.waste import waste
    from pybuild import units
    from pybuild.formats.names import shown
    from pybuild.formats.table import table

    files = waste(layers).shown
    folders: dict[str, int] = {}
    for file in files:
        place = file.path
        while place:
            place = place.rpartition("/")[0]
            folders[place] = folders.get(place, 0) + file.size
    largest = sorted(files, key=lambda file: (-file.size, file.path))[:count]
    click.echo(
        table(
            ["SIZE", "LAYER", "FILE"],
            [[units.size(file.size), str(file.layer + 1), shown(f"/{file.path}")] for file in largest],
        )
    )
    heavy = sorted(folders.items(), key=lambda item: (-item[1], item[0]))[:count]
    rows = [[units.size(size), shown(f"/{path}/" if path else "/")] for path, size in heavy]
    click.echo("\n" + table(["SIZE", "DIRECTORY"], rows))


def print_tree(store: Store, image: Image, layer: int) -> None:
    """One layer over those below it. Raises click.UsageError if there are fewer."""
    from layers import Chain
    from pybuild.formats.layertree import lines

    diff_ids = image.config.diff_ids
    if layer > len(diff_ids):
        raise click.UsageError(f"the image has {len(diff_ids)} layers, there is no layer {layer}")
    for line in lines(store.toc(diff_ids[layer - 1]), store.tree(Chain(diff_ids[: layer - 1]))):
        click.echo(line)
