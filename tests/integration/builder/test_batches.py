"""Plain files are copied as batches, columns at a time; what comes out is what each of them alone would make."""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.build import build
from builder.contexts.context import Context
from builder.errors import BuildError
from builder.request import BuildRequest
from builder.times import Times
from builder.workbench import Workbench
from layers import Entry, EntryType, Store

OLD = 1_500_000_000
NAMES = ("a", "b.c", "b", "B-", "é", "\udc80", "z" * 120, "sub", "x.wh.y", "~")


def plant(place: Path, source: random.Random, depth: int = 0) -> None:
    """A tree of plain files mostly, with everything else that there can be."""
    place.mkdir(parents=True, exist_ok=True)
    for name in source.sample(NAMES, source.randint(3, len(NAMES))):
        path = place / name
        kind = source.choice(["file"] * 6 + ["dir"] * 3 + ["symlink", "hard link", "fifo", "attribute"])
        if kind == "dir" and depth < 3:
            plant(path, source, depth + 1)
        elif kind == "symlink":
            path.symlink_to("somewhere")
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.write_bytes(source.randbytes(source.choice([0, 1, 511, 512, 513, 3000])))
            path.chmod(source.choice([0o644, 0o755, 0o4711, 0]))
            if kind == "hard link":
                os.link(path, place / f"{name[:9]}.twin")
            if kind == "attribute":
                os.setxattr(path, "user.note", b"kept")
            os.utime(path, ns=(0, source.choice([OLD, OLD + 7]) * 10**9 + source.randint(0, 9)))
    os.utime(place, (OLD, OLD))


def made(store: Store, context: Path, dockerfile: str, times: Times | None = None) -> list[Entry]:
    """What the last layer of a build holds, its digest as the path of a first entry."""
    request = BuildRequest(context=context, text=dockerfile.encode(), no_cache=True, times=times)

    def no_runtime() -> None:
        raise AssertionError("nothing is run")

    result = build(request, Workbench(store, no_runtime), lambda _: None, threading.Event())  # type: ignore[arg-type]
    layer = store.images.get(str(result.image_id)).chain.diff_ids[-1]
    return [Entry(str(layer), next(iter(store.toc(layer))).type), *store.toc(layer)]


DOCKERFILES = (
    "FROM scratch\nCOPY one /\n",
    "FROM scratch\nCOPY one /new/place\n",
    "FROM scratch\nCOPY one two one /all/\n",
    "FROM scratch\nCOPY two two/sub* /all/\n",
    "FROM scratch\nCOPY --chmod=u=rwX,go=rX --chown=7:8 . /all\n",
    "FROM scratch\nCOPY --parents one/sub two /all/\n",
    "FROM scratch\nCOPY --exclude=**/b* one /all\n",
    "FROM scratch\nCOPY --link one /all\n",
    "FROM scratch\nCOPY one /all\nCOPY two /all\n",
    "FROM scratch\nCOPY one <<b.c /all/\nhere\nb.c\n",
)


@pytest.mark.parametrize("seed", range(4))
def test_a_batch_is_what_its_files_are(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = random.Random(seed)
    context = tmp_path / "context"
    for name in ("one", "two"):
        plant(context / name, source)
    (context / "one/sub.d").mkdir(exist_ok=True)
    (context / "two/sub.e").mkdir(exist_ok=True)
    (context / ".dockerignore").write_text("**/~\n")
    times = source.choice([None, Times(OLD + 3), Times(OLD, every=True)])

    def all_of_them(store: Store) -> list[object]:
        found: list[object] = []
        for dockerfile in DOCKERFILES:
            try:
                found.append(made(store, context, dockerfile, times))
            except BuildError as error:  # two things that do not go together
                found.append(str(error))
        return found

    with Store.open(tmp_path / "store") as store:
        batches = all_of_them(store)
    monkeypatch.setattr(Context, "parts", Context.children)
    with Store.open(tmp_path / "other") as store:
        assert all_of_them(store) == batches


def shrink(path: Path) -> None:
    path.write_bytes(b"x")


def grow(path: Path) -> None:
    path.write_bytes(b"x" * 9999)


def lead_elsewhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def replace(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(0, status.st_mtime_ns))
    other.rename(path)


def give_another_name(path: Path) -> None:
    os.link(path, path.parent.parent.parent / "another")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (shrink, "d/b changed while the build read it"),
        (grow, "d/b changed while the build read it"),
        (replace, "d/b changed while the build read it"),
        (Path.unlink, "cannot read all/d/b: No such file or directory"),
        (lead_elsewhere, "cannot read all/d/b: Too many levels of symbolic links"),
        (give_another_name, ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_files_that_change_after_they_were_looked_at(
    harm: Callable[[Path], None], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of it makes a layer of something that was never there; another name harms nobody."""
    from layers.tar.tarball import TarWriter

    context = tmp_path / "context"
    (context / "d").mkdir(parents=True)
    for name in "abc":
        (context / "d" / name).write_bytes(b"some text")
    real = TarWriter.add_files

    def late(self: TarWriter, files):  # type: ignore[no-untyped-def]
        harm(context / "d/b")
        return real(self, files)

    monkeypatch.setattr(TarWriter, "add_files", late)
    with Store.open(tmp_path / "store") as store:
        if told:
            with pytest.raises(BuildError) as error:
                made(store, context, "FROM scratch\nCOPY . /all\n")
            assert told in str(error.value)
            assert not list(store.blobs.all())
        else:
            assert "all/d/b" in [entry.path for entry in made(store, context, "FROM scratch\nCOPY . /all\n")]


def test_names_elsewhere_do_not_count_and_names_here_are_links(tmp_path: Path) -> None:
    """What package managers and `cp -al` share with other trees is copied like anything else, and stays cached."""
    context = tmp_path / "context"
    for path in ("a/one", "a/two", "b/one", "b/two"):
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        (context / path).write_text(path)
    text = b"FROM scratch\nCOPY . /all\nCOPY a/one b/one /each/\n"
    statuses: list[str] = []

    def layers(store: Store) -> list[dict[str, tuple[EntryType, str]]]:
        result = build(
            BuildRequest(context=context, text=text),
            Workbench(store, lambda: pytest.fail("nothing is run")),
            lambda _: None,
            threading.Event(),
        )
        statuses[:] = [step.status for step in result.steps if step.title.startswith("COPY")]
        chain = store.images.get(str(result.image_id)).chain
        return [{one.path: (one.type, one.linkname) for one in store.toc(layer)} for layer in chain.diff_ids]

    with Store.open(tmp_path / "store") as store:
        before = layers(store)
        for path in ("a/one", "b/two"):
            os.link(context / path, tmp_path / path.replace("/", "-"))
        assert layers(store) == before
        assert statuses == ["cached", "cached"]
        (context / "b/one").unlink()
        os.link(context / "a/one", context / "b/one")
        first, second = layers(store)
    assert statuses == ["ran", "ran"]
    assert first["all/b/one"] == (EntryType.HARDLINK, "all/a/one")
    assert first["all/a/two"] == (EntryType.FILE, "")
    assert second["each/one"] == (EntryType.FILE, "")
