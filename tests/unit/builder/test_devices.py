"""Who may have which device."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder import BuildRequest
from builder.devices import Grants, granted
from builder.dockerfile import Device
from builder.errors import BuildError, DockerfileError
from builder.span import NOWHERE

DESCRIPTION = """\
cdiVersion: 0.6.0
kind: vendor.example/device
devices:
- {name: bar}
- {name: foo, annotations: {org.mobyproject.buildkit.device.class: light}}
- {name: free, annotations: {org.mobyproject.buildkit.device.autoallow: "true"}}
"""
Ask = Callable[..., list[str]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    (tmp_path / "x.yaml").write_text(DESCRIPTION)

    def asked(wanted: str, *allow: str) -> list[str]:
        request = BuildRequest(context=tmp_path, cdi=(tmp_path,), allow=frozenset(allow))
        flags = [Device(name, False, NOWHERE) for name in wanted.split()]
        return [one.name for one in granted(flags, request, lambda *_: None)]

    return asked


KIND = "vendor.example/device"


@pytest.mark.parametrize(
    "allow", ["device", f"device={KIND}=foo", f"device={KIND}=*", "device=light", f"device={KIND}=foo,alias=other"]
)
def test_one_that_is_allowed(ask: Ask, allow: str) -> None:
    name = "other" if "alias" in allow else f"{KIND}=foo"
    assert ask(name, allow, "network.host") == ["foo"]


@pytest.mark.parametrize(
    "allow", ["network.host", f"device={KIND}=bar", f"device={KIND}", f"device={KIND}=foo,alias=x"]
)
def test_one_that_is_not(ask: Ask, allow: str) -> None:
    with pytest.raises(DockerfileError, match=f"{KIND}=foo is not allowed"):
        ask(f"{KIND}=foo", allow)


def test_a_kind_is_its_first_one(ask: Ask) -> None:
    assert ask(f"{KIND}=bar {KIND}=free", f"device={KIND}") == ["bar", "free"]
    assert ask(KIND, "device") == ["bar"]
    assert ask("light other", "device") == ["foo"]


def test_what_is_allowed_has_to_be_there(ask: Ask) -> None:
    with pytest.raises(BuildError, match=r"--allow device=nothing: no description"):
        ask(f"{KIND}=free", "device=nothing")
    assert ask("", "device=nothing") == []


@pytest.mark.parametrize("text", ["device=x,required", "device=x,alias", "device=x,other=y"])
def test_what_is_no_grant(text: str) -> None:
    with pytest.raises(ValueError, match="is not alias=NAME"):
        Grants.of([text])
    with pytest.raises(ValueError, match="is not alias=NAME"):
        BuildRequest(context=Path(), allow=frozenset([text]))
