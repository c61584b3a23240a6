"""Checks as commands give them: one Dockerfile, all that is found in it, and what would end its build.

Nothing is built or fetched: base images are looked up in the store, and what is not there is taken for an image of
which nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.errors import BuildError, ContextError, DockerfileErrors
from layers.quick import dataclass, field

if TYPE_CHECKING:
    from builder.checks import Finding, Rule
    from builder.contexts.ignore import Ignore
    from builder.dockerfile import Dockerfile
    from builder.graph import BaseImage
    from builder.span import Span
    from layers import Platform, Reference
    from pybuild.wiring import Context


@dataclass
class Checking:
    """One Dockerfile to be checked. `context` is the directory that COPY reads, None for none."""

    roof: Context
    source: bytes
    name: str
    context: Path | None = None
    path: Path | None = None
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    skip: Iterable[str] = ()
    experimental: Iterable[str] = ()

    @cached_property
    def dockerfile(self) -> Dockerfile:
        """The file, parsed. Raises DockerfileErrors."""
        from builder.dockerfile import parse

        return parse(self.source, self.name)

    def run(self, rules: Iterable[Rule]) -> tuple[tuple[Finding, ...], BuildError | None]:
        """What the rules find, and what would end a build before its first step."""
        from builder.checks import check

        try:
            report = check(
                self.dockerfile,
                rules,
                base=self.base,
                target=self.target,
                every_stage=True,
                build_args=self.build_args,
                platform=self.platform,
                ignore=lambda: self._ignore,
                matches=self._matches if self.context is not None else None,
                skip=self.skip,
                experimental=self.experimental,
            )
        except BuildError as error:
            return (), error
        return report.findings, report.failure or self._planned()

    def _planned(self) -> BuildError | None:
        """The error that a plan of the target, or else of any stage, ends with, if it does."""
        from builder import Stages
        from builder.planning.plan import Planner
        from builder.request import BuildRequest
        from layers import Platform

        host = Platform.host()
        given = dict(self.build_args)
        request = BuildRequest(context=None, text=self.source, target=self.target, build_args=given)

        def images(reference: Reference, platform: Platform, span: Span) -> BaseImage:
            return self.base(str(reference), platform, span) or unknown(reference, platform)

        stages = Stages.of(self.dockerfile)
        try:
            planner = Planner(stages, request, self.platform or host, host, images)
            goal = stages.target(self.target)
            stages.order(goal, planner.scope.get)
            for stage in stages.all if self.target is None else (goal,):
                planner.result(stage)
        except BuildError as error:
            return error
        return None

    def base(self, name: str, platform: Platform, span: Span) -> BaseImage | None:
        """An image of the store; None if it is not there, or if there is no store."""
        return self._bases(name, platform, span)

    @cached_property
    def _bases(self) -> Callable[[str, Platform, Span], BaseImage | None]:
        from builder import Workbench
        from builder.bases import Bases
        from layers import LayerError, Reference

        if not (self.roof.settings.root / "blobs").is_dir():
            return lambda *_: None  # to check a file makes no store
        try:
            bench = Workbench(self.roof.store, lambda: self.roof.runtime)
        except (OSError, LayerError):  # nor does it need one that can be used
            return lambda *_: None
        return Bases(bench, pull=False).known(Reference.parse)

    @cached_property
    def _ignore(self) -> Ignore | None:
        from builder.contexts.ignore import Ignore, places

        for name in places(self.context, self.path):
            with suppress(FileNotFoundError, NotADirectoryError):
                return Ignore.parse(name.read_bytes(), name.name)
        return None

    def _matches(self, pattern: str, *, parents: bool) -> bool:
        from builder.checks.wildcards import matches

        assert self.context is not None
        return matches(self.context, self._ignore, pattern, parents=parents)


def located(context: Path | None, file: Path | None) -> Path:
    """Where the Dockerfile of a build is: as named, else `Dockerfile` or `Containerfile`. Raises ContextError."""
    place = context or Path()
    names = [place / "Dockerfile", place / "Containerfile"] if file is None else [file, place / file]
    for name in names:
        if name.is_file():
            return name
    kind = " and it is a directory, not a Dockerfile" if names[0].is_dir() else ""
    raise ContextError(f"there is no {names[0]}{kind}", help="name another one with --file")


def unknown(reference: Reference, platform: Platform) -> BaseImage:
    """An image of which nothing is known but its name."""
    import json

    from builder.graph import BaseImage
    from layers import Descriptor, ImageConfig, Manifest

    config: dict[str, Any] = {
        "os": platform.os,
        "architecture": platform.architecture,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    document = ImageConfig.parse(json.dumps(config).encode())
    target = Descriptor.of(document.raw, "application/vnd.oci.image.config.v1+json")
    return BaseImage(reference, target, Manifest.build(target, ()), document, True)


def errors(error: BuildError | None) -> tuple[BuildError, ...]:
    """The single errors of one."""
    if error is None:
        return ()
    return error.errors if isinstance(error, DockerfileErrors) else (error,)
