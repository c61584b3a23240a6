"""Names that go, and images that go with their last one, as docker has it."""

import json
from pathlib import Path

from tests.support.command import Pybuild
from tests.support.registry import RegistryServer


def names(command: Pybuild) -> set[str]:
    return set(command.text("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines())


def test_a_name_goes_alone_though_others_lead_to_another_manifest_of_the_image(
    pybuild: Pybuild, registry: RegistryServer, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    sent = registry.reference("rmi:1")
    image = pybuild.build(tmp_path, "-t", "app:1")
    digest = pybuild.text("push", "app:1", sent).rpartition("digest: ")[2].split()[0]
    pybuild("push", "app:1", sent)
    (told,) = json.loads(pybuild.text("inspect", "app:1"))
    assert told["RepoDigests"] == [f"{sent.rpartition(':')[0]}@{digest}"]
    pybuild("prune", "-f")
    assert json.loads(pybuild.text("inspect", "app:1")) == [told]
    pybuild("pull", "-q", sent)  # the same image, compressed now
    assert names(pybuild) == {"app:1", sent}
    assert "has several names (" in pybuild("rmi", image.removeprefix("sha256:")[:12], code=1).stderr
    assert pybuild.text("rmi", sent) == f"Untagged: {sent}"
    assert names(pybuild) == {"app:1"}
    assert pybuild.text("rmi", "app:1").splitlines() == ["Untagged: app:1", f"Deleted: {image}"]
    assert names(pybuild) == set()


def test_a_digest_goes_with_the_last_tag_beside_it(pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    image = pybuild.build(tmp_path, "-t", "app:1", "-o", "type=image,name-canonical=true", "-t", "other:1")
    assert pybuild.text("rmi", "app:1") == "Untagged: app:1"
    assert pybuild.text("rmi", "other:1").splitlines()[-1] == "Untagged: other:1", "app@sha256:... still holds it"
    assert pybuild("rmi", "-f", image).stdout.splitlines()[-1] == f"Deleted: {image}"
