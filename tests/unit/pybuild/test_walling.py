"""Flags for limits and walls: what they come to, what is refused."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuild.hardware import _parts
from pybuild.limiting import OPTIONS, limits
from pybuild.mounting import memory, mount
from pybuild.walling import mounted, security, sysctl
from runner import CAPABILITIES, DEFAULT_CAPABILITIES, Limits, Rule
from runner.capabilities import held, tweaked
from runner.masks import MASKED, READONLY, chosen
from runner.ulimits import NAMES, parse


def options(**more: Any) -> dict[str, Any]:
    """What click hands over when nothing is asked for, and something besides."""
    import click

    @click.command()
    def command() -> None: ...

    for option in OPTIONS:
        option(command)
    made = {parameter.name: () if getattr(parameter, "multiple", False) else None for parameter in command.params}
    return {**made, "oom_kill_disable": False, **more}


def test_nothing_asked_for_is_no_limit() -> None:
    assert limits(options()) == Limits()


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"memory": 0, "cpus": 0.0, "cpu_shares": 0, "cpu_quota": -1, "pids_limit": -1}, Limits()),
        ({"memory_swappiness": -1, "memory_swap": "0", "blkio_weight": 0}, Limits()),
        ({"memory": 8 << 20, "memory_swap": "-1"}, Limits(memory=8 << 20, memory_swap=-1)),
        ({"net_classid": "0x100001"}, Limits(net_classid=0x100001)),
        ({"ulimits": ("nofile=1:2", "core=0", "nofile=3")}, Limits(ulimits=(("nofile", 3, 3), ("core", 0, 0)))),
    ],
)
def test_dockers_words(more: dict[str, Any], wanted: Limits) -> None:
    assert limits(options(**more)) == wanted


@given(st.sampled_from(NAMES), st.integers(-1, 2**40), st.integers(-1, 2**40))
def test_ulimits(name: str, soft: int, hard: int) -> None:
    fine = hard == -1 or -1 < soft <= hard
    if fine:
        assert parse(f"{name}={soft}:{hard}") == (name, soft, hard)
    else:
        with pytest.raises(ValueError, match="cannot be more"):
            parse(f"{name}={soft}:{hard}")


@pytest.mark.parametrize(
    "text", ["", "nofile", "nofile=", "nofile=a", "nofile=1:", "nofile=-2", "as=1", "nofile=1:2:3"]
)
def test_what_is_no_ulimit(text: str) -> None:
    with pytest.raises(ValueError, match=r"ulimit|write NAME|a number"):
        parse(text)


# moby's TweakCapabilities, on its own cases
@pytest.mark.parametrize(
    ("add", "drop", "wanted"),
    [
        ((), (), DEFAULT_CAPABILITIES),
        (("net_admin",), (), DEFAULT_CAPABILITIES | {"NET_ADMIN"}),
        (("CAP_NET_ADMIN",), ("chown",), DEFAULT_CAPABILITIES - {"CHOWN"} | {"NET_ADMIN"}),
        (("CHOWN",), ("CHOWN",), DEFAULT_CAPABILITIES),
        ((), ("ALL",), frozenset()),
        (("MKNOD", "KILL"), ("ALL",), frozenset({"MKNOD", "KILL"})),
        (("MKNOD",), ("ALL", "MKNOD"), frozenset({"MKNOD"})),
        (("ALL",), (), held()),
        (("all",), ("CAP_MKNOD",), held() - {"MKNOD"}),
        (("ALL",), ("ALL",), held()),
    ],
)
def test_capabilities_as_moby_has_them(add: tuple[str, ...], drop: tuple[str, ...], wanted: frozenset[str]) -> None:
    assert tweaked(add, drop) == wanted


def test_unknown_capabilities_are_named() -> None:
    with pytest.raises(ValueError, match="did you mean NET_RAW"):
        tweaked((), ("NETRAW",))
    assert held() <= CAPABILITIES.keys()


@given(
    st.sampled_from("abc"), st.none() | st.integers(0, 4095), st.none() | st.integers(0, 99),
    st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm"]),
)  # fmt: skip
def test_device_rules_are_what_they_say(kind: str, major: int | None, minor: int | None, access: str) -> None:
    rule = Rule(kind, major, minor, access)
    assert Rule.parse(str(rule)) == rule


@pytest.mark.parametrize("text", ["", "c", "c 1:3", "c 1:3 x", "d 1:3 r", "c 1 r", "c 1:a r", "c -1:3 r", "c 1:3 r w"])
def test_what_is_no_device_rule(text: str) -> None:
    with pytest.raises(ValueError, match="no device rule"):
        Rule.parse(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/dev/a", ("/dev/a", "/dev/a", "rwm")),
        ("/dev/a:/dev/b", ("/dev/a", "/dev/b", "rwm")),
        ("/dev/a:r", ("/dev/a", "/dev/a", "r")),
        ("/dev/a:/dev/b:mw", ("/dev/a", "/dev/b", "wm")),
    ],
)
def test_devices(text: str, wanted: tuple[str, str, str]) -> None:
    assert _parts(text) == wanted


@pytest.mark.parametrize("text", ["", ":/dev/a", "/dev/a:b", "/dev/a:/dev/b:x", "/dev/a:/b:/c:r"])
def test_what_is_no_device(text: str) -> None:
    with pytest.raises(ValueError, match="write HOST"):
        _parts(text)


def test_masks() -> None:
    hidden, readonly = chosen()
    assert {f"/{path.decode()}" for path in hidden} >= set(MASKED)
    assert {f"/{path.decode()}" for path in readonly} == set(READONLY)
    assert chosen((), ("ALL",)) == ([], [])
    assert chosen(("/a",), ("ALL",)) == ([b"a"], [])
    hidden, readonly = chosen((), ("/proc/s*",))
    assert b"proc/scsi" not in hidden
    assert b"proc/kcore" in hidden
    assert readonly == [b"proc/bus", b"proc/fs", b"proc/irq"]


def test_security_options() -> None:
    assert security([]) == {"seccomp": True, "profile": "", "no_new_privileges": False, "mask": (), "unmask": ()}
    found = security(["seccomp:unconfined", "no-new-privileges", "label=disable", "apparmor:unconfined", "mask=/a:/b"])
    assert (found["seccomp"], found["no_new_privileges"], found["mask"]) == (False, True, ("/a", "/b"))
    assert security(["systempaths=unconfined"])["unmask"] == ("ALL",)
    assert security(["seccomp=builtin"], privileged=True)["seccomp"] is True


@pytest.mark.parametrize("name", ["kernel.shmmax", "kernel/msgmax", "fs.mqueue.msg_max", "net.core.somaxconn"])
def test_sysctls_of_namespaces(name: str) -> None:
    assert sysctl(f"{name}=1", "none") == (name.replace("/", "."), "1")


@given(st.text(max_size=30))
def test_no_sysctl_leads_out_of_its_directory(text: str) -> None:
    try:
        name, _ = sysctl(text, "none")
    except ValueError:
        return
    path = os.path.normpath("/proc/sys/" + name.replace(".", "/"))
    assert path == "/proc/sys/" + name.replace(".", "/")


def test_memory_as_a_file_system() -> None:
    found = memory("/a/:size=1m,mode=0700,ro,exec")
    assert (found.target, found.size, found.mode, found.readonly, found.noexec) == ("/a", 1 << 20, 0o700, True, False)
    assert memory("/a").noexec
    assert mount("type=tmpfs,dst=/a") == memory("/a")


def test_keys_of_mounts(tmp_path: Path) -> None:
    place = f"type=bind,source={tmp_path},target=/m"
    for said, wanted in (("", False), (",ro", True), (",readonly=1", True), (",ro=false", False), (",ro=TRUE", True)):
        assert mount(place + said).readonly is wanted
    assert mount(f"{place},ro,bind-recursive=enabled,consistency=cached") == mount(f"{place},ro")
    for wrong, words in (
        (f"{place},readonly=maybe", "readonly=maybe"),
        (f"{place}, ro=true", "unknown key ' ro'"),
        (f"{place},bind-recursive=disabled", "is seen"),
        (f"{place},bind-nonrecursive", "name the directories apart"),
        ("type=volume,src=data,target=/m,volume-nocopy=perhaps", "volume-nocopy=perhaps"),
        ("type=volume,src=data,target=/m,volume-subpath=a", "seen whole"),
        ("type=image,src=busybox,target=/m", "pybuild export"),
    ):
        with pytest.raises(ValueError, match=words):
            mount(wrong)


def test_what_is_said_twice_is_mounted_once(tmp_path: Path) -> None:
    twice = {"volumes": (f"{tmp_path}:/a", "/b") * 2, "tmpfs": ("/c", "/c"), "mounts": ("type=tmpfs,dst=/d",) * 2}
    assert [one.target for one in mounted(twice)] == ["/a", "/b", "/c", "/d"]


@given(st.text(max_size=40))
def test_any_mount_is_one_or_an_error(text: str) -> None:
    for read in (mount, memory):
        try:
            found = read(text)
        except ValueError:
            continue
        assert found.target.startswith("/")
