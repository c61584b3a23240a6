"""An image's config as a runtime's (OCI image-spec, conversion.md)."""

from typing import Any

import pytest

from layers import Account, DocumentInvalid, ImageConfig, Platform
from layers.bundles.idmap import IdMap, IdRange
from layers.bundles.runtimespec import runtime_spec


def spec(runtime: dict[str, Any], ids: IdMap = IdMap(), *, system: str = "linux/arm/v6") -> dict[str, Any]:  # noqa: B008
    config = ImageConfig.build(
        platform=Platform.parse(system),
        diff_ids=[],
        history=[],
        runtime=runtime,
        created="2020-01-01T00:00:00Z",
        author="me",
    )
    return runtime_spec(config, Account(7, 8, (9,), "/home/me"), ids)


def test_verbatim_fields() -> None:
    made = spec({"WorkingDir": "/w", "Env": ["A=b=c", "PATH=/bin"], "Entrypoint": ["e"], "Cmd": ["c", "d"]})
    process = made["process"]
    assert (process["cwd"], process["args"]) == ("/w", ["e", "c", "d"])
    assert process["env"] == ["PATH=/bin", "TERM=xterm", "A=b=c", "HOME=/home/me"]
    assert process["user"] == {"uid": 7, "gid": 8, "additionalGids": [9]}


def test_defaults() -> None:
    process = spec({})["process"]
    assert (process["cwd"], process["args"]) == ("/", ["sh"])


def test_the_home_of_the_image_stays() -> None:
    assert "HOME=/mine" in spec({"Env": ["HOME=/mine"]})["process"]["env"]


def test_annotations_and_labels_that_go_before_them() -> None:
    key = "org.opencontainers.image."
    runtime = {
        "Labels": {"a": "b", f"{key}author": "label"},
        "ExposedPorts": {"81/udp": {}, "80/tcp": {}},
        "StopSignal": "SIGHUP",
    }
    assert spec(runtime)["annotations"] == {
        "a": "b",
        f"{key}architecture": "arm",
        f"{key}author": "label",
        f"{key}created": "2020-01-01T00:00:00Z",
        f"{key}exposedPorts": "80/tcp,81/udp",
        f"{key}os": "linux",
        f"{key}stopSignal": "SIGHUP",
        f"{key}variant": "v6",
    }


def test_volumes_are_in_memory() -> None:
    mounts = spec({"Volumes": {"/b": {}, "/a": {}}})["mounts"]
    assert [(mount["destination"], mount["type"]) for mount in mounts[-2:]] == [("/a", "tmpfs"), ("/b", "tmpfs")]


def test_maps_bring_a_user_namespace() -> None:
    linux = spec({}, IdMap((IdRange(0, 1000, 10),), (IdRange(0, 2000, 10),)))["linux"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 10}]
    assert linux["gidMappings"] == [{"containerID": 0, "hostID": 2000, "size": 10}]
    assert {"type": "user"} in linux["namespaces"]
    assert {"type": "user"} not in spec({})["linux"]["namespaces"]


@pytest.mark.parametrize(
    "runtime",
    [{"Env": ["A"]}, {"Env": ["=b"]}, {"Env": "A=b"}, {"Cmd": [1]}, {"Volumes": ["/a"]}, {"WorkingDir": 1},
     {"Labels": ["x"]}, {"StopSignal": ["x"]}],
)  # fmt: skip
def test_configs_that_break_their_specification(runtime: dict[str, Any]) -> None:
    with pytest.raises(DocumentInvalid):
        spec(runtime)


def test_only_for_linux() -> None:
    with pytest.raises(DocumentInvalid, match="windows"):
        spec({}, system="windows/amd64")
