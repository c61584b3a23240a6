"""`pybuild check`: what a Dockerfile says that is probably not meant, and mending what can be mended mechanically."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layers.quick import replace
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.checks import Finding, Rule
    from builder.errors import BuildError
    from pybuild.checking import Checking

FORMATS = ("tty", "json", "sarif", "github")
LEVELS = ("error", "warning", "info")


@click.command(
    epilog="""
\b
Examples:
  pybuild check                         the Dockerfile of this directory
  pybuild check --severity warning -f docker/Dockerfile .
  pybuild check --fix                   mend what can be mended, and tell the rest
  pybuild check --format sarif > check.sarif
  pybuild check --explain JSONArgsRecommended
  pybuild check - < Dockerfile"""
)
@click.argument("place", metavar="[PATH|-]", required=False, default=".")
@click.option("-f", "--file", "file", metavar="FILE", help="The Dockerfile (PATH/Dockerfile).")
@click.option("--format", "form", type=click.Choice(FORMATS), default="tty", show_default=True, help="What to print.")
@click.option("--fix", is_flag=True, help="Mend in place what can be mended mechanically, and tell the rest.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, and change nothing.")
@click.option(
    "--severity", type=click.Choice(LEVELS), default="info", show_default=True, help="The least that is told."
)
@click.option(
    "--error-on", type=click.Choice((*LEVELS, "never")), help="The least that makes the exit code 1 (all that is told)."
)
@click.option("--ignore", multiple=True, metavar="RULE", help="Do not tell this rule (a name or hadolint's code).")
@click.option("--experimental", multiple=True, metavar="RULE", help="Tell this rule, too; all for every one.")
@click.option("--build-arg", "build_args", multiple=True, metavar="KEY=VALUE", help="Value of an ARG.")
@click.option("--target", metavar="STAGE", help="Check what this stage needs, not all stages.")
@click.option("--platform", metavar="OS/ARCH", help="What the image would be for, by default this machine.")
@click.option("--strict", is_flag=True, help="What builders pass over in silence is an error, too.")
@click.option("--explain", metavar="RULE", help="Tell what a rule is about, instead of checking.")
@click.option("--list", "listed", is_flag=True, help="List all rules, instead of checking.")
@click.pass_obj
def check(roof: Context, /, **options: Any) -> int:
    """Tell what a Dockerfile says that is probably not meant.

    PATH is the directory that COPY reads, with the Dockerfile in it, or a Dockerfile; - reads standard input. Nothing
    is built or fetched. The exit code is 1 if anything was found, as that of `build --check`; that tells BuildKit's
    rules alone, this all that are known. Rules are silenced by `# check=skip=RULE`, at the top for the whole file or
    above an instruction for it alone, by hadolint's comments, and by .hadolint.yaml.
    """
    from builder.checks import every
    from builder.checks.strict import strictly

    if options["listed"]:
        click.echo("\n".join(listing(every())))
        return 0
    if options["explain"]:
        click.echo(explained(options["explain"]))
        return 0
    subject, threshold = asked(roof, options)
    rules = strictly(every()) if options["strict"] else every()
    if options["fix"] or options["diff"]:
        changed = mend(subject, rules, show=options["diff"])
        if options["diff"]:
            return int(changed)
        if subject.path is None:
            return 0  # the mended text is the output
        subject = replace(subject, source=subject.path.read_bytes())
    found, error = subject.run(rules)
    least = LEVELS.index(options["severity"])
    told = [finding for finding in found if LEVELS.index(finding.rule.severity) <= least]
    show(told, error, subject, options["form"])
    limit = -1 if threshold == "never" else LEVELS.index(threshold or "info")
    bad = any(LEVELS.index(finding.rule.severity) <= limit for finding in told)
    if error is not None and options["form"] == "tty":
        raise error
    return int(bad or error is not None)


def asked(roof: Context, options: dict[str, Any]) -> tuple[Checking, str | None]:
    """What is to be checked, and from which severity on it fails. Raises UsageError and ContextError."""
    from layers import Platform
    from pybuild.checking import Checking, located
    from pybuild.hadolint import load

    place, file = options["place"], options["file"]
    given = dict(word.partition("=")[::2] for word in options["build_args"])
    path = context = None
    if place == "-" or file == "-":
        source, name = sys.stdin.buffer.read(), "-"
        context = None if place == "-" else Path(place)
        settings = load(Path())
    else:
        path = Path(place)
        if path.is_dir():
            context, path = path, located(path, Path(file) if file else None)
        elif file is not None:
            raise click.UsageError(f"the context {place!r} is no directory")
        elif not path.exists():
            raise click.UsageError(f"there is no {place}")
        else:
            context = path.parent
        source, name = path.read_bytes(), str(path)
        settings = load(path.parent) if path.parent != Path() else load(Path())
    subject = Checking(
        roof,
        source,
        name,
        context,
        path,
        options["target"],
        given,
        Platform.parse(options["platform"]) if options["platform"] else None,
        skip=(*options["ignore"], *settings.ignored),
        experimental=options["experimental"],
    )
    return subject, options["error_on"] or settings.threshold


def strict_rules() -> Sequence[Rule]:
    """What is passed over in silence, as errors."""
    from builder.checks.strict import STRICT

    return STRICT


def mend(subject: Checking, rules: Sequence[Rule], *, show: bool) -> bool:
    """Mend the file, or show how; whether there was anything to mend."""
    from builder.checks.fix import mended

    def find(source: bytes) -> Sequence[Finding]:
        found, error = replace(subject, source=source).run(rules)
        if error is not None and not found:
            raise error
        return found

    better, done = mended(subject.source, find)
    if show:
        import difflib

        before, after = (text.decode("utf-8", "replace").splitlines(keepends=True) for text in (subject.source, better))
        lines = difflib.unified_diff(before, after, subject.name, subject.name)
        click.echo(
            "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines),
            nl=False,
        )
    elif subject.path is None:
        sys.stdout.buffer.write(better)
        sys.stdout.buffer.flush()
    elif better != subject.source:
        subject.path.write_bytes(better)
        for finding in done:
            click.echo(f"fixed {finding.span.place}: {finding.rule.name}: {finding.message}", err=True)
    return better != subject.source


def show(found: Sequence[Finding], error: BuildError | None, subject: Checking, form: str) -> None:
    """Print what was found."""
    from pybuild.checking import errors
    from pybuild.formats import checks

    if form == "json":
        name = subject.path.name if subject.path else "Dockerfile"
        click.echo(json.dumps(checks.data(found, name, subject.source, error), indent=2, ensure_ascii=False))
    elif form == "sarif":
        click.echo(json.dumps(checks.sarif(found, subject.name, errors(error)), indent=2, ensure_ascii=False))
    elif form == "github":
        for line in checks.github(found, subject.name, errors(error)):
            click.echo(line)
    else:
        click.echo("\n".join(checks.text(found, broken=error is not None)))


def listing(rules: Sequence[Rule]) -> Sequence[str]:
    """A line a rule: name, hadolint's codes, severity, sentence."""
    rows = [(rule.name, " ".join(rule.aliases), rule.severity, rule.description) for rule in (*rules, *strict_rules())]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    return ["  ".join((*(f"{row[at]:<{widths[at]}}" for at in range(3)), row[3])) for row in rows]


def explained(name: str) -> str:
    """What a rule is about. Raises UsageError."""
    from builder.checks import every, find
    from builder.checks.explain import explain
    from builder.dockerfile import nearest

    rule = find(name) or next((one for one in strict_rules() if one.name.lower() == name.lower()), None)
    if rule is None:
        near = nearest(name, (one.name for one in (*every(), *strict_rules())), slips=4)
        raise click.UsageError(f"there is no rule {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    return explain(rule)
