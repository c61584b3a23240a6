"""What is told beside images: in BuildKit's shape, the same each time, and still there after a registry."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Pybuild
from tests.support.registry import RegistryServer
from tests.support.web import Page, repository, website

BUILDKIT = json.loads((Path(__file__).parents[2] / "support" / "attested.json").read_text())
DPKG = """Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u1
Maintainer: GNU Libc <libc@example.org>
Description: libraries
 in several
 lines

Package: gone
Status: deinstall ok config-files
Version: 1
"""
APK = "C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\n\nP:so\nV:2\nA:x86_64\no:parent\n"
FILES = {
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "var/lib/dpkg/status": DPKG,
    "var/lib/dpkg/status.d/tzdata": "Package: tzdata\nVersion: 2024a\nArchitecture: all\n",
    "lib/apk/db/installed": APK,
    "usr/lib/python3/site-packages/req-1.0.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: Req_Uests\nVersion: 1.0\nLicense: MIT\n\nName: not me\n"
    ),
    "app/node_modules/@s/left/package.json": '{"name": "@s/left", "version": "2.0.0", "license": "ISC"}',
    "app/node_modules/broken/package.json": "{",
    "app/node_modules/left/lib/package.json": '{"name": "inner", "version": "1"}',
    "var/lib/rpm/Packages": "an old database",
}
PURLS = [
    "pkg:apk/debian/musl@1.2.4-r2?arch=x86_64&distro=debian-12",
    "pkg:apk/debian/so@2?arch=x86_64&distro=debian-12&upstream=parent",
    "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=glibc%402.36-9",
    "pkg:deb/debian/tzdata@2024a?arch=all&distro=debian-12",
    "pkg:npm/%40s/left@2.0.0",
    "pkg:pypi/req-uests@1.0",
    "pkg:rpm/debian/bash@5.2-1.fc40?arch=x86_64&distro=debian-12&upstream=bash-5.2-1.fc40.src.rpm",
]


def rpm_header(words: dict[int, str]) -> bytes:
    """A header as rpm keeps it."""
    index, data = b"", b""
    for tag, word in words.items():
        index += struct.pack(">IIII", tag, 6, len(data), 1)
        data += word.encode() + b"\0"
    return struct.pack(">II", len(words), len(data)) + index + data


def rpm_database(path: Path) -> None:
    """One package, in the mode that rpm uses."""
    path.parent.mkdir(parents=True)
    words = {1000: "bash", 1001: "5.2", 1002: "1.fc40", 1022: "x86_64", 1044: "bash-5.2-1.fc40.src.rpm", 1014: "GPL"}
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    for header in (rpm_header(words), rpm_header({1000: "gpg-pubkey", 1001: "1"})):
        database.execute("INSERT INTO Packages (blob) VALUES (?)", (header,))
    database.commit()
    database.close()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A build of files from databases of all kinds."""
    folder = tmp_path / "c"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    rpm_database(folder / "usr/lib/sysimage/rpm/rpmdb.sqlite")
    (folder / "Dockerfile").write_text("FROM scratch\nARG WORD\nLABEL word=$WORD\nCOPY . /\n")
    (folder / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
    return folder


def fetched(what: str, digest: str) -> Any:
    """A document of a layout's directory."""
    return json.loads((Path(what) / "blobs/sha256" / digest.partition(":")[2]).read_text())


def keys(value: Any) -> Any:
    """The shape of a document: its keys and constant words, without digests, sizes and times."""
    if isinstance(value, dict):
        return {key: keys(one) for key, one in value.items() if key not in ("digest", "size", "diff_ids")}
    return [keys(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("mode", ["min", "max"])
def test_in_buildkits_shape(mode: str, pybuild: Pybuild, tmp_path: Path) -> None:
    wanted = BUILDKIT[mode]
    context = tmp_path / "c"
    context.mkdir()
    (context / "a").write_text("a\n")
    (context / "Dockerfile").write_text("FROM scratch\nARG WORD\nLABEL word=$WORD\nCOPY a /a\n")
    (context / "tok").write_text("s3cret")
    said = ["--build-arg", "WORD=hi", "--label", "l=m", "-t", "example.org/att:1"]
    pybuild.build(context, f"--provenance=mode={mode}", *said, "-o", f"type=oci,dest={tmp_path}/o.tar")
    subprocess.run(["tar", "xf", tmp_path / "o.tar", "-C", tmp_path], check=True)
    top = json.loads((tmp_path / "index.json").read_text())
    index = fetched(str(tmp_path), top["manifests"][0]["digest"])
    image, entry = index["manifests"]
    assert keys(index) == {**keys(wanted["index"]), "manifests": [keys(image), keys(entry)]}
    assert entry["annotations"] == {
        "vnd.docker.reference.digest": image["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    }
    assert entry["platform"] == wanted["index"]["manifests"][1]["platform"]
    manifest = fetched(str(tmp_path), entry["digest"])
    assert keys(manifest) == keys(wanted["manifest"])
    config = fetched(str(tmp_path), manifest["config"]["digest"])
    assert keys(config) == keys(wanted["config"])
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    statement, theirs = fetched(str(tmp_path), manifest["layers"][0]["digest"]), wanted["statements"][0]
    assert {key: statement[key] for key in ("_type", "predicateType")} == {
        key: theirs[key] for key in ("_type", "predicateType")
    }
    name = theirs["subject"][0]["name"]
    assert statement["subject"] == [{"name": name, "digest": {"sha256": image["digest"].partition(":")[2]}}]
    mine, its = statement["predicate"], theirs["predicate"]
    assert mine["buildDefinition"]["buildType"] == its["buildDefinition"]["buildType"]
    assert mine["buildDefinition"]["externalParameters"] == its["buildDefinition"]["externalParameters"]
    assert mine["runDetails"]["builder"] == its["runDetails"]["builder"]
    ours, them = mine["runDetails"]["metadata"], its["runDetails"]["metadata"]
    assert ours["buildkit_completeness"] == them["buildkit_completeness"]
    assert ours.keys() == them.keys() - {"startedOn"}
    if mode == "max":
        assert (
            ours["buildkit_metadata"]["source"]["infos"][0]["data"]
            == them["buildkit_metadata"]["source"]["infos"][0]["data"]
        )
        assert len(mine["buildDefinition"]["internalParameters"]["buildConfig"]["steps"]) == 2
        (copied,) = (
            one["locations"]
            for one in them["buildkit_metadata"]["source"]["locations"].values()
            if one.get("locations")
        )
        assert ours["buildkit_metadata"]["source"]["locations"]["step1"]["locations"] == copied
        built = fetched(str(tmp_path), image["digest"])
        assert ours["buildkit_metadata"]["layers"].keys() == them["buildkit_metadata"]["layers"].keys() == {"step1:0"}
        assert len(ours["buildkit_metadata"]["layers"]["step1:0"][0]) == len(built["layers"]) == 1
    else:
        assert mine["buildDefinition"]["internalParameters"] == its["buildDefinition"]["internalParameters"]
        assert "hi" not in json.dumps(mine)
    listed = json.loads(subprocess.check_output(["skopeo", "inspect", "--raw", f"oci-archive:{tmp_path}/o.tar"]))
    assert listed == index


def test_packages(context: Path, pybuild: Pybuild) -> None:
    said = pybuild("build", "--sbom=true", "-t", "app", context).stderr
    assert "/var/lib/rpm/Packages are not in the SBOM" in said
    document = json.loads(pybuild.text("sbom", "app"))
    refs = [ref["referenceLocator"] for one in document["packages"] for ref in one.get("externalRefs", ())]
    assert sorted(refs) == PURLS
    ids = [one["SPDXID"] for one in document["packages"]]
    assert len(set(ids)) == len(ids) == len(PURLS) + 1
    assert {one["relatedSpdxElement"] for one in document["relationships"]} == set(ids)
    assert document["spdxVersion"] == "SPDX-2.3" and document["documentNamespace"].startswith("https://")
    assert json.loads(pybuild.text("sbom", "--anew", "app")) == document
    rows = [line.split() for line in pybuild.text("sbom", "--format", "table", "app").splitlines()]
    assert ["bash", "5.2-1.fc40", "rpm", "/usr/lib/sysimage/rpm/rpmdb.sqlite"] in rows
    assert "no provenance lies beside app" in pybuild("provenance", "app", code=1).stderr


def test_other_tools_take_them(context: Path, pybuild: Pybuild, tmp_path: Path) -> None:
    """spdx-tools finds no fault, and the published messages of in-toto have every field but BuildKit's own."""
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.v1.resource_descriptor_pb2 import ResourceDescriptor
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    (context / "Other").write_text("FROM app\nCOPY --from=app /etc/os-release /again\n")
    pybuild.build(context, "-t", "app")
    pybuild.build(context, "-f", context / "Other", "--provenance=max", "--sbom=true", "-t", "told")
    (tmp_path / "app.spdx.json").write_text(pybuild.text("sbom", "told"))
    document = parse_file(str(tmp_path / "app.spdx.json"))
    assert [fault.validation_message for fault in validate_full_spdx_document(document, "SPDX-2.3")] == []
    assert len(document.packages) == len(PURLS) + 1
    told = json.loads(pybuild.text("provenance", "told"))
    metadata = told["runDetails"]["metadata"]
    for key in [key for key in metadata if key.startswith("buildkit_")]:
        del metadata[key]
    read = ParseDict(told, Provenance())
    assert read.build_definition.resolved_dependencies[0].uri.startswith("pkg:docker/app@latest")
    assert isinstance(read.build_definition.resolved_dependencies[0], ResourceDescriptor)
    read.run_details.metadata.finished_on.ToDatetime()


def test_the_same_again(context: Path, pybuild: Pybuild, tmp_path: Path) -> None:
    flags = ["--provenance=max", "--sbom=true", "--metadata-file", str(tmp_path / "m.json"), "-t", "app"]
    found = set()
    for _ in range(2):
        pybuild.build(context, *flags)
        found.add(json.loads((tmp_path / "m.json").read_text())["containerimage.digest"])
    assert len(found) == 1


def test_no_secret_is_told(pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    (tmp_path / "tok").write_text("s3cret-word")
    pybuild.build(
        tmp_path, "--provenance=max", "--secret", f"id=tok,src={tmp_path / 'tok'}", "--build-context", f"d={tmp_path}",
        "-t", "app",
    )  # fmt: skip
    told = pybuild.text("provenance", "app")
    asked = json.loads(told)["buildDefinition"]["externalParameters"]["request"]
    assert asked["secrets"] == [{"id": "tok", "optional": True}]
    assert asked["args"] == {"context:d": "local:d"}
    assert "s3cret-word" not in told and str(tmp_path) not in told


def test_base_images_are_named(pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    (tmp_path / "Other").write_text("FROM below:1\nCOPY Other /\n")
    pybuild.build(tmp_path, "-t", "below:1", "--metadata-file", tmp_path / "m.json")
    digest = json.loads((tmp_path / "m.json").read_text())["containerimage.digest"].partition(":")[2]
    pybuild.build(tmp_path, "-f", tmp_path / "Other", "--provenance=true", "-t", "app")
    told = json.loads(pybuild.text("provenance", "app"))["buildDefinition"]["resolvedDependencies"]
    assert told == [{"uri": "pkg:docker/below@1?platform=linux%2Famd64", "digest": {"sha256": digest}}]


def test_through_a_registry(context: Path, pybuild: Pybuild, registry: RegistryServer, tmp_path: Path) -> None:
    name = registry.reference("told/app:1")
    pybuild.build(context, "--attest", "type=provenance,mode=max,referrers=true", "--sbom=true", "-t", name, "--push")
    index = json.loads(
        subprocess.check_output(["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"])
    )
    image, entry = index["manifests"]
    assert entry["annotations"]["vnd.docker.reference.digest"] == image["digest"]
    place = f"docker://{name.rpartition(':')[0]}@{entry['digest']}"
    manifest = json.loads(subprocess.check_output(["skopeo", "inspect", "--raw", "--tls-verify=false", place]))
    assert manifest["subject"]["digest"] == image["digest"]
    other = Pybuild(tmp_path / "other")
    other("pull", "--all-platforms", name)
    for command in ("provenance", "sbom"):
        assert other.text(command, name) == pybuild.text(command, name)
    looked = Pybuild(tmp_path / "none").text(
        "buildx", "imagetools", "inspect", "--format", "{{json .Provenance}}", name
    )
    assert json.loads(looked)["SLSA"] == json.loads(pybuild.text("provenance", name))


def test_pushed_later(context: Path, pybuild: Pybuild, registry: RegistryServer, tmp_path: Path) -> None:
    name = registry.reference("told/later:1")
    pybuild.build(context, "--provenance=true", "-t", name)
    pybuild("push", name)
    layout = tmp_path / "layout"
    copied = ["skopeo", "copy", "-q", "--all", "--src-tls-verify=false", f"docker://{name}", f"oci:{layout}:x"]
    subprocess.run(copied, check=True)
    top = json.loads((layout / "index.json").read_text())
    image, entry = fetched(str(layout), top["manifests"][0]["digest"])["manifests"]
    [layer] = fetched(str(layout), entry["digest"])["layers"]
    statement = fetched(str(layout), layer["digest"])
    assert statement["subject"][0]["digest"]["sha256"] == image["digest"].partition(":")[2]
    pybuild("save", "--format", "docker", "-o", tmp_path / "d.tar", name)
    subprocess.run(["skopeo", "inspect", "--raw", f"docker-archive:{tmp_path}/d.tar"], check=True, capture_output=True)


def test_what_came_from_elsewhere(pybuild: Pybuild, tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "Dockerfile").write_text("FROM scratch\nARG SITE\nADD $SITE/file /\nCOPY Dockerfile /\n")

    with website() as site:
        site.repositories = tmp_path / "repositories"
        commit = repository(tmp_path / "repositories" / "app.git", fill)
        site.pages["/file"] = Page(b"content")
        source = f"{site.url}/git/app.git"
        pybuild("build", "--provenance=max", "--build-arg", f"SITE={site.url}", "-t", "app", f"{source}#main")
    told = json.loads(pybuild.text("provenance", "app"))
    git = {"uri": f"{source}#main", "digest": {"sha1": commit}}
    assert told["buildDefinition"]["externalParameters"]["configSource"] == {**git, "path": "Dockerfile"}
    web = {"uri": f"{site.url}/file", "digest": {"sha256": hashlib.sha256(b"content").hexdigest()}}
    found = told["buildDefinition"]["resolvedDependencies"]
    assert [{**one, "digest": {key: one["digest"][key] for key in ("sha1", "sha256") if key in one["digest"]}}
            for one in found] == [web, git]  # fmt: skip
    metadata = told["runDetails"]["metadata"]
    assert metadata["buildkit_completeness"] == {"request": True, "resolvedDependencies": True}
    assert metadata["buildkit_hermetic"] is True


def test_several_platforms(pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    platforms = ["linux/amd64", "linux/arm64"]
    pybuild("build", "--sbom=true", f"--platform={','.join(platforms)}", "-t", "app", "-o", f"{tmp_path}/out", tmp_path)
    pybuild("build", "--provenance=true", f"--platform={','.join(platforms)}", "-t", "app", tmp_path)
    for platform in platforms:
        told = json.loads(pybuild.text("provenance", "--platform", platform, "app"))
        assert told["runDetails"]["metadata"]["buildkit_completeness"]["request"] is False
    pybuild("save", "-o", tmp_path / "a.tar", "app")
    command = ["skopeo", "inspect", "--raw", f"oci-archive:{tmp_path}/a.tar"]
    entries = json.loads(subprocess.check_output(command))["manifests"]
    assert [entry["platform"]["architecture"] for entry in entries] == ["amd64", "arm64", "unknown", "unknown"]
    about = [entry["annotations"]["vnd.docker.reference.digest"] for entry in entries[2:]]
    assert about == [entry["digest"] for entry in entries[:2]]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--provenance=loud", "is not KEY=VALUE"),
        ("--provenance=mode=loud", "mode is min or max"),
        ("--provenance=version=v0.2", "only SLSA provenance v1"),
        ("--sbom=generator=x/y", "packages are found without one"),
        ("--attest=type=other", "type is one of provenance, sbom"),
        ("--attest=type=sbom,what=1", "unknown key 'what'"),
    ],
)
def test_refused(flag: str, message: str, pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert message in pybuild("build", flag, tmp_path, code=2).stderr
