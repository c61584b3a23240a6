"""What checks, targets and outlines look like: BuildKit's texts and JSON, SARIF 2.1.0, GitHub's commands."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pybuild import __version__

if TYPE_CHECKING:
    from builder import BuildError
    from builder.checks import Finding
    from builder.outline import Outline, Target
    from builder.span import Span

SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "info": "note"}
COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}
PAD = 2
LONGEST = 1000
"""Characters of a line that are shown."""


def text(findings: Sequence[Finding], *, broken: bool = False) -> Iterator[str]:
    """The lines of `build --check`; nothing is said of a file that is broken and has no findings."""
    yield ""
    if findings:
        count = "1 warning has" if len(findings) == 1 else f"{len(findings)} warnings have"
        yield f"Check complete, {count} been found!"
    elif not broken:
        yield "Check complete, no warnings found."
    for finding in findings:
        rule = finding.rule
        also = f" ({', '.join(rule.aliases)})" if rule.aliases and not rule.buildkit else ""
        link = f" - {rule.url}" if rule.url else ""
        yield ""
        yield f"{rule.severity.upper() if not rule.buildkit else 'WARNING'}: {rule.name}{also}{link}"
        yield finding.message
        yield from excerpt(finding.span)


def excerpt(span: Span) -> Iterator[str]:
    """The place, and its lines between their neighbours."""
    name, lines = (span.text.name, (*span.text.lines, "")) if span.text else ("Dockerfile", ("",))
    yield f"{name}:{span.line}"
    yield "-" * 20
    first, last, pad = span.line, span.end_line, 0
    room = PAD if last > first else 2 * PAD
    while pad < room:
        pad += 1
        if first > 1:
            first, pad = first - 1, pad + 1
        if last < len(lines):
            last, pad = last + 1, pad + 1
    for number in range(first, min(last, len(lines)) + 1):
        mark = ">>> " if span.line <= number <= span.end_line else "    "
        yield f" {number:3} | {mark}{visible(lines[number - 1])}"
    yield "-" * 20


def visible(line: str) -> str:
    """A line without what a terminal would obey; a very long one ends early, for it is shown once a finding."""
    line = line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
    return (
        line
        if line.isprintable()
        else "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in line)
    )


def ranges(span: Span) -> dict[str, Any]:
    """A place as BuildKit tells it: a range for each line."""
    lines = range(span.line, span.end_line + 1)
    return {"ranges": [{"start": {"line": line}, "end": {"line": line}} for line in lines]}


def data(findings: Iterable[Finding], file: str, source: bytes, error: BuildError | None = None) -> dict[str, Any]:
    """What `build --call=check,format=json` prints."""
    warnings = [
        {
            "ruleName": finding.rule.name,
            "description": finding.rule.description,
            **({"url": finding.rule.url} if finding.rule.url else {}),
            "detail": finding.message,
            "location": ranges(finding.span),
        }
        for finding in findings
    ]
    found: dict[str, Any] = {
        "warnings": warnings or None,
        "sources": [{"filename": file, "data": base64.b64encode(source).decode(), "language": "Dockerfile"}],
    }
    if error is not None:
        first = getattr(error, "errors", (error,))[0]
        span = getattr(first, "span", None)
        what = getattr(first, "what", None) or str(first)
        found["buildError"] = {"message": what, "location": ranges(span) if span else {}}
    return found


def sarif(findings: Sequence[Finding], uri: str, errors: Sequence[BuildError] = ()) -> dict[str, Any]:
    """One run as SARIF 2.1.0."""
    rules = list({finding.rule.name: finding.rule for finding in findings}.values())
    indices = {rule.name: number for number, rule in enumerate(rules)}
    results: list[dict[str, Any]] = [
        {
            "ruleId": finding.rule.name,
            "ruleIndex": indices[finding.rule.name],
            "level": LEVELS[finding.rule.severity],
            "message": {"text": finding.message},
            "locations": [location(uri, finding.span)],
            **({"fixes": [fix(uri, finding)]} if finding.edits else {}),
        }
        for finding in findings
    ]
    results += [
        {
            "ruleId": "DockerfileError",
            "level": "error",
            "message": {"text": getattr(error, "what", None) or str(error)},
            **({"locations": [location(uri, span)]} if (span := getattr(error, "span", None)) else {}),
        }
        for error in errors
    ]
    driver = {
        "name": "pybuild",
        "version": __version__,
        "rules": [
            {
                "id": rule.name,
                "shortDescription": {"text": rule.description},
                "defaultConfiguration": {"level": LEVELS[rule.severity]},
                **({"helpUri": rule.url} if rule.url else {}),
                **({"properties": {"tags": list(rule.aliases)}} if rule.aliases else {}),
            }
            for rule in rules
        ],
    }
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    return {"$schema": SARIF, "version": "2.1.0", "runs": [run]}


def fix(uri: str, finding: Finding) -> dict[str, Any]:
    """How a finding is mended, as SARIF tells it."""
    replacements = [
        {"deletedRegion": region(edit.span), "insertedContent": {"text": edit.text}} for edit in finding.edits
    ]
    change = {"artifactLocation": {"uri": quote(uri)}, "replacements": replacements}
    return {"description": {"text": "What `pybuild check --fix` does"}, "artifactChanges": [change]}


def location(uri: str, span: Span) -> dict[str, Any]:
    """A place as SARIF tells it."""
    return {"physicalLocation": {"artifactLocation": {"uri": quote(uri)}, "region": region(span)}}


def region(span: Span) -> dict[str, int]:
    """Lines and columns as SARIF counts them, which is as spans do."""
    found = {"startLine": span.line, "startColumn": span.column, "endLine": span.end_line}
    return found | (
        {"endColumn": span.end_column} if span.end_line > span.line or span.end_column > span.column else {}
    )


def github(findings: Iterable[Finding], file: str, errors: Iterable[BuildError] = ()) -> Iterator[str]:
    """GitHub's workflow commands, a line each."""
    for finding in findings:
        yield command(COMMANDS[finding.rule.severity], file, finding.span, finding.rule.name, finding.message)
    for error in errors:
        what = getattr(error, "what", None) or str(error)
        yield command("error", file, getattr(error, "span", None), "DockerfileError", what)


def command(kind: str, file: str, span: Span | None, title: str, message: str) -> str:
    """`::warning file=Dockerfile,line=3,…::message`, escaped as GitHub wants it."""
    place = {"file": file}
    if span is not None:
        place |= {"line": str(span.line), "endLine": str(span.end_line)}
    place["title"] = title
    escaped = ",".join(f"{key}={escape(text).replace(':', '%3A').replace(',', '%2C')}" for key, text in place.items())
    return f"::{kind} {escaped}::{escape(message)}"


def escape(message: str) -> str:
    """Text in a workflow command."""
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def targets(found: Sequence[Target], source: bytes, *, as_json: bool) -> str:
    """What `build --call=targets` prints."""
    if as_json:
        listed = [
            said(
                name=target.name,
                default=target.default,
                description=target.description,
                base=target.base,
                platform=target.platform,
            )
            | {"location": ranges(target.span)}
            for target in found
        ]
        return json.dumps({"targets": listed, "sources": [base64.b64encode(source).decode()]}, indent=2)
    names = [f"{target.name} (default)".strip() if target.default else target.name for target in found]
    width = max(len(name) for name in ("TARGET   ", *names))
    rows = [("TARGET", "DESCRIPTION"), *zip(names, (target.description for target in found), strict=True)]
    return "\n" + "\n".join(f"{name:<{width}} {description}" for name, description in rows)


def outline(found: Outline, source: bytes, *, as_json: bool) -> str:
    """What `build --call=outline` prints."""
    if as_json:
        needs = {"secrets": found.secrets, "ssh": found.agents}
        parts: dict[str, Any] = said(name=found.name, description=found.description)
        arguments = [
            said(name=one.name, description=one.description, value=one.value) | {"location": ranges(one.span)}
            for one in found.arguments
        ]
        listed = {
            key: [said(name=one.name, required=one.required) | {"location": ranges(one.span)} for one in several]
            for key, several in needs.items()
        }
        listed["cache"] = [{"id": one.name, "location": ranges(one.span)} for one in found.caches]
        sources = {"sources": [base64.b64encode(source).decode()]}
        return json.dumps(parts | said(args=arguments) | said(**listed) | sources, indent=2)
    blocks: list[str] = []
    if found.name:
        head = [("TARGET:", found.name)]
        if found.description:
            head.append(("DESCRIPTION:", found.description))
        width = max(len(key) for key, _ in head)
        blocks.append("\n".join(f"{key:<{width}} {words}" for key, words in head))
    if found.arguments:
        rows = [("BUILD ARG", "VALUE", "DESCRIPTION")]
        rows += [(one.name, one.value, one.description) for one in found.arguments]
        blocks.append(table(rows))
    for title, several in (("SECRET", found.secrets), ("SSH", found.agents)):
        if several:
            rows2 = [(title, "REQUIRED"), *((one.name, "true" if one.required else "") for one in several)]
            blocks.append(table(rows2))
    return "\n" + "\n\n".join(blocks) + ("\n" if len(blocks) > 1 or not found.name else "")


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns three blanks apart, as BuildKit sets them."""
    widths = [max(len(row[at]) for row in rows) + 3 for at in range(len(rows[0]) - 1)]
    return "\n".join(
        "".join(f"{cell:<{width}}" for cell, width in zip(row[:-1], widths, strict=True)) + row[-1] for row in rows
    )


def said(**values: Any) -> dict[str, Any]:
    """What is neither empty nor false."""
    return {key: value for key, value in values.items() if value}
