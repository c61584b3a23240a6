"""A build cache that machines share: what hits, what is fetched for it, what a broken or foreign one does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.sharing.document import CONFIG
from layers import Descriptor, Digest, Manifest
from layers.moving.layout import Layout
from layers.oci.documents import encode
from tests.support.command import Pybuild
from tests.support.registry import RegistryServer

TEXT = """FROM scratch AS low
COPY a /a
WORKDIR /big
COPY big /big/
FROM scratch
COPY --from=low /a /copied
COPY b /b
"""
Machine = Callable[[str], Pybuild]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    for name, data in (("a", b"a"), ("b", b"b"), ("big", bytes(range(256)) * 4000)):
        (directory / name).write_bytes(data)
    (directory / "Dockerfile").write_text(TEXT)
    return directory


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """The command on a store of its own."""
    return lambda name: Pybuild(tmp_path / name, {"DOCKER_CONFIG": str(tmp_path / "docker-config")})


def events(command: Pybuild, *words: str | Path, code: int = 0) -> list[dict[str, Any]]:
    done = command("build", "--progress=json", *words, code=code)
    return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


def ran(told: list[dict[str, Any]]) -> list[str]:
    """The words of the steps that ran."""
    titles = {step["id"]: step["title"] for event in told if event["event"] == "planned" for step in event["steps"]}
    return [titles[event["step"]] for event in told if event["event"] == "step_started"]


def warnings(told: list[dict[str, Any]]) -> str:
    return "\n".join(event["message"] for event in told if event["event"] == "warned")


@pytest.mark.parametrize("compression", ["uncompressed", "zstd"])
def test_another_machine_runs_nothing(machine: Machine, context: Path, tmp_path: Path, compression: str) -> None:
    place = tmp_path / "cache"
    first = events(machine("one"), f"--cache-to=type=local,dest={place},mode=max,compression={compression}", context)
    assert {"event": "exported", "kind": "cache", "name": str(place)}.items() <= first[-2].items()
    other = machine("two")
    assert "All 6 steps are cached" in other.text("build", "--dry-run", f"--cache-from=type=local,src={place}", context)
    then = events(other, f"--cache-from=type=local,src={place}", context)
    assert (ran(then), warnings(then), then[-1]["image"]) == ([], "", first[-1]["image"])
    assert ran(events(other, f"--cache-from=type=local,src={place}", "--no-cache", context)) != []


def test_layers_that_nobody_needs_are_not_fetched(machine: Machine, context: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    machine("one").build(context, f"--cache-to=type=local,dest={place},mode=max")
    other = machine("two")
    other.build(context, f"--cache-from=type=local,src={place}")
    sizes = [path.stat().st_size for path in (other.root / "blobs/sha256").iterdir()]
    assert max(sizes) < 20_000  # the million bytes of `big` stayed where they were
    (context / "Dockerfile").write_text(TEXT.replace("/copied", "/moved"))
    assert ran(events(other, f"--cache-from=type=local,src={place}", context)) == [
        "COPY --from=low /a /moved",
        "COPY b /b",
    ]
    assert max(path.stat().st_size for path in (other.root / "blobs/sha256").iterdir()) > 1_000_000


def test_min_has_the_layers_of_the_image_only(machine: Machine, context: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    machine("one").build(context, f"--cache-to=type=local,dest={place}")
    assert ran(events(machine("two"), f"--cache-from=type=local,src={place}", context)) == [
        "COPY a /a",
        "WORKDIR /big",
        "COPY big /big/",
    ]


def test_a_registry_keeps_one_and_several_are_asked(
    machine: Machine, context: Path, registry: RegistryServer, tmp_path: Path
) -> None:
    reference = f"{registry.host}/{tmp_path.name.lower()}:cache"
    machine("one").build(context, f"--cache-to=type=registry,ref={reference},mode=max,image-manifest=true")
    told = events(machine("two"), "--cache-from=type=local,src=/nowhere", f"--cache-from={reference}", context)
    assert ran(told) == [] and "/nowhere" in warnings(told)
    # One that never had the layers can pass the cache on without fetching them.
    told = events(
        machine("three"), f"--cache-from={reference}", f"--cache-to=type=registry,ref={reference},mode=max", context
    )
    assert ran(told) == []
    assert all(path.stat().st_size < 20_000 for path in (machine("three").root / "blobs/sha256").iterdir())
    assert ran(events(machine("four"), f"--cache-from={reference}", context)) == []


def test_our_own_registry_keeps_one_too(machine: Machine, context: Path, own_registry: RegistryServer) -> None:
    reference = f"{own_registry.host}/cache"
    machine("one").build(context, f"--cache-to=type=registry,ref={reference},mode=max")
    assert ran(events(machine("two"), f"--cache-from={reference}", context)) == []


@pytest.mark.parametrize("flag", ["--cache-to=type=inline", "--build-arg=BUILDKIT_INLINE_CACHE=1"])
def test_an_image_carries_its_own(machine: Machine, context: Path, registry: RegistryServer, flag: str) -> None:
    name = f"{registry.host}/inline:{len(flag)}"
    first = events(machine("one"), flag, "--push", "-t", name, context)
    assert warnings(first) == ""
    told = events(machine("two"), flag, f"--cache-from={name}", "-t", name, context)
    assert ran(told) == ["COPY a /a", "WORKDIR /big", "COPY big /big/"]
    assert told[-1]["image"] == first[-1]["image"]


def test_a_base_elsewhere_is_not_fetched_for_a_stage_that_is_cached(
    machine: Machine, context: Path, own_registry: RegistryServer, tmp_path: Path
) -> None:
    base, place = f"{own_registry.host}/base:1", tmp_path / "cache"
    one = machine("one")
    one.build(context, "-t", base, "--push", "--target", "low")
    (context / "Dockerfile").write_text(f"FROM {base} AS low\nCOPY b /b\nFROM scratch\nCOPY --from=low /b /\n")
    other = machine("two")
    events(machine("three"), f"--cache-to=type=local,dest={place},mode=max", context)
    assert ran(events(other, f"--cache-from=type=local,src={place}", context)) == []
    assert all(path.stat().st_size < 20_000 for path in (other.root / "blobs/sha256").iterdir())


# -- what is broken, foreign or hostile --------------------------------------------------------------


@pytest.fixture
def cache(machine: Machine, context: Path, tmp_path: Path) -> Path:
    place = tmp_path / "cache"
    machine("one").build(context, f"--cache-to=type=local,dest={place},mode=max")
    return place


def rewritten(place: Path, change: Callable[[dict[str, Any]], Any], *, media_type: str = CONFIG) -> None:
    """Let the cache say something else."""
    layout = Layout.at(place)
    manifest = Manifest.parse(layout.open(layout.resolve("latest")).read(), layout.resolve("latest").media_type)
    value = json.loads(layout.open(manifest.config).read())
    change(value)
    config = encode(value)
    document = Manifest.build(Descriptor.of(config, media_type), manifest.layers)
    for wanted, data in ((document.config, config), (document.descriptor, document.raw)):
        path = place / "blobs/sha256" / wanted.digest.hex
        path.write_bytes(data)
    layout.tag("latest", document.descriptor)


def swap(value: dict[str, Any]) -> None:
    value["diffIDs"].reverse()


@pytest.mark.parametrize("damage", ["gone", "other", "short"])
def test_a_layer_that_is_not_what_it_should_be_is_made_instead(
    machine: Machine, context: Path, cache: Path, damage: str
) -> None:
    for path in (cache / "blobs/sha256").iterdir():
        if path.read_bytes()[:1] != b"{":
            data = path.read_bytes()
            path.unlink()
            if damage != "gone":
                path.write_bytes(data[:-1] if damage == "short" else data[:-1] + b"!")
    told = events(machine("two"), f"--cache-from=type=local,src={cache}", context)
    assert "it is not used any more" in warnings(told)
    assert told[-1]["event"] == "finished" and "COPY b /b" in ran(told)


def test_layers_under_false_names_are_refused(machine: Machine, context: Path, cache: Path) -> None:
    rewritten(cache, swap)
    told = events(machine("two"), f"--cache-from=type=local,src={cache}", context)
    assert "as promised" in warnings(told) and "COPY b /b" in ran(told)


def test_a_document_that_is_no_cache_is_a_warning(machine: Machine, context: Path, cache: Path) -> None:
    rewritten(cache, lambda value: value.update(records=[1]))
    told = events(machine("two"), f"--cache-from=type=local,src={cache}", context)
    assert "build cache" in warnings(told)
    assert told[-1]["event"] == "finished" and "COPY b /b" in ran(told)


def test_a_size_that_is_a_lie_is_not_believed(machine: Machine, context: Path, cache: Path) -> None:
    def lie(value: dict[str, Any]) -> None:
        for record in value["records"]:
            record["size"] = 7

    rewritten(cache, lie)
    other = machine("two")
    told = events(other, f"--cache-from=type=local,src={cache}", "-t", "app", context)
    assert ran(told) == []
    manifest = json.loads(other.text("inspect", "--raw", "app"))
    sizes = {layer["digest"]: layer["size"] for layer in manifest["layers"]}
    for digest, size in sizes.items():
        assert (other.root / "blobs/sha256" / digest.removeprefix("sha256:")).stat().st_size == size


def test_what_buildkit_wrote_is_told_from_ours(machine: Machine, context: Path, cache: Path) -> None:
    rewritten(cache, lambda value: value.clear(), media_type="application/vnd.buildkit.cacheconfig.v0")
    told = events(machine("two"), f"--cache-from=type=local,src={cache}", context)
    assert "it was made by BuildKit" in warnings(told) and len(ran(told)) == 5


def test_an_image_without_one_is_told_so(machine: Machine, context: Path, own_registry: RegistryServer) -> None:
    name = f"{own_registry.host}/plain"
    machine("one").build(context, "--push", "-t", name)
    told = events(machine("two"), f"--cache-from={name}", "--cache-from=127.0.0.1:1/nobody", context)
    assert "an image without a cache" in warnings(told) and "127.0.0.1:1" in warnings(told)


def test_a_cache_that_cannot_be_written_fails_the_build_unless_that_is_ignored(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    place = f"type=local,dest={tmp_path}/file"
    failed = machine("one")("build", "-t", "app", f"--cache-to={place}", context, code=1)
    assert "its cache could not be written" in failed.stderr
    assert "app" in machine("one").text("images")
    assert f"{tmp_path}/file" in warnings(events(machine("one"), f"--cache-to={place},ignore-error=true", context))


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--cache-to=type=gha", "type=gha is not there"),
        ("--cache-to=type=local", "dest= is missing"),
        ("--cache-to=type=inline,mode=max", "mode=min"),
        ("--cache-to=type=local,dest=x,image-manifest=false", "image-manifest=false cannot be had"),
        ("--cache-to=type=local,dest=x,colour=red", "unknown key 'colour'"),
        ("--cache-to=type=local,dest=x,mode=mid", "mode is one of min, max"),
        ("--cache-from=type=inline", "type=registry,ref=IMAGE"),
        ("--cache-from=ref=A", "--cache-from 'ref=A'"),
    ],
)
def test_flags_that_mean_nothing_are_refused(machine: Machine, context: Path, flag: str, words: str) -> None:
    assert words in machine("one")("build", flag, context, code=2).stderr


# -- cache mounts ------------------------------------------------------------------------------------


@pytest.mark.root
def test_cache_mounts_travel_with_it(shared_pybuild: Pybuild, context: Path, tmp_path: Path) -> None:
    place, name = tmp_path / "cache", tmp_path.name
    mount = f"RUN --mount=type=cache,target=/c,id={name},mode=0700,uid=7 "
    (context / "Dockerfile").write_text(f"FROM busybox\n{mount}mkdir /c/d && echo kept > /c/d/f && ln -s f /c/d/l\n")
    shared_pybuild.build(context, f"--cache-to=type=local,dest={place},mounts=true")
    shared_pybuild("cache", "rm", name)
    (context / "Dockerfile").write_text(f"FROM busybox\n{mount}cat /c/d/l && stat -c %a:%u /c\n")
    told = shared_pybuild("build", "--progress=plain", f"--cache-from=type=local,src={place}", context).stderr
    assert " kept\n" in told and " 700:7\n" in told
    shared_pybuild("cache", "rm", name)
    shared_pybuild("build", "--no-cache", context, code=1)  # nobody brings it


@pytest.mark.root
def test_a_namespace_of_cache_mounts(shared_pybuild: Pybuild, context: Path, tmp_path: Path) -> None:
    name = tmp_path.name
    line = f"RUN --mount=type=cache,target=/c,id={name} ls /c; touch /c/mine"
    (context / "Dockerfile").write_text(f"FROM busybox\n{line}\n")
    for namespace in ("one", "two"):
        told = shared_pybuild(
            "build", "--progress=plain", "--always=RUN*", f"--build-arg=BUILDKIT_CACHE_MOUNT_NS={namespace}", context
        ).stderr
        assert "mine\n" not in told.replace("touch /c/mine\n", "") and "warning" not in told
    listed = shared_pybuild.text("cache", "ls", "--filter", "type=exec.cachemount")
    for namespace in ("one", "two"):
        assert f"cached mount {namespace}/{name}" in listed
        shared_pybuild("cache", "rm", f"{namespace}/{name}")


def test_a_layout_that_others_copied_is_as_good(machine: Machine, context: Path, cache: Path, tmp_path: Path) -> None:
    shutil.copytree(cache, tmp_path / "moved")
    digest = Layout.at(cache).resolve("latest").digest
    assert isinstance(digest, Digest)
    place = f"type=local,src={tmp_path}/moved,digest={digest}"
    assert ran(events(machine("two"), f"--cache-from={place}", context)) == []
