"""Images to registries, archives and back, with Debian's registry and skopeo as the other side."""

import hashlib
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.peers import need
from tests.support.registry import RegistryServer, registry_server

pytestmark = pytest.mark.root


@pytest.fixture
def image(shared_pybuild: Pybuild, tmp_path: Path) -> str:
    """An image of two layers on the base."""
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN echo {tmp_path.name} > /one\nCOPY Dockerfile /two\n")
    shared_pybuild.build(tmp_path, "-t", f"moving-{tmp_path.name.lower()}")
    return f"moving-{tmp_path.name.lower()}"


def skopeo(*words: str) -> str:
    need("skopeo")
    return subprocess.run(["skopeo", *words], capture_output=True, text=True, check=True).stdout


def identity(command: Pybuild, name: str) -> str:
    return str(json.loads(command.text("inspect", name))[0]["Id"])


def test_there_and_back(shared_pybuild: Pybuild, image: str, registry: RegistryServer, tmp_path: Path) -> None:
    reference = registry.reference("there/and/back:1")
    said = shared_pybuild.text("push", image, reference)
    seen = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{reference}"))
    assert seen["Digest"] in said
    other = Pybuild(tmp_path / "other")
    other("pull", reference)
    assert identity(other, reference) == identity(shared_pybuild, image)
    assert other.text("run", "--rm", reference, "cat", "/one") == tmp_path.name
    other("system", "check")
    pinned = f"{reference.rpartition(':')[0]}@{seen['Digest']}"
    third = Pybuild(tmp_path / "third")
    assert third.text("run", "--rm", pinned, "cat", "/one") == tmp_path.name


def test_building_on_what_a_registry_has(
    shared_pybuild: Pybuild, image: str, registry: RegistryServer, tmp_path: Path
) -> None:
    base = registry.reference("on/base:1")
    shared_pybuild("push", image, base)
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nCOPY --from={base} /one /again\nRUN cat /again\n")
    other = Pybuild(tmp_path / "other")
    target = registry.reference("on/top:1")
    for _ in range(2):
        other.build(tmp_path, "-t", target, "--push")
    assert other.text("run", "--rm", target, "cat", "/again") == tmp_path.name
    layers = [
        json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))["Layers"] for name in (base, target)
    ]
    assert layers[1][: len(layers[0])] == layers[0], "base layers stay as they came"
    assert "nosuch:1: not found" in other("build", "-", stdin=f"FROM {registry.reference('nosuch:1')}\n", code=1).stderr


def test_several_platforms_make_an_index(pybuild: Pybuild, registry: RegistryServer, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY Dockerfile /\n")
    target = registry.reference("several:1")
    pybuild("build", "--platform", "linux/amd64,linux/arm64", "-t", target, "--push", tmp_path)
    index = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{target}"))
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    arm = json.loads(skopeo("--override-arch", "arm64", "inspect", "--tls-verify=false", f"docker://{target}"))
    assert (arm["Architecture"], arm["Labels"]) == ("arm64", {"arch": "arm64"})


def test_a_second_repository_costs_no_upload(shared_pybuild: Pybuild, image: str, tmp_path: Path) -> None:
    with registry_server(tmp_path / "registry") as server:
        shared_pybuild("push", image, server.reference("first:1"))
        before = {path for path in server.data.rglob("data") if "_uploads" not in str(path)}
        shared_pybuild("push", image, server.reference("second:1"))
        after = {path for path in server.data.rglob("data") if "_uploads" not in str(path)}
        assert after == before, "no blob came twice"
        log = (tmp_path / "registry/log").read_text()
        assert "second" in str(list((server.data / "docker/registry/v2/repositories").iterdir())), log
        assert skopeo("inspect", "--tls-verify=false", f"docker://{server.reference('second:1')}")


def test_login_push_pull_logout(shared_pybuild: Pybuild, image: str, tmp_path: Path) -> None:
    with registry_server(tmp_path / "registry", users={"ada": "very secret"}) as server:
        reference = server.reference("private:1")
        command = Pybuild(shared_pybuild.root, {"DOCKER_CONFIG": str(tmp_path / "config")})
        assert "login" in command("push", image, reference, code=1).stderr
        assert (
            "very secret"
            not in command("login", "-u", "ada", "--password-stdin", server.host, stdin="wrong\n", code=1).stderr
        )
        command("login", "-u", "ada", "--password-stdin", server.host, stdin="very secret\n")
        assert (tmp_path / "config/config.json").stat().st_mode & 0o077 == 0
        command("push", image, reference)
        other = Pybuild(tmp_path / "other", {"DOCKER_CONFIG": str(tmp_path / "config")})
        other("pull", "-q", reference)
        assert command.text("login", "--get-login", server.host) == "ada"
        assert command.text("login", server.host).splitlines()[-1] == "Login Succeeded"
        place = f"docker://{reference}"
        anonymous = command("digest", "--no-creds", place, code=1).stderr
        assert "login" in anonymous
        assert "exclude each other" in command("digest", "--no-creds", "--creds", "a:b", place, code=2).stderr
        assert "go together" in command("digest", "--username", "ada", place, code=2).stderr
        command("logout", "--all")
        assert "not logged in" in command("login", "--get-login", server.host, code=1).stderr
        command("digest", "--username", "ada", "--password", "very secret", place)
        command("copy", "--src-no-creds", place, f"dir:{tmp_path / 'nobody'}", code=1)
        command("push", image, server.reference("private:2"), code=1)


@pytest.mark.parametrize("kind", ["docker", "oci"])
def test_archives(kind: str, shared_pybuild: Pybuild, image: str, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    shared_pybuild("save", "--format", kind, "-o", archive, image)
    skopeo("inspect", f"{kind}-archive:{archive}")
    other = Pybuild(tmp_path / "other")
    assert image in other.text("load", "-i", archive)
    assert identity(other, image) == identity(shared_pybuild, image)
    assert other.text("run", "--rm", image, "cat", "/one") == tmp_path.name
    subprocess.run(["gzip", archive], check=True)
    third = Pybuild(tmp_path / "third")
    third("load", stdin=archive.with_name("image.tar.gz").read_bytes())
    assert identity(third, image) == identity(shared_pybuild, image)


def test_what_skopeo_writes_is_read(
    shared_pybuild: Pybuild, image: str, registry: RegistryServer, tmp_path: Path
) -> None:
    reference = registry.reference("for-skopeo:1")
    shared_pybuild("push", image, reference)
    for kind in ("docker-archive", "oci-archive"):
        archive = tmp_path / f"{kind}.tar"
        skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{reference}", f"{kind}:{archive}:made/by:skopeo")
        other = Pybuild(tmp_path / kind)
        other("load", "-i", archive)
        shown = other.text("images", "-q", "--no-trunc").splitlines()
        assert other.text("run", "--rm", shown[0], "cat", "/one") == tmp_path.name


def test_a_file_as_an_artifact(shared_pybuild: Pybuild, image: str, registry: RegistryServer, tmp_path: Path) -> None:
    reference = registry.reference("artifact:1")
    shared_pybuild("push", image, reference)
    (tmp_path / "sbom.json").write_text('{"packages": []}')
    about = registry.reference("artifact:sbom")
    shared_pybuild("artifact", "push", "--subject", reference, about, f"{tmp_path}/sbom.json:application/spdx+json")
    manifest = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{about}"))
    assert manifest["layers"][0]["mediaType"] == "application/spdx+json"
    assert manifest["subject"]["digest"].startswith("sha256:")
    shared_pybuild("artifact", "pull", "-o", tmp_path / "out", about)
    assert (tmp_path / "out/sbom.json").read_text() == '{"packages": []}'
    attached = shared_pybuild.text(
        "artifact", "attach", "--type", "application/x-note", reference, tmp_path / "sbom.json"
    )
    listed = shared_pybuild.text("artifact", "list", reference).splitlines()
    assert listed[0].split() == ["TYPE", "DIGEST", "SIZE", "CREATED"]
    assert len(listed) == 3, "the one with a tag, and the one without"
    one = shared_pybuild.text("artifact", "list", "-q", "--type", "application/x-note", reference)
    assert attached.endswith(f"artifact@{one}")
    shared_pybuild("artifact", "pull", "-o", tmp_path / "again", attached)
    assert (tmp_path / "again/sbom.json").read_text() == '{"packages": []}'


class Liar(http.server.BaseHTTPRequestHandler):
    """A registry whose layer has other bytes than its manifest says."""

    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(b"honest").hexdigest()]},
            "history": [{"created_by": "x"}],
        }
    ).encode()
    layer = b"lies, and not what was promised"

    def do_GET(self) -> None:
        honest = hashlib.sha256(b"honest").hexdigest()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {
                    "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": "sha256:" + hashlib.sha256(self.config).hexdigest(),
                    "size": len(self.config),
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.oci.image.layer.v1.tar",
                        "digest": f"sha256:{honest}",
                        "size": len(self.layer),
                    }
                ],
            }
        ).encode()
        body, kind = b"{}", "application/json"
        if "/manifests/" in self.path:
            body, kind = manifest, "application/vnd.oci.image.manifest.v1+json"
        elif honest in self.path:
            body, kind = self.layer, "application/octet-stream"
        elif "/blobs/" in self.path:
            body, kind = self.config, "application/octet-stream"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def liar() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_registry_that_lies_is_not_believed(pybuild: Pybuild, liar: str) -> None:
    failed = pybuild("pull", f"{liar}/image:1", code=1)
    assert "nothing was kept" in failed.stderr
    assert pybuild.text("images", "-q") == ""
    pybuild("system", "check")
