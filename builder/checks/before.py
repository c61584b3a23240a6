"""What a build says of its Dockerfile before it begins."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from builder.checks.check import check
from builder.checks.rules import BUILDKIT
from builder.errors import DockerfileErrors
from builder.events import Warned

if TYPE_CHECKING:
    from builder.bases import Bases
    from builder.contexts.ignore import Ignore
    from builder.dockerfile import Dockerfile
    from builder.graph import BaseImage
    from builder.road import Road
    from builder.span import Span
    from layers import Platform


def warn(road: Road, dockerfile: Dockerfile, platform: Platform, bases: Bases) -> None:
    """Tell what is allowed and yet probably not meant. Raises CheckFailed, and DockerfileErrors if strict."""
    request, rules = road.request, BUILDKIT
    known = bases.known(road.bench.named)

    def ignore() -> Ignore | None:
        from builder.contexts.context import Context

        files = road.contexts()
        return files.ignore if isinstance(files, Context) else None

    def base(name: str, platform: Platform, span: Span) -> BaseImage | None:
        if request.contexts:
            from builder.sources.named import find

            if find(request.contexts, name, platform) is not None:
                return None  # no image is asked for
        return known(name, platform, span)

    matches: Callable[..., bool] | None = None
    if request.strict:
        from builder.checks.strict import of_builds
        from builder.checks.wildcards import matches as match

        rules = of_builds()
        if request.context is not None:
            matches = partial(match, request.context, ignore())
    report = check(
        dockerfile,
        rules,
        base=base,
        target=request.target,
        build_args=request.build_args,
        platform=platform,
        ignore=ignore,
        matches=matches,
        secrets=frozenset(request.secrets),
        agents=frozenset(request.agents),
    )
    for finding in report.findings:
        if finding.rule.severity != "error":
            road.emit(Warned(finding.message, finding.rule.name, finding.span, url=finding.rule.url))
    if report.errors:
        raise DockerfileErrors(report.errors)
    if report.failure is not None:
        raise report.failure
