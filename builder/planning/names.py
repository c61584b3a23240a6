"""What the names in FROM, COPY --from and RUN --mount from mean: a stage, a context, scratch, an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from builder.dockerfile import expand
from builder.errors import DockerfileError
from builder.graph import BaseImage, Copy, Fetch
from builder.planning.state import State
from builder.span import NOWHERE, Span
from builder.stages import SCRATCH
from layers import DocumentInvalid, Platform, Reference, ReferenceInvalid

if TYPE_CHECKING:
    from builder.dockerfile import From
    from builder.dockerfile.expansion import Lookup
    from builder.planning.draft import Draft
    from builder.request import BuildRequest
    from builder.sources.named import LayoutImage, Place
    from builder.stages import Stage, Stages

Images = Callable[[Reference, Platform, Span], BaseImage]
"""Finds a base image: here, or in its registry."""
Layouts = Callable[["LayoutImage", Platform, Span], BaseImage]
"""Finds an image in an OCI layout."""


class Names:
    """Looks names up for one planning; `result` gives the state that a stage ends in."""

    def __init__(
        self,
        stages: Stages,
        request: BuildRequest,
        platform: Platform,
        draft: Draft,
        result: Callable[[Stage], State],
        *,
        images: Images,
        named: Callable[[str], Reference],
        layouts: Layouts | None,
    ) -> None:
        self.platform = platform
        self._contexts = request.contexts
        self._draft = draft
        self._result = result
        self._images = images
        self._named = named
        self._layouts = layouts
        self.stages = stages.without(lambda name: self._context(name) is not None) if request.contexts else stages

    def opened(self, stage: Stage, scope: Lookup) -> State:
        """The state that a stage begins with. Raises DockerfileError and what `images` and `named` raise."""
        platform = self._wanted(stage.opening, scope)
        if (found := self._context(stage.name)) is not None:
            return self._placed(*found, platform, stage.span)
        name = self.stages.image(stage, scope)
        if (base := self.stages.base(stage, name)) is not None:
            return self._above(base)
        if name.lower() == SCRATCH:
            return State.empty(self._draft.base(None, platform, stage.span), platform)
        where = stage.opening.image.span
        if (found := self._context(name)) is not None:
            return self._placed(*found, platform, where)
        return self._over(self._meant(name, platform, where), platform, stage.span)

    def origin(self, stage: Stage, wanted: str, span: Span, platform: Platform) -> tuple[int | None, str]:
        """The step that `--from` in `stage` reads; None and the name of a directory that is a context."""
        if (source := self.stages.source(stage, wanted, span)) is not None:
            return self._result(source).top, ""
        if wanted.lower() == "context":
            raise DockerfileError(span, "--from=context is reserved")
        if wanted.lower() == SCRATCH:
            return self._draft.base(None, platform, span), ""
        if (found := self._context(wanted)) is not None:
            from builder.sources.named import Directory

            key, place = found
            if isinstance(place, Directory):
                return None, key
            return self._placed(key, place, self.platform, span).top, ""
        image = self._meant(wanted, self.platform, span)
        return self._draft.base(image, self.platform, span), ""

    def whole(self, key: str, platform: Platform, span: Span) -> int:
        """The step that makes a layer of all that a directory has which is a context."""

        def make() -> int:
            base = self._draft.base(None, platform, span)
            op = Copy(("/",), "/", context=key, link=True)
            return self._draft.step(op, base, f"context {key}", span, platform)

        return self._draft.once(("context", key), make)

    # -- contexts --------------------------------------------------------------------------------

    def _context(self, name: str) -> tuple[str, Place] | None:
        """The context that was given for a name, with its own."""
        if not self._contexts:
            return None
        from builder.sources.named import find

        return find(self._contexts, name, self.platform)

    def _placed(self, key: str, place: Place, platform: Platform, span: Span) -> State:
        """The state over a context with a name."""
        from builder.sources.named import Directory, ImageNamed, LayoutImage, StageNamed

        match place:
            case ImageNamed(name) if name.lower() == SCRATCH:
                return State.empty(self._draft.base(None, platform, span), platform)
            case ImageNamed(name):
                return self._over(self._image(name, platform, span), platform, span)
            case LayoutImage():
                assert self._layouts is not None
                return self._over(self._layouts(place, platform, span), platform, span)
            case StageNamed(name):
                return self._above(self.stages.target(name))
            case Directory():
                step = self.whole(key, platform, span)
            case _:
                step = self._draft.fetch(Fetch(place, unpack=True), f"context {key}", platform, span)
        state = State.empty(step, platform)
        state.told(f"[context {key}] load", step)  # its files are a layer of the image
        return state

    # -- stages and images -----------------------------------------------------------------------

    def _above(self, stage: Stage) -> State:
        """The state over the result of a stage."""
        state = self._result(stage).fork()
        self._draft.begun()
        return state

    def _over(self, image: BaseImage, platform: Platform, span: Span) -> State:
        """The state over an image."""
        return State.over(image, self._draft.base(image, platform, span))

    def _meant(self, name: str, platform: Platform, span: Span) -> BaseImage:
        """The image of a name, if that is not rather a slip of the pen for a stage's."""
        if (slip := self.stages.missing(name, span)) is not None and not self._local(name):
            raise slip
        return self._image(name, platform, span)

    def _image(self, name: str, platform: Platform, span: Span) -> BaseImage:
        try:
            reference = self._named(name)
        except ReferenceInvalid as error:
            raise DockerfileError(span, f"invalid image name {name!r}: {error.why}") from error
        return self._images(reference, platform, span)

    def _local(self, name: str) -> bool:
        """Whether an image of that name can be had without asking anybody."""
        try:
            return self._images(Reference.parse(name), self.platform, NOWHERE).local
        except Exception:  # whatever hinders it: then the slip is what to tell
            return False

    def _wanted(self, opening: From, scope: Lookup) -> Platform:
        """The platform of a stage: that of the build, or of its own FROM."""
        if opening.platform is None or not opening.platform.text:
            return self.platform
        text = expand(opening.platform, scope)
        if not text:
            help = "a variable in it is empty: declare it by ARG before the first FROM, or give it a default"
            what = f"empty platform value from expression {opening.platform.text}"
            raise DockerfileError(opening.platform.span, what, help=help)
        try:
            return Platform.parse(text)
        except DocumentInvalid as error:
            raise DockerfileError(opening.platform.span, f"failed to parse platform {text}: {error.why}") from error
