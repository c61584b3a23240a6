"""Stages: by name, by number, in order; what is missing, and what goes in circles."""

import pytest

from builder import DockerfileError, StageCycle, StageMissing, Stages, platform_arguments
from builder.dockerfile import parse
from layers import Platform


def stages(text: str) -> Stages:
    return Stages.of(parse(text.encode()))


def order(text: str, target: str | None = None, **given: str) -> list[str]:
    found = stages(text)
    return [stage.title for stage in found.order(found.target(target), found.scope(given).get)]


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("FROM x", None, ["stage-0"]),
        ("FROM x AS A\nFROM y\nFROM a", None, ["a", "stage-2"]),
        ("FROM x AS a\nFROM y AS b\nCOPY --from=0 / /\nFROM b", None, ["a", "b", "stage-2"]),
        ("FROM x AS a\nFROM y AS b\nFROM z AS c", "B", ["b"]),
        ("FROM x AS a\nCOPY --from=b / /\nFROM y AS b", "a", ["b", "a"]),
        ("FROM x AS a\nFROM y\nRUN --mount=from=A,target=/a true", None, ["a", "stage-1"]),
        ("FROM x AS a\nFROM a AS a\nFROM a", None, ["a", "a", "stage-2"]),
        ("FROM a AS a\nFROM b", "a", ["a"]),
        ("FROM x AS a\nFROM y AS b\nCOPY --from=image / /\nCOPY --from=a / /", None, ["a", "b"]),
        ("ARG which=a\nFROM x AS a\nFROM y AS b\nFROM $which", None, ["a", "stage-2"]),
    ],
)
def test_what_a_target_needs_comes_before_it(text: str, target: str | None, expected: list[str]) -> None:
    assert order(text, target) == expected


def test_a_build_argument_chooses_the_stage() -> None:
    text = "ARG which=${bad:?}\nFROM x AS a\nFROM y AS b\nFROM $which"
    assert order(text, which="b") == ["b", "stage-2"]


@pytest.mark.parametrize(
    ("text", "circle"),
    [
        ("FROM x AS a\nCOPY --from=a / /", ("a", "a")),
        ("FROM x AS a\nCOPY --from=b / /\nFROM y AS b\nCOPY --from=a / /\nFROM z", ("a", "b", "a")),
        ("FROM x AS a\nCOPY --from=c / /\nFROM a AS b\nFROM b AS c", ("a", "c", "b", "a")),
        ("FROM x\nFROM x AS b\nRUN --mount=from=c,target=/c true\nFROM b AS c", ("b", "c", "b")),
    ],
)
def test_circles_are_told_from_their_first_stage(text: str, circle: tuple[str, ...]) -> None:
    with pytest.raises(StageCycle) as caught:
        order(text)
    assert caught.value.stages == circle


@pytest.mark.parametrize("index", ["1", "2", "99999999999999999999"])
def test_a_number_means_an_earlier_stage(index: str) -> None:
    with pytest.raises(StageMissing, match="invalid stage index") as caught:
        order(f"FROM x\nFROM y\nCOPY --from={index} / /\nFROM z")
    assert (caught.value.span.line, caught.value.span.column) == (3, 6)


def test_an_unknown_target_gets_a_suggestion() -> None:
    found = stages("FROM x AS builder\nFROM y AS final")
    with pytest.raises(StageMissing) as caught:
        found.target("bulider")
    assert caught.value.near == ("builder",)
    assert "did you mean builder?" in str(caught.value)
    with pytest.raises(StageMissing, match="the stages are: builder, final"):
        found.target("0")


def test_a_misspelt_stage_is_no_image() -> None:
    found = stages("FROM x AS builder\nFROM y")
    (stage,) = (stage for stage in found.all if stage.index == 1)
    error = found.missing("bulider", stage.span)
    assert error is not None
    assert "did you mean builder (line 1)? For an image write docker.io/library/bulider" in str(error)
    assert found.missing("bulider:1", stage.span) is None
    assert found.missing("alpine", stage.span) is None


def test_arguments_before_the_first_stage() -> None:
    found = stages("ARG A=1 B=$A-2\nARG C\nARG D=${E:-$TARGETARCH}\nFROM x\nARG F=1")
    assert found.scope({"TARGETARCH": "arm64"}) == {"TARGETARCH": "arm64", "A": "1", "B": "1-2", "D": "arm64"}
    assert found.scope({"A": "9", "C": ""}) == {"A": "9", "B": "9-2", "C": "", "D": ""}


def test_a_blank_base_is_an_error() -> None:
    with pytest.raises(DockerfileError, match="base name should not be blank"):
        order("FROM $none")


def test_platform_arguments() -> None:
    goal = stages("FROM scratch AS Web\n").target()
    found = platform_arguments(Platform.parse("linux/arm/v7"), Platform.parse("linux/amd64"), goal)
    assert {name: value for name, value in found.items() if value} == {
        "TARGETPLATFORM": "linux/arm/v7",
        "TARGETOS": "linux",
        "TARGETARCH": "arm",
        "TARGETVARIANT": "v7",
        "TARGETSTAGE": "web",
        "BUILDPLATFORM": "linux/amd64",
        "BUILDOS": "linux",
        "BUILDARCH": "amd64",
    }
    assert found["TARGETOSVERSION"] == ""


def test_a_thousand_stages_in_a_row() -> None:
    lines = ["FROM x AS s0", *(f"FROM s{number - 1} AS s{number}" for number in range(1, 2000))]
    assert len(order("\n".join(lines))) == 2000
