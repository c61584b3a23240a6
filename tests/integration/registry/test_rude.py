"""The command against registries that break: killed, interrupted, cut, mirrored; and many of it at once."""

import gzip
import hashlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from layers import Reference
from registry.remote import RemoteRepository
from tests.support.command import Pybuild
from tests.support.quick import LAYER, named, noise, quick, serve_image, stream
from tests.support.registry import RegistryServer, registry_server
from tests.support.rude import FOREVER, Doorman, Reply, Rude, mistake, rude
from tests.support.soon import soon
from tests.support.stored import tar_of
from tests.support.wire import Wire

pytestmark = pytest.mark.root


@pytest.fixture
def server() -> Iterator[Rude]:
    with rude() as server:
        yield server


def big(server: Rude, size: int, tag: str = "1", layers: int = 1, architecture: str = "amd64") -> list[bytes]:
    """An image of layers that do not compress; their blobs."""
    tars = [tar_of({f"noise{number}": noise(size, number)}) for number in range(layers)]
    blobs = [gzip.compress(tar, 0, mtime=0) for tar in tars]
    for blob in blobs:
        server.blob(blob)
    ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
    config = {"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": ids}}
    serve_image(server, tag, [named(blob, LAYER) for blob in blobs], json.dumps(config).encode(), path="big/app")
    return blobs


def start(command: Pybuild, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command.command(*words), env=command.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def slowly(server: Rude, blob: bytes, pause: float) -> None:
    """Let a blob come in pieces of 256 KiB; a Range is honoured."""
    from dataclasses import replace

    server.rule(
        "GET", str(named(blob).digest), lambda ask: replace(server.honest(ask), piece=1 << 18, pause=pause), FOREVER
    )


def test_killed_twice_and_pulled_again_moves_the_bytes_once(pybuild: Pybuild, server: Rude) -> None:
    (blob,) = big(server, 48 << 20)
    slowly(server, blob, 0.004)
    lost = 0
    for mark in (16 << 20, 32 << 20):
        killed = start(pybuild, "pull", f"{server.host}/big/app:1")
        assert soon(lambda mark=mark: kept(pybuild) > mark)  # type: ignore[misc]
        killed.kill()
        killed.communicate()
        assert soon(lambda: server.quiet)
        lost = server.sent - kept(pybuild)  # it was on its way, so much more of it as the machine is busy
        assert pybuild.text("images", "-q") == "", "nothing can be seen of it"
    pybuild("pull", "-q", f"{server.host}/big/app:1")
    assert server.sent - lost <= 1.01 * len(blob)
    assert list((pybuild.root / "partial").iterdir()) == []
    pybuild("system", "check")


def kept(pybuild: Pybuild) -> int:
    """Bytes on disk of what is being pulled."""
    return sum(part.stat().st_size for part in (pybuild.root / "partial").glob("*"))


def test_prune_takes_what_a_killed_pull_left(pybuild: Pybuild, server: Rude) -> None:
    (blob,) = big(server, 8 << 20)
    server.rule("GET", str(named(blob).digest), Reply(body=blob, cut=4 << 20), FOREVER)
    failed = pybuild("pull", f"{server.host}/big/app:1", code=1)
    assert [line.split()[0] for line in failed.stderr.splitlines()[-2:]] == ["error:", "note:"]
    assert "what came is kept" in failed.stderr
    assert len(list((pybuild.root / "partial").iterdir())) == 1
    pybuild("prune", "--force")
    assert list((pybuild.root / "partial").iterdir()) == []


@pytest.mark.parametrize("layers", [1, 3])
def test_ctrl_c_ends_a_pull_at_once_and_what_came_is_kept(pybuild: Pybuild, server: Rude, layers: int) -> None:
    blobs = big(server, 6 << 20, layers=layers)
    for blob in blobs:
        server.rule("GET", str(named(blob).digest), Reply(body=blob, piece=2 << 20, pause=60.0))
    command = start(pybuild, "pull", f"{server.host}/big/app:1")
    assert soon(lambda: server.sent >= layers * (2 << 20))
    assert soon(lambda: kept(pybuild) >= layers << 20)
    began = time.monotonic()
    command.send_signal(signal.SIGINT)
    _, told = command.communicate(timeout=90)
    assert time.monotonic() - began < 10, "it does not wait for the network"
    assert (command.returncode, told.decode().splitlines()[-1]) == (130, "interrupted")
    server.rules.clear()
    pybuild("pull", "-q", f"{server.host}/big/app:1")
    assert {ask.headers.get("range") for ask in server.asked("GET", "/blobs/")[-layers - 1 :]} > {None}


def test_ctrl_c_ends_a_build_that_fetches_its_base(pybuild: Pybuild, server: Rude, tmp_path: Path) -> None:
    (blob,) = big(server, 6 << 20)
    server.rule("GET", str(named(blob).digest), Reply(body=blob, piece=2 << 20, pause=60.0))
    (tmp_path / "Dockerfile").write_text(f"FROM {server.host}/big/app:1\nCOPY Dockerfile /\n")
    command = start(pybuild, "build", str(tmp_path))
    assert soon(lambda: server.sent >= 2 << 20)
    began = time.monotonic()
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=90)
    assert command.returncode == 130
    assert time.monotonic() - began < 10


def test_two_pulls_into_one_store_share_the_bytes(pybuild: Pybuild, server: Rude) -> None:
    blobs = big(server, 3 << 20, layers=3)
    for blob in blobs:
        slowly(server, blob, 0.01)
    both = [start(pybuild, "pull", f"{server.host}/big/app:1") for _ in range(2)]
    for one in both:
        _, told = one.communicate()
        assert one.returncode == 0, told
    assert server.sent < 1.2 * sum(map(len, blobs))
    assert list((pybuild.root / "partial").iterdir()) == []
    pybuild("system", "check")


def test_errors_are_one_line_without_secrets(pybuild: Pybuild, server: Rude) -> None:
    server.rule(".*", "^/v2/", mistake(401, "UNAUTHORIZED"), FOREVER)
    server.rules[-1].act = Reply(401, {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'})
    server.rule("GET", "/token", mistake(401, "UNAUTHORIZED"), FOREVER)
    failed = pybuild("pull", "--creds", "ada:very-secret", f"{server.host}/x:1", code=1)
    assert "does not accept user 'ada' from the command line" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert "secret" not in failed.stderr + failed.stdout
    assert len(server.asked("GET", "/token")) == 1


def test_an_image_for_another_machine_is_told(pybuild: Pybuild, server: Rude) -> None:
    big(server, 1000, architecture="s390x")
    said = pybuild("pull", "-q", f"{server.host}/big/app:1")
    assert f"warning: {server.host}/big/app:1 is for linux/s390x only, not for linux/" in said.stderr
    assert pybuild("pull", "-q", "--platform", "linux/s390x", f"{server.host}/big/app:1").stderr == ""


def test_flags_of_the_connection(pybuild: Pybuild, server: Rude, tmp_path: Path) -> None:
    door = Doorman(server, user="ada", password="secret")
    big(server, 1000)
    pybuild("pull", "-q", "--creds", "ada:secret", f"{server.host}/big/app:1")
    token = next(token for token, scopes in door.tokens.items() if "repository:big/app:pull" in scopes)
    pybuild("pull", "-q", "--registry-token", token, f"{server.host}/big/app:1")
    assert pybuild("pull", "--registry-token", "x", "--creds", "a:b", f"{server.host}/x", code=2).stderr
    file = tmp_path / "auth.json"
    pybuild(
        "login", "--authfile", file, "-u", "ada", "--password-stdin", f"https://{server.host}/v2/", stdin="secret\n"
    )
    pybuild("pull", "-q", "--authfile", file, f"{server.host}/big/app:1")
    pybuild("logout", "--authfile", file, server.host)
    assert json.loads(file.read_text()) == {"auths": {}}


# -- mirrors -------------------------------------------------------------------------------------


@pytest.fixture
def mirrored(pybuild: Pybuild, server: Rude, tmp_path: Path) -> Iterator[tuple[Pybuild, Rude]]:
    """A command whose a.example is the server, behind a mirror."""
    with rude() as mirror:
        file = tmp_path / "registries.conf"
        file.write_text(
            f'[[registry]]\nprefix = "a.example"\nlocation = "{server.host}"\n[[registry.mirror]]\n'
            f'location = "{mirror.host}/copy"\n[[registry]]\nlocation = "bad.example"\nblocked = true\n'
            f'[aliases]\nnick = "a.example/big/app"\n'
        )
        yield Pybuild(pybuild.root, {**pybuild.env, "CONTAINERS_REGISTRIES_CONF": str(file)}), mirror


def test_pull_and_from_use_mirrors(mirrored: tuple[Pybuild, Rude], server: Rude) -> None:
    command, mirror = mirrored
    big(server, 1000)
    said = command("pull", "a.example/big/app:1")
    assert f"warning: the mirror {mirror.host}/copy/big/app was of no use, going on without it" in said.stderr
    assert said.stderr.count("warning:") == 1
    assert "a.example/big/app" in command.text("images", "--format", "{{.Repository}}")
    big(mirror, 1000, "2")
    for (path, tag), value in list(mirror.manifests.items()):
        mirror.manifests[f"copy/{path}", tag] = value
    before = len(server.seen)
    command("build", "-q", "--pull", "-", stdin="FROM nick:2\nLABEL a=b\n")
    command("pull", "-q", "nick:2")
    assert len(server.seen) == before, "all of it came from the mirror"
    assert "blocked by" in command("pull", "bad.example/x", code=1).stderr


def test_a_mirror_named_by_a_flag(pybuild: Pybuild, server: Rude) -> None:
    big(server, 1000)
    for (_, tag), value in list(server.manifests.items()):
        server.manifests["library/app", tag] = value
    pybuild("pull", "-q", "--registry-mirror", f"http://{server.host}", "app:1")
    assert pybuild.text("images", "--format", "{{.Repository}}:{{.Tag}}") == "app:1"
    pybuild("build", "-q", "--registry-mirror", server.host, "--pull", "-", stdin="FROM app:1\nLABEL a=b\n")


# -- beside Debian's registry ---------------------------------------------------------------------


def test_eight_push_the_same_at_once(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nCOPY noise /\nLABEL a={tmp_path.name}\n")
    (tmp_path / "noise").write_bytes(noise(2 << 20))
    shared_pybuild.build(tmp_path, "-t", "eight")
    with registry_server(tmp_path / "registry") as server:
        pushes = [start(shared_pybuild, "push", "eight", server.reference("eight/app:1")) for _ in range(8)]
        for push in pushes:
            _, told = push.communicate()
            assert push.returncode == 0, told
        for path in server.data.rglob("blobs/sha256/*/*/data"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name
        other = Pybuild(tmp_path / "other")
        pulls = [start(other, "pull", server.reference("eight/app:1")) for _ in range(2)]
        for pull in pulls:
            _, told = pull.communicate()
            assert pull.returncode == 0, told
        assert list((other.root / "partial").iterdir()) == []
        other("system", "check")


def test_chunks_and_resumed_uploads_at_a_real_registry(registry: RegistryServer) -> None:
    """docker-registry 2.8.2: it takes chunks, and forgets a session whose answer was lost."""
    data = noise(3 << 20, seed=9)
    real = RemoteRepository(Reference(registry.host, "in/chunks"), quick(), whole=1 << 20, chunk=1 << 20)
    real.put(named(data), stream(data))
    with real.open_from(named(data), 1 << 20) as source:
        assert source.read() == data[1 << 20 :]
    wide = noise(1 << 20, seed=10)
    with Wire(registry.host) as wire:
        through = RemoteRepository(Reference(wire.host, "over/the/wire"), quick())
        wire.cut_after = 500_000
        through.put(named(wide), stream(wide))
        assert through.has(named(wide))
        assert wire.cuts == 1
        wide = noise(1 << 20, seed=11)
        wire.swallow = b"HTTP/1.1 201"
        through.put(named(wide), stream(wide))
        assert through.has(named(wide))
        assert wire.cuts == 2
