"""Descriptions of devices: what is read, what is refused and why."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from runner.cdi import Registry, described
from runner.edits import Edits

FIRST = """\
cdiVersion: "0.7.0"
kind: "vendor1.example/device"
containerEdits:
  env: [COMMON=1]
devices:
- name: foo
  containerEdits:
    env: [FOO=injected]
- name: bar
  annotations: {org.mobyproject.buildkit.device.class: both, org.mobyproject.buildkit.device.autoallow: "true"}
- name: baz
  annotations: {org.mobyproject.buildkit.device.class: both}
  containerEdits:
    deviceNodes: [{path: /dev/other, hostPath: /dev/zero, permissions: r, fileMode: 384, uid: 5, gid: 6}]
    mounts: [{hostPath: /etc/hostname, containerPath: /vendor/name, options: [ro, nosuid, nodev, bind]}]
    additionalGIDs: [44]
"""


def registry(folder: Path, **files: str) -> Registry:
    """The devices of some files, whose names have _ for the dot."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return Registry([folder])


def names(registry: Registry, wanted: str) -> list[str]:
    return [one.name for one in registry.find(wanted)]


def test_names_kinds_and_groups(tmp_path: Path) -> None:
    found = registry(tmp_path, first_yaml=FIRST)
    kind = "vendor1.example/device"
    assert names(found, f"{kind}=foo") == ["foo"]
    assert names(found, "both") == ["bar", "baz"]
    assert names(found, f"{kind}=both") == []
    assert names(found, kind) == ["bar"]
    assert names(found, f"{kind}=*") == ["bar", "baz", "foo"]
    assert names(found, f"{kind}=nothing") == names(found, "vendor2.example/device") == []
    assert f"{kind}=foo" in found.missing("x")
    assert [one.automatic for one in found.find("both")] == [True, False]
    for none in ("", "foo", "a/b/c=d", "/dev/zero", "vendor_/x=y", "=x", "*"):
        assert names(found, none) == []


def test_edits(tmp_path: Path) -> None:
    found = registry(tmp_path, first_yaml=FIRST)
    assert found.find("vendor1.example/device=foo")[0].edits() == Edits(env={"COMMON": "1", "FOO": "injected"})
    edits = found.find("vendor1.example/device=baz")[0].edits()
    (device,) = edits.devices
    assert (device.source, device.target, device.kind, device.major, device.minor) == (
        "/dev/zero",
        "/dev/other",
        "c",
        1,
        5,
    )
    assert (device.mode, device.uid, device.gid, device.access) == (0o600, 5, 6, "r")
    assert [(str(one.source), one.target, one.readonly) for one in edits.mounts] == [
        ("/etc/hostname", "/vendor/name", True)
    ]
    assert edits.groups == (44,)
    assert edits + edits == edits


def test_the_later_directory_counts_and_twins_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.yaml").write_text(FIRST)
    both = Registry([tmp_path / "a", tmp_path / "b", tmp_path / "none"])
    assert both.find("vendor1.example/device=foo")[0].file == tmp_path / "b/x.yaml"
    (tmp_path / "b/y.yaml").write_text(FIRST)
    twice = Registry([tmp_path / "a", tmp_path / "b"])
    assert twice.find("vendor1.example/device=foo") == []
    assert "described twice" in twice.missing("vendor1.example/device=foo")


def document(**more: Any) -> dict[str, Any]:
    """A description of one device, with other edits."""
    device = {"name": "one", "containerEdits": more.pop("edits", {})}
    return {"cdiVersion": "0.7.0", "kind": "vendor.example/class", "devices": [device], **more}


UNREADABLE: list[tuple[str, str]] = [
    ("{", "cannot be read"),
    ("[]", "no object"),
    (json.dumps(document(cdiVersion="9.0.0")), "cdiVersion"),
    (json.dumps(document(cdiVersion=1)), "cdiVersion"),
    (json.dumps(document(kind="class")), "kind"),
    (json.dumps(document(devices=[])), "no devices"),
    (json.dumps(document(devices=[{"name": "a b"}])), "no name"),
    (json.dumps(document(devices=["x"])), "no list"),
    (json.dumps(document(color="red")), "'color'"),
    (json.dumps(document(containerEdits=[])), "no object"),
    *(
        (json.dumps(document(edits=edits)), why)
        for edits, why in (
            ({"color": "red"}, "'color'"),
            ({"env": ["NAME"]}, "NAME=VALUE"),
            ({"env": ["=value"]}, "NAME=VALUE"),
            ({"env": [5]}, "no list"),
            ({"deviceNodes": [{"hostPath": "/dev/zero"}]}, "no path"),
            ({"deviceNodes": [{"path": "/dev/zero", "permissions": "rx"}]}, "rwm"),
            ({"deviceNodes": [{"path": "/dev/zero", "major": -1}]}, "no number"),
            ({"deviceNodes": [{"path": "/dev/zero", "colour": 1}]}, "'colour'"),
            ({"mounts": [{"source": "/etc", "containerPath": "/x"}]}, "'source'"),
        )
    ),
    *(
        (json.dumps(document(cdiVersion=version, **more)), "too old")
        for version, more in (
            ("0.6.0", {"edits": {"additionalGIDs": [44]}}),
            ("0.5.0", {"annotations": {"a": "b"}}),
            ("0.5.0", {"kind": "vendor.example/cl.ass"}),
            ("0.4.0", {"edits": {"deviceNodes": [{"path": "/dev/zero", "hostPath": "/dev/zero"}]}}),
            ("0.4.0", {"devices": [{"name": "1"}]}),
            ("0.3.0", {"edits": {"mounts": [{"hostPath": "/etc", "containerPath": "/x", "type": "bind"}]}}),
        )
    ),
]


@pytest.mark.parametrize(("text", "why"), UNREADABLE)
def test_a_file_that_cannot_be_read_hinders_only_who_needs_it(tmp_path: Path, text: str, why: str) -> None:
    found = registry(tmp_path, bad_json=text, first_yaml=FIRST)
    assert names(found, "vendor1.example/device=foo") == ["foo"]
    assert why in found.missing("vendor.example/class=one")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"hooks": [{"hookName": "createContainer", "path": "/bin/true"}]}, "outside of the sandbox"),
    ({"intelRdt": {"closID": "x"}}, "RDT"),
    ({"netDevices": [{"hostInterfaceName": "eth0", "name": "eth0"}]}, "network interfaces"),
    ({"additionalGIDs": [0]}, "no number of a group"),
    ({"deviceNodes": [{"path": "/vendor/zero", "hostPath": "/dev/zero"}]}, "below /dev"),
    ({"deviceNodes": [{"path": "/dev/nothing-like-it"}]}, "No such file"),
    ({"deviceNodes": [{"path": "/dev/x", "hostPath": "/etc/passwd"}]}, "no device"),
    ({"deviceNodes": [{"path": "/dev/zero", "major": 1, "minor": 9}]}, "c 1:5"),
    ({"mounts": [{"hostPath": "/nowhere-at-all", "containerPath": "/x"}]}, "not there"),
    ({"mounts": [{"hostPath": "etc", "containerPath": "/x"}]}, "absolute"),
    ({"mounts": [{"hostPath": "/etc", "containerPath": "/x", "options": ["rshared"]}]}, "rshared"),
    ({"mounts": [{"hostPath": "tmpfs", "containerPath": "/x", "type": "tmpfs"}]}, "tmpfs"),
]


@pytest.mark.parametrize(("edits", "why"), REFUSED)
def test_what_no_sandbox_can_have(tmp_path: Path, edits: dict[str, Any], why: str) -> None:
    (device,) = registry(tmp_path, x_json=json.dumps(document(edits=edits))).find("vendor.example/class=one")
    with pytest.raises(ValueError, match=why) as caught:
        device.edits()
    assert str(tmp_path / "x.json") in str(caught.value)


values = (
    some.none() | some.booleans() | some.integers() | some.text(max_size=8) | some.lists(some.integers(), max_size=2)
)
keys = some.sampled_from("env deviceNodes mounts hooks additionalGIDs path hostPath containerPath options type".split())
objects = some.dictionaries(keys, values, max_size=3)
nested = some.dictionaries(keys, values | some.lists(objects, max_size=2), max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(nested, some.dictionaries(some.sampled_from(["name", "kind", "devices", "annotations"]), values, max_size=2))
def test_nonsense_is_an_error_of_values(edits: dict[str, Any], more: dict[str, Any]) -> None:
    with suppress(ValueError):
        for one in described({**document(edits=edits), **more}, Path("/nowhere/x.json")):
            one.edits()
