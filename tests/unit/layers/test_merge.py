"""Several layers as one, and a file system as one tar: what is seen afterwards, and what the tar says."""

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layers import Chain, EntryType, NewLayer, Store, Toc, UnsafePath
from layers.home.ingest import bring
from layers.making.merge import flat, squash
from layers.views.tree import Tree
from tests.unit.layers.test_layer_rules import Member, hard, said, soft, tar


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def put(store: Store, *members: Member) -> NewLayer:
    return bring(store, io.BytesIO(tar(*members)))


def chain(layers: Sequence[NewLayer]) -> Chain:
    return Chain(tuple(layer.diff_id for layer in layers))


def shown(tree: Tree) -> dict[str, Any]:
    """Path → all that can be seen of it, and the other names of the file."""
    found: dict[str, list[Any]] = {}
    groups: dict[object, list[str]] = {}
    for entry in tree.walk():
        content = b""
        if entry.type is EntryType.FILE:
            with tree.open(entry.path) as file:
                content = file.read()
        attributes = (entry.mode, entry.uid, entry.gid, entry.linkname, dict(entry.xattrs))
        found[entry.path] = [entry.type, attributes, content]
        if (inode := tree.inode(entry.path)) and entry.type is not EntryType.DIR:
            groups.setdefault((id(inode[0]), *inode[1:]), []).append(entry.path)
    for names in groups.values():
        for name in names:
            found[name].append(sorted(names))
    return found


def above(store: Store, layers: Sequence[NewLayer], kept: int) -> Toc:
    """Squash what lies above the `kept` lowest, see that nothing else is shown then; the table of the new layer."""
    whole = chain(layers)
    one = squash(store, whole.diff_ids[kept:], chain(layers[:kept]))
    assert shown(store.tree(chain(layers[:kept]).push(one.diff_id))) == shown(store.tree(whole))
    with store.blobs.open(one.diff_id) as raw:
        again = Toc.scan(raw)
    assert [entry.path for entry in again] == [entry.path for entry in store.toc(one.diff_id)]
    return again


def test_deletions_stay_only_where_there_is_something_to_delete(store: Store) -> None:
    layers = [
        put(store, ("base", b""), ("d/x", b""), ("d/y", b""), ("e", b"")),
        put(store, ("mine", b""), ("d/.wh.x", b""), (".wh.never", b""), (".wh.e", b""), ("e/f", b"")),
        put(store, (".wh.mine", b""), (".wh.base", b"")),
    ]
    assert said(above(store, layers, 1)) == ["base deleted", "d/", "d/x deleted", "e/", "e/f"]
    assert said(above(store, layers, 0)) == ["d/", "d/y", "e/", "e/f"]


def test_a_directory_made_anew_hides_the_old_one(store: Store) -> None:
    layers = [put(store, ("d/x", b"")), put(store, (".wh.d", b"")), put(store, ("d", None), ("d/y", b""))]
    assert said(above(store, layers, 1)) == ["d/", "d opaque", "d/y"]


def test_an_opaque_mark_hides_children_not_the_looks_of_its_directory(store: Store) -> None:
    layers = [put(store, ("d", None), ("d/e", None)), put(store, ("d/.wh..wh..opq", b""), ("d/e/f", b""))]
    tree = store.tree(chain(layers))
    modes = {path: entry.mode for path in ("d", "d/e") if (entry := tree.get(path))}
    assert modes == {"d": 0o750, "d/e": 0o755}
    assert said(above(store, layers, 1)) == ["d/", "d opaque", "d/e/", "d/e/f"]


@pytest.mark.parametrize("kept", [0, 1])
def test_links_follow_the_first_name_that_is_left(store: Store, kept: int) -> None:
    layers = [
        put(store, ("base", b"")),
        put(store, ("a", b"data"), ("b", hard("a")), ("c", hard("a"))),
        put(store, (".wh.a", b""), ("d", b"")),
    ]
    assert [word for word in said(above(store, layers, kept)) if word != "base"] == ["b", "c -> b", "d"]


def test_links_to_files_below_what_is_squashed(store: Store) -> None:
    base = put(store, ("a", b"1"), ("b", b"2"), ("c", b"3"), ("s", soft("a")))
    links = put(store, ("x", hard("a")), ("y", hard("b")), ("z", hard("b")), ("w", hard("c")), ("t", hard("s")))
    after = put(store, (".wh.b", b""), ("c", b"other"))
    toc = above(store, [base, links, after], 1)
    assert said(toc) == ["b deleted", "c", "t -> s", "w", "x -> a", "y", "z -> y"]
    assert said(above(store, [base, links, after], 0)) == ["a", "c", "s -> a", "t -> s", "w", "x -> a", "y", "z -> y"]


def test_a_link_to_nothing_is_not_dropped_in_silence(store: Store) -> None:
    layers = [put(store, ("a", b"")), put(store, ("x", hard("gone"))), put(store, ("b", b""))]
    for kept in (0, 1):
        with pytest.raises(UnsafePath, match="not there"):
            squash(store, chain(layers).diff_ids[kept:], chain(layers[:kept]))
    with pytest.raises(UnsafePath, match="not there"):
        flat([("", store.tree(chain(layers)))], io.BytesIO())
    assert above(store, [*layers, put(store, (".wh.x", b""))], 1)


def test_holes_are_written_as_zeros(store: Store, tmp_path: Path) -> None:
    import subprocess

    with (tmp_path / "holes").open("wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"middle")
        file.seek(2 << 20)
        file.write(b"end")
    content = (tmp_path / "holes").read_bytes()
    packed = subprocess.run(["tar", "-cSf", "-", "-C", tmp_path, "holes"], capture_output=True, check=True).stdout
    assert len(packed) < 1 << 20
    layers = [bring(store, io.BytesIO(packed)), put(store, ("x", b"")), put(store, ("y", b""))]
    assert store.toc(layers[0].diff_id).get("holes").sparse is not None  # type: ignore[union-attr]
    above(store, layers, 0)
    sink = io.BytesIO()
    flat([("", store.tree(chain(layers)))], sink)
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue())) as archive:
        member = archive.extractfile("holes")
        assert member is not None and member.read() == content


def test_the_same_layers_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    members: list[list[Member]] = [[("b", b"1"), ("a", hard("b"))], [(".wh.b", b""), ("c/d", b"2")], [("c", None)]]
    layers = [put(store, *some) for some in members]
    one = squash(store, chain(layers).diff_ids, Chain(()))
    with Store.open(tmp_path / "other") as other:
        again = [put(other, *reversed(some)) for some in members]
        assert squash(other, chain(again).diff_ids, Chain(())) == one
    sink = io.BytesIO()
    assert flat([("", store.tree(chain(layers)))], sink) == len(sink.getvalue())
    assert bring(store, io.BytesIO(sink.getvalue())) == one


NAMES = st.sampled_from(["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "l"])
ENTRIES = st.one_of(
    st.tuples(NAMES, st.binary(max_size=3)),
    st.tuples(NAMES, st.none()),
    st.tuples(NAMES, st.builds(soft, NAMES)),
    st.tuples(NAMES.map(lambda name: "/".join((*name.split("/")[:-1], f".wh.{name.split('/')[-1]}"))), st.just(b"")),
    st.tuples(st.sampled_from(["d/.wh..wh..opq", "d/e/.wh..wh..opq"]), st.just(b"")),
    st.tuples(NAMES, st.builds(hard, NAMES)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.lists(st.lists(ENTRIES, max_size=5), min_size=2, max_size=4), st.data())
def test_squashed_above_any_layer_shows_the_same(
    store: Store, members: list[list[Member]], data: st.DataObject
) -> None:
    layers = []
    for some in members:
        try:
            layers.append(put(store, *some))
        except Exception as error:  # what no layer can be
            assert type(error).__name__ in ("UnsafePath", "ArchiveInvalid")
    kept = data.draw(st.integers(0, len(layers)))
    try:
        above(store, layers, kept)
        sink = io.BytesIO()
        flat([("", store.tree(chain(layers)))], sink)
    except UnsafePath as error:
        assert "not there" in str(error)
        return
    assert shown(store.tree(chain([bring(store, io.BytesIO(sink.getvalue()))]))) == shown(store.tree(chain(layers)))


def test_a_link_to_a_name_that_became_a_directory_is_one_to_another_name_of_the_file(store: Store) -> None:
    layers = [
        put(store, ("d/b", b"x"), ("d/e", hard("d/b"))),
        put(store, ("d/e/.wh..wh..opq", b""), ("a", hard("d/e"))),
    ]
    for kept in range(3):
        above(store, layers, kept)
    assert store.tree(chain(layers)).inode("a") == store.tree(chain(layers)).inode("d/b")


def test_a_layer_that_is_there_twice(store: Store) -> None:
    layer = put(store, ("b", b"same"))
    layers = [layer, put(store, ("a", hard("b"))), layer]
    tree = store.tree(chain(layers))
    assert tree.inode("a") != tree.inode("b")
    for kept in range(3):
        above(store, layers, kept)
