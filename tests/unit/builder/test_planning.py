"""Plans of many stages, and what stages hand on to those that stand on them."""

from typing import Any

import pytest

from builder.dockerfile import parse
from builder.graph import BaseImage, BuildGraph, Run
from builder.planning.plan import plan
from builder.request import BuildRequest
from builder.span import Span
from layers import Platform, Reference

MANY = 400
"""More stages than Python lets calls lie in one another."""


def planned(text: str, **request: Any) -> BuildGraph:
    """The graph of a Dockerfile that stands on scratch only."""

    def images(reference: Reference, platform: Platform, span: Span) -> BaseImage:
        raise AssertionError(f"{reference} is no stage")

    raw = text.encode()
    return plan(parse(raw), BuildRequest(context=None, text=raw, **request), Platform.host(), images, lambda *_: None)


def titles(graph: BuildGraph) -> list[str]:
    """The steps in the order of the plan."""
    return [f"{step.stage}: {step.title}" for step in graph.steps]


@pytest.mark.parametrize(
    "stage",
    ["FROM s{} AS s{}\nRUN x", "FROM scratch AS s{1}\nCOPY --from=s{0} / /", "FROM scratch\nCOPY --from={0} / /"],
)
def test_many_stages_that_stand_on_one_another(stage: str) -> None:
    first = "FROM scratch AS s0\nRUN x\n"
    graph = planned(first + "".join(f"{stage.format(number, number + 1)}\n" for number in range(MANY)))
    assert len([step for step in graph.steps if not step.title.startswith("FROM")]) == MANY + 1


def test_many_stages_that_are_read_before_they_are_written() -> None:
    stages = [f"FROM scratch AS s{number}\nCOPY --from=s{number + 1} / /\n" for number in range(MANY)]
    graph = planned("".join(stages) + f"FROM scratch AS s{MANY}\nRUN x\n", target="s0")
    assert len(graph.steps) == MANY + 2


def test_steps_stand_in_the_order_of_the_file_unless_a_later_stage_is_needed_first() -> None:
    text = "FROM scratch AS {}\nRUN a\nFROM scratch AS {}\nRUN b\n"
    text += "FROM scratch\nRUN c\nCOPY --from=one / /\nCOPY --from=two / /"
    rest = ["stage-2: RUN c", "stage-2: COPY --from=one / /", "stage-2: COPY --from=two / /"]
    assert titles(planned(text.format("one", "two"))) == ["one: FROM scratch", "one: RUN a", "two: RUN b", *rest]
    assert titles(planned(text.format("two", "one"))) == ["two: FROM scratch", "two: RUN a", "one: RUN b", *rest]
    needed_first = "FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nRUN b\nFROM a"
    assert titles(planned(needed_first))[1:] == ["b: RUN b", "a: COPY --from=b / /"]


def test_a_stage_above_changes_nothing_below() -> None:
    text = """
FROM scratch AS below
ENV A=1
ARG B=2
LABEL l=1
EXPOSE 80
ONBUILD ENV T=1
FROM below AS left
ENV A=left
LABEL l=left
EXPOSE 70
RUN left $A
FROM below AS right
ENV C=$A$B$T
RUN right
FROM scratch
COPY --from=left / /
COPY --from=right / /
"""
    left, right = (step.op for step in planned(text).steps if isinstance(step.op, Run))
    path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    assert left.env == {"B": "2", **path, "A": "left", "T": "1"}
    assert right.env == {"B": "2", **path, "A": "1", "T": "1", "C": "121"}
    runtime = planned(text, target="left").outcome.runtime
    assert (runtime["Labels"], list(runtime["ExposedPorts"])) == ({"l": "left"}, ["70/tcp", "80/tcp"])
    runtime = planned(text, target="right").outcome.runtime
    assert (runtime["Labels"], list(runtime["ExposedPorts"])) == ({"l": "1"}, ["80/tcp"])
    assert planned(text, target="below").outcome.runtime["OnBuild"] == ["ENV T=1"]
