"""Plans a build: the stages that the target needs, instruction by instruction."""

from __future__ import annotations

from collections.abc import Callable
from itertools import dropwhile
from typing import TYPE_CHECKING

from builder.dockerfile import Add, Arg, Copy, Dockerfile, Instruction, Run, Workdir, parse_onbuild
from builder.errors import StageCycle
from builder.graph import BuildGraph, Mkdir
from builder.planning.arguments import Arguments
from builder.planning.config import configure, enter
from builder.planning.copy import add, copy
from builder.planning.draft import Draft
from builder.planning.names import Images, Layouts, Names
from builder.planning.run import run
from builder.span import NOWHERE, Span
from builder.stages import Stage, Stages, platform_arguments
from layers import Platform, Reference

if TYPE_CHECKING:
    from builder.planning.state import State
    from builder.request import BuildRequest


def plan(
    dockerfile: Dockerfile,
    request: BuildRequest,
    platform: Platform,
    images: Images,
    warn: Callable[[str, Span], None],
    *,
    build_platform: Platform | None = None,
    named: Callable[[str], Reference] = Reference.parse,
    layouts: Layouts | None = None,
) -> BuildGraph:
    """The graph for one platform. Raises DockerfileError and what `images` and `named` raise."""
    stages, here = Stages.of(dockerfile), build_platform or Platform.host()
    planner = Planner(stages, request, platform, here, images, named=named, layouts=layouts, warn=warn)
    target = planner.stages.target(request.target)
    for stage in planner.stages.order(target, planner.scope.get):  # finds every circle before anything is fetched
        planner.result(stage)
    state = planner.result(target)
    for name in planner.arguments.unused():
        warn(f"build argument {name} was not consumed: no ARG declares it", NOWHERE)
    if request.labels:
        state.mapping("Labels").update(request.labels)
    return BuildGraph(planner.draft.finished(), state.outcome)


class Planner:
    """One planning: the draft of the graph, and the states that stages have ended in."""

    def __init__(
        self,
        stages: Stages,
        request: BuildRequest,
        platform: Platform,
        build_platform: Platform,
        images: Images,
        *,
        named: Callable[[str], Reference] = Reference.parse,
        layouts: Layouts | None = None,
        warn: Callable[[str, Span], None] = lambda what, span: None,
    ) -> None:
        self.request = request
        self.warn = warn
        self.platform = platform
        self.draft = Draft()
        self.names = Names(
            stages, request, platform, self.draft, self.result, images=images, named=named, layouts=layouts
        )
        self.stages = self.names.stages
        given = platform_arguments(platform, build_platform, self.stages.target(request.target))
        self.arguments = Arguments(self.stages, request.build_args, given)
        self.scope = self.arguments.scope
        self._results: dict[int, State] = {}
        self._begun: dict[int, Stage] = {}

    def result(self, stage: Stage) -> State:
        """The state at the end of a stage, planned once. Raises DockerfileError."""
        if stage.index not in self._results:
            if stage.index in self._begun:  # by a context that is a stage
                circle = [*dropwhile(lambda one: one is not stage, self._begun.values()), stage]
                raise StageCycle(stage.span, [one.title for one in circle])
            self._begun[stage.index] = stage
            outer, self.draft.stage = self.draft.stage, stage.title
            self._results[stage.index] = self._planned(stage)
            del self._begun[stage.index]
            self.draft.stage = outer
        return self._results[stage.index]

    def origin(self, wanted: str, span: Span, state: State) -> tuple[int | None, str]:
        """The step that `--from` of the present stage reads; None and the name of a directory that is a context."""
        stage = next(reversed(self._begun.values()))
        return self.names.origin(stage, wanted, span, state.platform)

    def _planned(self, stage: Stage) -> State:
        state = self.names.opened(stage, self.scope.get)
        where = f"ONBUILD of {stage.opening.image.text}"
        triggered = [parse_onbuild(trigger, where) for trigger in state.triggers]
        state.triggers = []
        for instruction in (*triggered, *stage.instructions):
            self._apply(instruction, state)
        return state

    def _apply(self, instruction: Instruction, state: State) -> None:
        """The state after an instruction."""
        match instruction:
            case Run():
                run(self, instruction, state)
            case Copy():
                copy(self, instruction, state)
            case Add():
                add(self, instruction, state)
            case Arg():
                self.arguments.declare(instruction, state)
            case Workdir():
                self._workdir(instruction, state)
            case _:
                configure(instruction, state)

    def _workdir(self, instruction: Workdir, state: State) -> None:
        """A WORKDIR, which makes its directory; the root is there."""
        title, step = f"WORKDIR {enter(instruction, state)}", None
        if state.cwd != "/":
            op = Mkdir(state.cwd, state.user)
            step = self.draft.step(op, state.top, title, instruction.span, state.platform)
        state.told(title, step)
