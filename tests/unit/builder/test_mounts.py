"""RUN --mount in the plan: flags become values, what they read becomes needs, keys cover what they show."""

from typing import Any

import pytest

from builder.caching.cache import run_key
from builder.dockerfile import parse
from builder.errors import DockerfileError, StageCycle
from builder.graph import BaseImage, BuildGraph, Run, Step
from builder.joined import Joined
from builder.mounts import BindMount, CacheMount, Mounted, SecretMount, SshMount, TmpfsMount
from builder.planning.plan import plan
from builder.request import BuildRequest
from builder.span import Span
from layers import Chain, Digest, Platform, Reference
from layers.quick import replace

BELOW = Chain((Digest.of(b"below"),))


def planned(text: str, **request: Any) -> BuildGraph:
    """The graph of a Dockerfile that stands on scratch only."""

    def images(reference: Reference, platform: Platform, span: Span) -> BaseImage:
        raise AssertionError(f"{reference} is no stage")

    raw = text.encode()
    wanted = BuildRequest(context=None, text=raw, **request)
    return plan(parse(raw, "Dockerfile"), wanted, Platform.host(), images, lambda what, span: None)


def run_of(graph: BuildGraph) -> tuple[Step, Run]:
    """The last RUN."""
    step = [step for step in graph.steps if isinstance(step.op, Run)][-1]
    assert isinstance(step.op, Run)
    return step, step.op


def mounts_of(flags: str) -> tuple[Mounted, ...]:
    """What the flags of one RUN mean in /w, with ARG A=a and ENV B=b, after a stage `other`."""
    text = f"FROM scratch AS other\nCOPY <<x /x\nx\nFROM scratch\nWORKDIR /w\nARG A=a\nENV B=b\nRUN {flags} c"
    return run_of(planned(text))[1].mounts


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--mount=target=/t", BindMount("/t")),
        ("--mount=target=t,source=/a/../../b/,rw", BindMount("/w/t", "b", None, False)),
        ("--mount=target=../t/$A/${B},source=$A", BindMount("/t/a/b", "a")),
        ("--mount=from=other,target=/t", BindMount("/t", "", 2)),
        ("--mount=from=0,target=/t,readwrite=false", BindMount("/t", "", 2, True)),
        ("--mount=type=cache,target=/t", CacheMount("/t", "/t")),
        ("--mount=type=cache,target=t,id=../../x", CacheMount("/w/t", "../../x")),
        (
            "--mount=type=cache,target=/t,sharing=locked,from=other,source=x,ro,mode=0700,uid=1,gid=2",
            CacheMount("/t", "/t", "locked", "x", 2, True, 0o700, 1, 2),
        ),
        ("--mount=type=tmpfs,target=/t,size=64k", TmpfsMount("/t", 65536)),
        ("--mount=type=secret,id=a/b", SecretMount("a/b", "/run/secrets/b")),
        ("--mount=type=secret,id=a,env=E", SecretMount("a", "", "E")),
        ("--mount=type=secret,id=a,env=E,target=/t,required", SecretMount("a", "/t", "E", True)),
        ("--mount=type=secret,target=t,mode=0444,uid=$A", DockerfileError),
        ("--mount=type=secret,target=t,mode=0444,uid=5", SecretMount("t", "/w/t", "", False, 0o444, 5, 0)),
        ("--mount=type=ssh", SshMount("default", "/run/buildkit/ssh_agent.0")),
        ("--mount=type=ssh,id=git,target=/s,required,gid=3", SshMount("git", "/s", True, 0o600, 0, 3)),
        ("--mount=target=.", BindMount("/w")),
        ("--mount=target=//t/", BindMount("/t")),
        ("--mount=target=..", DockerfileError),
        ("--mount=target=../w/..", DockerfileError),
        ("--mount=type=cache,target=/c,source=/x", DockerfileError),
    ],
)
def test_a_flag_is_a_value(flags: str, expected: Mounted | type[DockerfileError]) -> None:
    if isinstance(expected, type):
        with pytest.raises(expected):
            mounts_of(flags)
    else:
        assert mounts_of(flags) == (expected,)


def test_mounts_keep_their_order_and_sockets_are_numbered() -> None:
    found = mounts_of("--mount=type=ssh --mount=type=tmpfs,target=/t --mount=type=ssh,id=b")
    assert [mount.target for mount in found] == ["/run/buildkit/ssh_agent.0", "/t", "/run/buildkit/ssh_agent.1"]


def test_stages_that_are_mounted_are_built_first_and_others_not_at_all() -> None:
    text = (
        "FROM scratch AS unused\nCOPY a /\nFROM scratch AS used\nCOPY b /\nFROM scratch AS late\n"
        "RUN --mount=from=used,target=/u --mount=type=cache,from=after,target=/c x\nFROM scratch AS after\nCOPY c /\n"
    )
    graph = planned(text, target="late")
    step, _ = run_of(graph)
    titles = {one.id: one.title for one in graph.steps}
    assert [titles[need] for need in step.needs] == ["FROM scratch", "COPY b /", "COPY c /"]
    assert "COPY a /" not in titles.values()
    joined = Joined()
    joined.add(planned("FROM scratch\nCOPY x /\nCOPY y /\n"))
    other = joined.add(graph)
    titles, (moved, _) = {one.id: one.title for one in other.steps}, run_of(other)
    assert [titles[need] for need in moved.needs] == ["FROM scratch", "COPY b /", "COPY c /"]
    assert moved.needs[1:] != step.needs[1:]


@pytest.mark.parametrize(
    ("text", "error", "what"),
    [
        ("RUN --mount=from=me,target=/t x", StageCycle, "circular"),
        ("RUN --mount=from=7,target=/t x", DockerfileError, "invalid stage index 7"),
        ("RUN --mount=from=context,target=/t x", DockerfileError, "reserved"),
        ("RUN --security=insecure x", DockerfileError, "security.insecure is not allowed"),
        ("RUN --network=host x", DockerfileError, "network.host is not allowed"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(text: str, error: type[DockerfileError], what: str) -> None:
    with pytest.raises(error) as told:
        planned(f"FROM scratch AS me\n{text}\n", network="none")
    assert told.value.span.line == 2
    assert what in str(told.value)


@pytest.mark.parametrize(
    ("said", "given", "expected"),
    [("", "host", "host"), ("", "none", "none"), ("default", "none", "none"), ("none", "host", "none")],
)
def test_networks(said: str, given: str, expected: str) -> None:
    flag = f"--network={said} " if said else ""
    assert run_of(planned(f"FROM scratch\nRUN {flag}x\n", network=given))[1].network == expected


def key(mount: Mounted | None, content: str = "") -> str:
    step, op = run_of(planned("FROM scratch\nRUN x\n"))
    if mount is None:
        return run_key(BELOW, op, step).text
    return run_key(BELOW, replace(op, mounts=(mount,)), step, [content]).text


def test_the_hosts_root_makes_another_result() -> None:
    step, op = run_of(planned("FROM scratch\nRUN x\n"))
    ours, hosts = (run_key(BELOW, op, step, host=host) for host in (False, True))
    assert hosts.parts["users"] == "host"
    assert ours.text != hosts.text
    rights = replace(op, insecure=True)  # always with the host's root
    assert run_key(BELOW, rights, step, host=True) == run_key(BELOW, rights, step)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BindMount("/t", "a"), BindMount("/t", "b", 3)),  # where it is does not matter, only what it is
        (CacheMount("/t", "a", "shared"), CacheMount("/t", "b", "locked", mode=0o700)),
        (TmpfsMount("/t"), TmpfsMount("/t", 5)),
        (SecretMount("a", "/t", required=True), SecretMount("a", "/t")),
    ],
)
def test_what_does_not_change_a_result_does_not_change_the_key(one: Mounted, other: Mounted) -> None:
    assert key(one, "x") == key(other, "x")


def test_every_other_difference_changes_the_key() -> None:
    mounts = [
        None, BindMount("/t"), BindMount("/u"), BindMount("/t", readonly=False), CacheMount("/t", "a"),
        CacheMount("/u", "a"), TmpfsMount("/t"), SecretMount("a", "/t"), SecretMount("b", "/t"), SecretMount("a", "/u"),
        SecretMount("a", "/t", "E"), SecretMount("a", "/t", uid=1), SshMount("a", "/t"), SshMount("b", "/t"),
    ]  # fmt: skip
    assert len({key(mount) for mount in mounts}) == len(mounts)
    assert key(BindMount("/t"), "x") != key(BindMount("/t"), "y")
