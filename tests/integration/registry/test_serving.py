"""`pybuild registry serve` with everybody's clients: docker, skopeo, buildah, curl's manners, and pybuild itself."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import bcrypt
import pytest
import trustme

from layers import Reference, Store, prune
from layers.home.check import check
from tests.support.command import Pybuild
from tests.support.distribution import BINARY, Speaker, digest_of, finishing
from tests.support.dockerd import DockerdUnavailable, dockerd
from tests.support.mounted import mounted
from tests.support.peers import need
from tests.support.registry import RegistryServer
from tests.support.serving import served, serving

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def image(shared_pybuild: Pybuild, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of two layers on the base, in the shared store."""
    folder = tmp_path_factory.mktemp("serving")
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo serving > /one\nCOPY Dockerfile /two\n")
    shared_pybuild.build(folder, "-t", "serving")
    return "serving"


def run(*words: str | Path) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def identity(command: Pybuild, name: str) -> str:
    return str(json.loads(command.text("inspect", name))[0]["Id"])


def whole(root: Path) -> bool:
    """Whether everything in a store is what its name says."""
    with Store.open(root) as store:
        return check(store).damages == ()


# -- pybuild itself ------------------------------------------------------------------------------


def test_built_here_pulled_there(shared_pybuild: Pybuild, image: str, tmp_path: Path) -> None:
    other = Pybuild(tmp_path / "other")
    with serving(shared_pybuild) as (running, _):
        for name in (running.reference(f"{image}:latest"), running.reference(f"{image}:latest")):
            other("pull", name)
            assert identity(other, name) == identity(shared_pybuild, image)
        seen = json.loads(run(need("skopeo"), "inspect", "--tls-verify=false", f"docker://{name}"))
        raw = run("skopeo", "inspect", "--config", "--raw", "--tls-verify=false", f"docker://{name}")
        assert digest_of(raw.encode()) == identity(shared_pybuild, image)
        run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path / 'dir'}")
        manifest = (tmp_path / "dir/manifest.json").read_bytes()
        assert digest_of(manifest) == seen["Digest"]
        assert all(layer["mediaType"].endswith("+gzip") for layer in json.loads(manifest)["layers"])
    assert other.text("run", "--rm", name, "cat", "/one") == image
    assert shared_pybuild.text("run", "--rm", image, "cat", "/one") == image


def test_pushed_here_run_there(shared_pybuild: Pybuild, image: str, own_registry: RegistryServer) -> None:
    said = shared_pybuild.text("push", image, own_registry.reference("team/app:1"))
    shared_pybuild("push", image, own_registry.reference("team/app:2"))
    theirs = Pybuild(own_registry.data)
    assert identity(theirs, "team/app:1") == identity(shared_pybuild, image)
    assert theirs.text("run", "--rm", "team/app:2", "cat", "/one") == image
    assert own_registry.reference("team/app") in said
    assert theirs.text("images", "-q", "team/app").splitlines()
    theirs("prune", "--force")
    assert theirs.text("run", "--rm", "team/app:1", "cat", "/one") == image
    assert whole(own_registry.data)


def test_an_artifact_is_attached(
    shared_pybuild: Pybuild, image: str, own_registry: RegistryServer, tmp_path: Path
) -> None:
    reference = own_registry.reference("artifact:1")
    shared_pybuild("push", image, reference)
    (tmp_path / "sbom.json").write_text('{"packages": []}')
    about = own_registry.reference("artifact:sbom")
    shared_pybuild("artifact", "push", "--subject", reference, about, f"{tmp_path}/sbom.json:application/spdx+json")
    say = Speaker(own_registry.host, "artifact")
    digest = say("HEAD", "manifests/1").header("Docker-Content-Digest")
    assert len(say("GET", f"referrers/{digest}").json["manifests"]) == 1
    shared_pybuild("artifact", "pull", "-o", tmp_path / "out", about)
    assert (tmp_path / "out/sbom.json").read_text() == '{"packages": []}'


def test_a_build_goes_straight_into_a_registry_and_stands_on_it(
    shared_pybuild: Pybuild, own_registry: RegistryServer, tmp_path: Path
) -> None:
    shared_pybuild("push", "busybox", own_registry.reference("base:1"))
    (tmp_path / "Dockerfile").write_text(
        f"FROM {own_registry.reference('base:1')}\nARG TARGETARCH\nCOPY Dockerfile /\n"
    )
    builder = Pybuild(tmp_path / "builder")
    builder("build", "-t", own_registry.reference("top:1"), "--push", tmp_path)
    assert Pybuild(own_registry.data).text("run", "--rm", "top:1", "cat", "/Dockerfile").startswith("FROM")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY Dockerfile /\n")
    builder(
        "build", "--platform", "linux/amd64,linux/arm64", "-t", own_registry.reference("both:1"), "--push", tmp_path
    )
    arm = run(
        need("skopeo"),
        "--override-arch",
        "arm64",
        "inspect",
        "--tls-verify=false",
        f"docker://{own_registry.reference('both:1')}",
    )
    assert json.loads(arm)["Labels"] == {"arch": "arm64"}


# -- other people's clients ----------------------------------------------------------------------


def test_docker_pushes_and_pulls(
    shared_pybuild: Pybuild,
    image: str,
    own_registry: RegistryServer,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    need("dockerd", "docker.io")
    shared_pybuild("save", "-o", tmp_path / "image.tar", image)
    try:
        # A short path: the daemon's sockets lie below it.
        with dockerd(tmp_path_factory.mktemp("d")) as daemon:
            daemon.docker("load", "-i", tmp_path / "image.tar")
            for name in ("docker/app:1", "docker/again:1"):  # the second one mounts its layers
                daemon.docker("tag", f"{image}:latest", own_registry.reference(name))
                pushed = daemon.docker("push", own_registry.reference(name)).stdout
                assert "digest: sha256:" in pushed
            daemon.docker(
                "rmi",
                own_registry.reference("docker/app:1"),
                own_registry.reference("docker/again:1"),
                f"{image}:latest",
            )
            daemon.docker("pull", own_registry.reference("docker/app:1"))
            shared_pybuild("push", image, own_registry.reference("ours:1"))
            daemon.docker("pull", own_registry.reference("ours:1"))
            got = daemon.docker("inspect", "--format", "{{.Id}}", own_registry.reference("ours:1")).stdout.strip()
            assert got == identity(shared_pybuild, image)
    except DockerdUnavailable as unavailable:
        pytest.skip(f"dockerd does not start here: {unavailable}")
    assert Pybuild(own_registry.data).text("run", "--rm", "docker/app:1", "cat", "/one") == image
    assert whole(own_registry.data)


def test_skopeo_and_buildah(shared_pybuild: Pybuild, image: str, own_registry: RegistryServer, tmp_path: Path) -> None:
    shared_pybuild("save", "--format", "oci", "-o", tmp_path / "image.tar", image)
    archive = f"oci-archive:{tmp_path / 'image.tar'}"
    for kind in ("oci", "v2s2"):
        target = own_registry.reference(f"skopeo:{kind}")
        run(need("skopeo"), "copy", "-q", "--dest-tls-verify=false", "--format", kind, archive, f"docker://{target}")
        run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{target}", f"dir:{tmp_path / kind}")
        assert Pybuild(own_registry.data).text("run", "--rm", f"skopeo:{kind}", "cat", "/one") == image
    tags = json.loads(run("skopeo", "list-tags", "--tls-verify=false", f"docker://{own_registry.reference('skopeo')}"))
    assert tags["Tags"] == ["oci", "v2s2"]
    run("skopeo", "delete", "--tls-verify=false", f"docker://{own_registry.reference('skopeo:oci')}")
    buildah: list[str | Path] = [
        need("buildah"),
        "--root",
        tmp_path / "b",
        "--runroot",
        tmp_path / "br",
        "--storage-driver",
        "vfs",
    ]
    name = own_registry.reference("skopeo:v2s2")
    run(*buildah, "pull", "-q", "--tls-verify=false", name)
    run(*buildah, "push", "-q", "--tls-verify=false", name, f"docker://{own_registry.reference('buildah:1')}")
    assert Pybuild(own_registry.data).text("run", "--rm", "buildah:1", "cat", "/one") == image
    assert whole(own_registry.data)


# -- many, large, killed -------------------------------------------------------------------------


def test_eight_clients_at_once(tmp_path: Path) -> None:
    shared = random.Random(0).randbytes(1 << 20)
    with served(tmp_path / "store") as server:

        def work(number: int) -> None:
            say = Speaker(server.host, f"app{number % 2}")
            for turn in range(6):
                own = f"{number} {turn}".encode() * 1000
                assert say.blob(own) == digest_of(own)
                assert say("GET", f"blobs/{say.blob(shared)}").body == shared
                raw = say.image(f"t{turn}", f"{number % 4} {turn}")
                assert say("GET", f"manifests/{digest_of(raw)}").body == raw
                assert say("GET", f"manifests/t{turn}").status == 200
            say.connection.close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        say = Speaker(server.host, "app0")
        assert say("GET", "tags/list").json["tags"] == [f"t{turn}" for turn in range(6)]
    assert whole(tmp_path / "store")


def test_prune_and_a_second_server_run_while_clients_push(pybuild: Pybuild) -> None:
    ended = threading.Event()
    confirmed: dict[tuple[str, str], bytes] = {}

    def tidy() -> None:
        with Store.open(pybuild.root) as store:
            while not ended.is_set():
                prune(store)

    with served(pybuild.root) as one, serving(pybuild) as (two, _):
        sweeper = threading.Thread(target=tidy)
        sweeper.start()

        def work(number: int) -> None:
            say = Speaker([one, two][number % 2].host, f"app{number}")
            for turn in range(10):
                confirmed[say.repository, f"t{turn}"] = say.image(f"t{turn}", f"{number % 2} {turn}")
            say.connection.close()

        try:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(work, range(4)))
        finally:
            ended.set()
            sweeper.join()
        say = Speaker(two.host)
        for (repository, tag), raw in confirmed.items():
            assert say("GET", f"/v2/{repository}/manifests/{tag}").body == raw
            for layer in json.loads(raw)["layers"]:
                assert say("HEAD", f"/v2/{repository}/blobs/{layer['digest']}").status == 200
    assert whole(pybuild.root)


def test_a_large_blob_takes_little_memory(pybuild: Pybuild) -> None:
    piece = random.Random(1).randbytes(1 << 20)
    size = 300 << 20
    with serving(pybuild) as (server, process):
        say = Speaker(server.host, blocksize=1 << 20)
        before = peak(process.pid)
        reply = say("PATCH", say.start(), (piece for _ in range(300)), BINARY)
        digest = digest_of(piece * 300)
        assert say("PUT", finishing(say.place(reply), digest)).status == 201
        say.connection.request("GET", f"/v2/contract/blobs/{digest}")
        answer = say.connection.getresponse()
        got = 0
        while block := answer.read(1 << 20):
            got += len(block)
        assert got == size
        grown = peak(process.pid) - before
        assert grown < 60 << 20, f"{grown >> 20} MiB"


def peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def test_a_server_that_is_killed_in_the_middle_leaves_nothing_wrong(pybuild: Pybuild) -> None:
    with suppress(AssertionError), serving(pybuild) as (server, process):
        say = Speaker(server.host, "app")
        whole_one = say.image("1")
        place = say.start()
        assert say("PATCH", place, b"x" * 5_000_000, BINARY).status == 202
        say.connection.putrequest("PATCH", place)
        say.connection.putheader("Content-Length", "9000000")
        say.connection.endheaders(b"y" * 1_000_000)
        process.kill()
        process.wait()
    with serving(pybuild) as (server, _):
        say = Speaker(server.host, "app")
        assert say("GET", "manifests/1").body == whole_one
        assert say("GET", place).code == "BLOB_UPLOAD_UNKNOWN"
        assert say.blob(b"x" * 5_000_000)
    assert whole(pybuild.root)
    assert len(os.listdir(pybuild.root / "scratch")) == 0
    pybuild("prune", "--force")
    with served(pybuild.root) as again:
        assert Speaker(again.host, "app")("GET", "manifests/1").body == whole_one


def test_servers_killed_at_random_while_clients_push(pybuild: Pybuild) -> None:
    luck = random.Random(2)
    confirmed: dict[str, bytes] = {}
    for turn in range(4):
        with suppress(AssertionError), serving(pybuild) as (server, process):
            threading.Timer(luck.uniform(0.02, 0.4), process.kill).start()
            try:
                for number in range(1000):
                    say = Speaker(server.host, "app")
                    name = f"t{turn}-{number}"
                    confirmed[name] = say.image(name)
            except (OSError, http.client.HTTPException):
                pass
            process.wait()
    assert confirmed
    with serving(pybuild) as (server, _):
        say = Speaker(server.host, "app")
        for name, raw in confirmed.items():
            assert say("GET", f"manifests/{name}").body == raw
            for layer in json.loads(raw)["layers"]:
                assert say("HEAD", f"blobs/{layer['digest']}").status == 200
    assert whole(pybuild.root)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(b"tmpfs", {b"size": b"8m"}, disk), served(disk / "store") as server:
        say = Speaker(server.host)
        reply = say("POST", f"blobs/uploads/?digest={digest_of(b'no matter')}", b"x" * (16 << 20), BINARY)
        assert (reply.status, "no space left" in reply.body.decode()) == (507, True)
        say = Speaker(server.host)
        assert say.blob(b"small")


# -- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_when_asked(pybuild: Pybuild, end: int, code: int) -> None:
    with serving(pybuild, "--log", end=end, code=code) as (server, process):
        host, _, port = server.host.partition(":")
        assert host == "127.0.0.1"
        idle = socket.create_connection((host, int(port)))
        assert Speaker(server.host)("GET", "/v2/").status == 200
    assert process.stderr is not None
    idle.close()


def test_every_request_is_logged(pybuild: Pybuild) -> None:
    words = pybuild.command("registry", "serve", "--port", "0", "--log")
    with subprocess.Popen(
        words, env=pybuild.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        Speaker(process.stdout.readline().strip())("GET", "manifests/nothing")
        process.terminate()
        out, err = process.communicate()
    assert out == ""
    assert '"GET /v2/contract/manifests/nothing" 404' in err
    assert len(err.splitlines()) == 1


def test_an_address_that_is_taken(pybuild: Pybuild, own_registry: RegistryServer) -> None:
    done = pybuild("registry", "serve", "--listen", own_registry.host, code=1)
    assert f"error: {own_registry.host}: cannot listen there" in done.stderr
    assert "Address already in use" in done.stderr
    assert "HOST:PORT" in pybuild("registry", "serve", "--listen", "http://x", code=2).stderr


def test_a_folder_that_is_no_store(pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").touch()
    assert "is no store" in pybuild("registry", "serve", "--port", "0", tmp_path / "mine", code=1).stderr


def test_another_store(pybuild: Pybuild, tmp_path: Path) -> None:
    with serving(pybuild, tmp_path / "elsewhere") as (server, _):
        Speaker(server.host, "app").image("1")
    with Store.open(tmp_path / "elsewhere") as store:
        assert store.images.target(Reference.parse("app:1")) is not None
    assert not pybuild.root.exists()


def test_read_only(shared_pybuild: Pybuild, image: str, tmp_path: Path) -> None:
    with serving(shared_pybuild, "--read-only") as (server, _):
        other = Pybuild(tmp_path / "other")
        other("pull", server.reference(image))
        assert "UNSUPPORTED" in other("push", server.reference(image), server.reference("new:1"), code=1).stderr


def test_listening_to_the_network_is_warned_about(pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"ada:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    for flags, warned in (
        (["--listen", "0.0.0.0:0"], "everybody there can read and change"),
        (["--listen", ":0", "--read-only"], "everybody there can read images"),
        (["--listen", "0.0.0.0:0", "--htpasswd", str(tmp_path / "users")], "passwords can be read on the way"),
    ):
        words = pybuild.command("registry", "serve", *flags)
        with subprocess.Popen(
            words, env=pybuild.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.terminate()
            assert warned in process.communicate()[1]


def test_users(shared_pybuild: Pybuild, image: str, tmp_path: Path) -> None:
    run(need("htpasswd", "apache2-utils"), "-cbB", "-C", "5", tmp_path / "users", "ada", "very secret")
    ours = Pybuild(shared_pybuild.root, {"DOCKER_CONFIG": str(tmp_path / "config")})
    with serving(Pybuild(tmp_path / "store"), "--htpasswd", tmp_path / "users") as (server, _):
        say = Speaker(server.host)
        refused = say("GET", "/v2/")
        assert (refused.status, refused.code) == (401, "UNAUTHORIZED")
        assert refused.header("WWW-Authenticate").startswith("Basic realm=")
        reference = server.reference("private:1")
        assert "login" in ours("push", image, reference, code=1).stderr
        ours("login", "-u", "ada", "--password-stdin", server.host, stdin="wrong\n", code=1)
        ours("login", "-u", "ada", "--password-stdin", server.host, stdin="very secret\n")
        ours("push", image, reference)
        creds = ["--tls-verify=false", "--creds", "ada:very secret"]
        assert json.loads(run(need("skopeo"), "inspect", *creds, f"docker://{reference}"))["Digest"]
        large = say("POST", "blobs/uploads/", b"x" * 10_000_000)
        assert large.status == 401, "whoever is refused hears it, although it still has much to say"


def test_tls(shared_pybuild: Pybuild, image: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    trusting = Pybuild(shared_pybuild.root, {"SSL_CERT_FILE": str(tmp_path / "ca.crt")})
    with serving(Pybuild(tmp_path / "store"), "--tls-cert", tmp_path / "server.pem") as (server, _):
        trusting("push", image, server.reference("secure:1"))
        other = Pybuild(tmp_path / "other", {"SSL_CERT_FILE": str(tmp_path / "ca.crt")})
        other("pull", server.reference("secure:1"))
        assert identity(other, server.reference("secure:1")) == identity(shared_pybuild, image)
        certs = tmp_path / "certs"
        certs.mkdir()
        (certs / "ca.crt").write_bytes((tmp_path / "ca.crt").read_bytes())
        run(need("skopeo"), "inspect", "--cert-dir", certs, f"docker://{server.reference('secure:1')}")
        with pytest.raises(ssl.SSLError):
            secured = http.client.HTTPSConnection(server.host, context=ssl.create_default_context())
            secured.request("GET", "/v2/")
        with pytest.raises((OSError, http.client.HTTPException)):
            Speaker(server.host)("GET", "/v2/")
        context = ssl.create_default_context(cafile=tmp_path / "ca.crt")
        secured = http.client.HTTPSConnection(server.host, context=context)
        data = os.urandom(5_000_000)
        secured.request("POST", f"/v2/x/blobs/uploads/?digest={digest_of(data)}", data)
        assert secured.getresponse().read() == b""
        secured.request("GET", f"/v2/x/blobs/{digest_of(data)}", headers={"Range": "bytes=1000-"})
        assert secured.getresponse().read() == data[1000:]
    bad = Pybuild(tmp_path / "store")("registry", "serve", "--tls-cert", tmp_path / "ca.crt", "--port", "0", code=1)
    assert "the certificate or its key cannot be used" in bad.stderr
