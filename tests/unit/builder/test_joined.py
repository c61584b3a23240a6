"""Graphs of several platforms as one: what is shared, and what is not."""

from builder.dockerfile import parse
from builder.graph import BuildGraph
from builder.joined import Joined
from builder.planning.plan import plan
from builder.request import BuildRequest
from layers import Platform

ARM, AMD = Platform.parse("linux/arm64"), Platform.parse("linux/amd64")
TEXT = """FROM --platform=$BUILDPLATFORM scratch AS tools
COPY tools /
RUN make tools
FROM --platform=$BUILDPLATFORM scratch AS cross
ARG TARGETARCH
RUN --mount=from=tools,target=/t make $TARGETARCH
FROM scratch
ADD https://example.org/file /
COPY --from=tools /data /
COPY --from=cross /out /
"""


def graphs(text: str) -> list[BuildGraph]:
    """The plans for arm64 and amd64, made on amd64."""

    def image(*_: object) -> object:
        raise AssertionError("no image is asked for")

    joined, dockerfile = Joined(), parse(text.encode(), "Dockerfile")
    request = BuildRequest(context=None, text=text.encode())
    return [
        joined.add(plan(dockerfile, request, platform, image, lambda *_: None, build_platform=AMD))  # type: ignore[arg-type]
        for platform in (ARM, AMD)
    ]


def test_what_is_the_same_is_one_step() -> None:
    first, second = graphs(TEXT)
    shared = [step.title for step in first.steps if step in second.steps]
    assert sorted(shared) == ["COPY tools /", "FROM scratch", "RUN make tools", "fetch https://example.org/file"]
    for graph in (first, second):
        ids = [step.id for step in graph.steps]
        assert len(set(ids)) == len(ids)
        done: set[int] = set()
        for step in graph.steps:  # an order in which they can run
            assert done.issuperset(step.needs)
            done.add(step.id)
        assert graph.outcome.top == ids[-1]
        words = {step.id: step.title.split("=")[0] for step in graph.steps}
        lines = [words[line.step] for line in graph.outcome.lines if line.step is not None]
        assert lines == ["ADD https://example.org/file /", "COPY --from", "COPY --from"]
    own = {step.id for step in second.steps} - {step.id for step in first.steps}
    assert own == set(range(len(first.steps) + 1, len(first.steps) + 1 + len(own)))


def test_nothing_is_shared_across_platforms_but_what_was_fetched() -> None:
    first, second = graphs("FROM scratch\nADD https://example.org/file /\nCOPY a /\nRUN x\n")
    assert [step.title for step in first.steps if step in second.steps] == ["fetch https://example.org/file"]
