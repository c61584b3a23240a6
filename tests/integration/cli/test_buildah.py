"""buildah's words: its files and options of builds and pulls, and why the others are not here."""

from pathlib import Path

import pytest

from layers import ImageConfig, Platform, Reference, Store
from layers.oci.image import describe
from tests.support.command import Pybuild
from tests.support.registry import registry_server


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A Containerfile that copies all of its directory, some of which is ignored."""
    folder = tmp_path / "context"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(name)
    (folder / "Containerfile").write_text("FROM scratch\nCOPY a* b* c* /x/\n")
    (folder / ".containerignore").write_text("a\n")
    return folder


def files(pybuild: Pybuild, context: Path, *flags: str | Path) -> set[str]:
    """The names in /x of the image that is built."""
    pybuild.build(context, "-t", "app", *flags)
    return {line.removeprefix("A /x/") for line in pybuild.text("diff", "app").splitlines() if "/x/" in line}


def test_ignore_files(context: Path, pybuild: Pybuild, tmp_path: Path) -> None:
    assert files(pybuild, context) == {"b", "c"}
    (context / ".dockerignore").write_text("b\n")
    assert files(pybuild, context) == {"a", "c"}, "docker's counts where there are both"
    (tmp_path / "mine").write_text("c\n")
    assert files(pybuild, context, "--ignorefile", tmp_path / "mine") == {"a", "b"}
    failed = pybuild("build", "--ignorefile", tmp_path / "absent", context, code=1).stderr
    assert f"ignore file {tmp_path / 'absent'}: No such file" in failed
    assert "--ignorefile is for" in pybuild("build", "--ignorefile", "x", "-", stdin="FROM scratch\n", code=2).stderr


def test_platforms_in_parts(context: Path, pybuild: Pybuild) -> None:
    pybuild.build(context, "--arch", "arm", "--variant", "v7", "-t", "part")
    assert pybuild.text("inspect", "-f", "{{.Architecture}}/{{.Variant}}", "part") == "arm/v7"
    assert "--variant is one of" in pybuild("build", "--variant", "v7", context, code=2).stderr
    assert "leave --os" in pybuild("build", "--os", "linux", "--platform", "linux/arm", context, code=2).stderr


def test_credentials_of_a_build(context: Path, pybuild: Pybuild, tmp_path: Path) -> None:
    with registry_server(tmp_path / "registry", users={"ada": "word"}) as server:
        name = server.reference("base:1")
        assert "login" in pybuild("build", "-t", name, "--push", context, code=1).stderr
        pybuild.build(context, "-t", name, "--push", "--creds", "ada:word", "--tls-verify=false")
        (context / "Containerfile").write_text(f"FROM {name}\nLABEL a=b\n")
        other = Pybuild(tmp_path / "other")
        other("build", context, code=1)
        other.build(context, "--creds", "ada:word", "-t", "app")
        other("pull", "-q", "--arch", Platform.host().architecture, "--creds", "ada:word", name)


@pytest.mark.parametrize("option", ["--volume", "-v", "--isolation", "--manifest", "--from", "--cap-add"])
def test_what_is_not_done_says_why(pybuild: Pybuild, context: Path, option: str) -> None:
    refused = pybuild("build", option, "x", context, code=2).stderr
    assert refused.startswith(f"error: {option} is not done here: ")


def test_variables_that_no_command_can_have(pybuild: Pybuild, tmp_path: Path) -> None:
    with Store.open(pybuild.root) as store:
        config = ImageConfig.build(
            platform=Platform.host(), diff_ids=(), history=(), runtime={"Env": ["A=x\0y"]}, created=None
        )
        store.images.add(describe(config, ()), config, [Reference.parse("odd:1")])
    failed = pybuild("build", "-", stdin='FROM odd:1\nRUN ["/x"]\n', code=1).stderr
    assert "the variable 'A' has a NUL character" in failed and "stdin:2" in failed
