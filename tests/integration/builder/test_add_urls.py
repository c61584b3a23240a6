"""ADD of URLs: names, times, checksums, what is kept and asked for again, cuts and redirects."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from builder.errors import ContextError, DockerfileError, DockerfileErrors
from builder.secrets import Secret
from layers import Store
from tests.support.building import Builds, tree
from tests.support.web import LAST_MODIFIED, MTIME, Page, Site, website


@pytest.fixture
def builds(tmp_path: Path) -> Iterator[Builds]:
    with Store.open(tmp_path / "store") as store:
        yield Builds(store)


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize(
    ("path", "dest", "expected"),
    [
        ("/dir/file.txt", "/x", "x"),
        ("/dir/file.txt", "/x/", "x/file.txt"),
        ("/dir/file.txt?v=1", "/x/", "x/file.txt"),
        ("/dir/with%20blank", "/x/", "x/with blank"),
        ("/", "/x/", "x/__unnamed__"),
        ("", "/x/", "x/__unnamed__"),
        ("/", "/x", "x"),
        ("/dir/", "/x/", "x/dir"),
    ],
)
def test_names(builds: Builds, site: Site, path: str, dest: str, expected: str) -> None:
    for known in ("/dir/file.txt", "/dir/with%20blank", "/", "/dir/", ""):
        site.pages[known] = Page(b"data", headers={"Content-Disposition": "attachment; filename=other"})
    result = builds(f"FROM scratch\nADD {site.url}{path} {dest}\n")
    assert builds.files(result) == {expected: "data"}
    assert builds.history(result) == [f"ADD {site.url}{path} {dest} # buildkit"]


def test_mode_and_time(builds: Builds, site: Site) -> None:
    site.pages["/dated"] = Page(b"1", headers={"Last-Modified": LAST_MODIFIED})
    site.pages["/plain"] = Page(b"2")
    site.pages["/nonsense"] = Page(b"3", headers={"Last-Modified": "yesterday"})
    found = builds.entries(builds(f"FROM scratch\nADD {site.url}/dated {site.url}/plain {site.url}/nonsense /d/\n"))
    assert [(found[f"d/{name}"].mode, found[f"d/{name}"].mtime_ns) for name in ("dated", "plain", "nonsense")] == [
        (0o600, MTIME * 10**9),
        (0o600, 0),
        (0o600, 0),
    ]
    result = builds(f"FROM scratch\nADD --chmod=644 --chown=7:8 {site.url}/dated /d/\n")
    entry = builds.entries(result)["d/dated"]
    assert (entry.mode, entry.uid, entry.gid) == (0o644, 7, 8)


def test_urls_beside_files(builds: Builds, site: Site, tmp_path: Path) -> None:
    site.pages["/far"] = Page(b"far")
    context = tree(tmp_path / "context", {"near": "near", "dir/deep": "deep"})
    result = builds(f"FROM scratch\nADD near {site.url}/far dir /x/\n", context=context)
    assert builds.files(result) == {"x/near": "near", "x/far": "far", "x/deep": "deep"}


def test_variables(builds: Builds, site: Site) -> None:
    site.pages["/v2/file"] = Page(b"two")
    text = f"FROM scratch\nARG V=1\nARG SUM\nADD --checksum=$SUM {site.url}/v$V/file /\n"
    result = builds(text, build_args={"V": "2", "SUM": sha256(b"two")})
    assert builds.files(result) == {"file": "two"}


def test_what_has_not_changed_is_not_fetched_again(builds: Builds, site: Site) -> None:
    text = f"FROM scratch\nADD {site.url}/f /\n"
    site.pages["/f"] = Page(b"one", headers={"ETag": '"1"'})
    assert builds.statuses(builds(text))[1:] == ["ran", "ran"]
    assert builds.statuses(builds(text))[1:] == ["cached", "cached"]
    assert site.methods("/f") == ["GET", "HEAD"]
    site.pages["/f"] = Page(b"two", headers={"ETag": '"2"'})
    result = builds(text)
    assert (builds.files(result), builds.statuses(result)[1:]) == ({"f": "two"}, ["ran", "ran"])
    site.pages["/f"] = Page(b"two", headers={"ETag": '"3"'})
    assert builds.statuses(builds(text))[1:] == ["ran", "cached"], "the same bytes again: what stands on them stays"


def test_servers_without_head_or_tags(builds: Builds, site: Site) -> None:
    text = f"FROM scratch\nADD {site.url}/f /\n"
    site.pages["/f"] = Page(b"one", headers={"Last-Modified": LAST_MODIFIED}, head=False)
    builds(text)
    assert builds.statuses(builds(text))[1:] == ["cached", "cached"]
    assert site.methods("/f") == ["GET", "HEAD", "GET"]
    site.pages["/g"] = Page(b"one")
    builds(f"FROM scratch\nADD {site.url}/g /\n")
    assert builds.statuses(builds(f"FROM scratch\nADD {site.url}/g /\n"))[1:] == ["ran", "cached"]


def test_checksums(builds: Builds, site: Site) -> None:
    site.pages["/f"] = Page(b"one")
    text = f"FROM scratch\nADD --checksum={sha256(b'one')} {site.url}/f /\n"
    builds(text)
    site.pages.clear()
    assert builds.statuses(builds(text))[1:] == ["cached", "cached"], "what is known by its checksum needs no network"
    assert site.methods("/f") == ["GET"]
    site.pages["/f"] = Page(b"two")
    with pytest.raises(ContextError, match="digest mismatch") as failed:
        builds(f"FROM scratch\nADD --checksum={sha256(b'three')} {site.url}/f /\n")
    assert failed.value.span is not None
    assert failed.value.span.line == 2
    assert sha256(b"two") in str(failed.value)
    long = f"sha512:{hashlib.sha512(b'two').hexdigest()}"
    assert builds.files(builds(f"FROM scratch\nADD --checksum={long} {site.url}/f /\n")) == {"f": "two"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ADD --checksum=sha256:00 http://h/f /", "sha256 needs 64"),
        ("ADD --checksum=md5:00 http://h/f /", "unsupported algorithm"),
        ("ADD --checksum=sha256:" + "0" * 64 + " f /", "can't be specified for a local source"),
        ("ADD --checksum=sha256:" + "0" * 64 + " http://h/f http://h/g /", "multiple sources"),
        ("ADD http:///f /", "no host"),
        ("ADD http://h:port/f /", "port"),
        ("COPY http://h/f /", "source can't be a URL for COPY"),
        ("COPY git@h:f /", "source can't be a URL for COPY"),
    ],
)
def test_refused(builds: Builds, tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises((DockerfileError, DockerfileErrors), match=message) as failed:
        builds(f"FROM scratch\n{line}\n", context=tmp_path)
    assert "<Dockerfile>:2:" in str(failed.value) or "Dockerfile:2:" in str(failed.value)


def test_redirects(builds: Builds, site: Site) -> None:
    with website() as other:
        other.pages["/there"] = Page(b"there")
        site.pages["/a"] = Page(status=302, headers={"Location": "b"})
        site.pages["/b"] = Page(status=307, headers={"Location": f"{other.url}/there"})
        secrets = {f"HTTP_AUTH_TOKEN_{urlsplit(site.url).netloc}": Secret(value=b"secret\n")}
        result = builds(f"FROM scratch\nADD {site.url}/a /x/\n", secrets=secrets)
        assert builds.files(result) == {"x/a": "there"}
        assert [headers.get("authorization") for _, _, headers in site.asked] == ["Bearer secret"] * 2
        assert "authorization" not in other.asked[0][2], "a token goes to its own host only"
    site.pages["/loop"] = Page(status=302, headers={"Location": "/loop"})
    with pytest.raises(ContextError, match="redirects"):
        builds(f"FROM scratch\nADD {site.url}/loop /x\n")
    site.pages["/file"] = Page(status=302, headers={"Location": "file:///etc/passwd"})
    with pytest.raises(ContextError, match="no usable URL"):
        builds(f"FROM scratch\nADD {site.url}/file /x\n")


def test_authorization(builds: Builds, site: Site) -> None:
    site.pages["/f"] = Page(b"1")
    host = urlsplit(site.url).netloc
    builds(f"FROM scratch\nADD {site.url}/f /\n", secrets={f"HTTP_AUTH_HEADER_{host}": Secret(value=b"Custom x")})
    builds(f"FROM scratch\nADD http://me:pw@{host}/f /\n")
    found = [headers.get("authorization") for _, _, headers in site.asked]
    assert found == ["Custom x", "Basic bWU6cHc="]
    kept = " ".join(str(record) for record in builds.store.records.list() if record.key.startswith("url:"))
    assert "pw" not in kept
    assert "Custom" not in kept


def test_a_cut_download_goes_on(builds: Builds, site: Site) -> None:
    body = bytes(range(256)) * 4000
    site.pages["/ranges"] = Page(body, headers={"ETag": '"1"'}, cut=500_000, ranges=True)
    site.pages["/anew"] = Page(body, cut=500_000)
    for name in ("ranges", "anew"):
        result = builds(f"FROM scratch\nADD --checksum={sha256(body)} {site.url}/{name} /\n")
        assert builds.entries(result)[name].size == len(body)
    assert site.asked[1][2]["range"].startswith("bytes=")
    assert site.asked[1][2]["if-range"] == '"1"'


def test_a_download_that_changes_is_refused(builds: Builds, site: Site) -> None:
    page = Page(b"a" * 100_000, cut=50_000)
    site.pages["/f"] = page
    send = page.body

    class Changing(Page):
        @property
        def body(self) -> bytes:
            nonlocal send
            now, send = send, b"b" * 100_000
            return now

        @body.setter
        def body(self, _: bytes) -> None:
            pass

    site.pages["/f"] = Changing(cut=50_000)
    with pytest.raises(ContextError, match="changed while it was fetched"):
        builds(f"FROM scratch\nADD {site.url}/f /\n")


def test_failures(builds: Builds, site: Site) -> None:
    with pytest.raises(ContextError, match="404") as failed:
        builds(f"FROM scratch\nADD {site.url}/none /\n")
    assert failed.value.span is not None
    assert failed.value.span.line == 2
    site.pages["/always"] = Page(status=503)
    with pytest.raises(ContextError, match="503"):
        builds(f"FROM scratch\nADD {site.url}/always /\n")
    assert len(site.methods("/always")) == 4
    site.pages["/zipped"] = Page(b"x", headers={"Content-Encoding": "gzip"})
    with pytest.raises(ContextError, match="Content-Encoding"):
        builds(f"FROM scratch\nADD {site.url}/zipped /\n")
    builds.store.close()
    assert not list((builds.store.root / "scratch").iterdir()), "nothing of a failed download stays"


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("in/side")
        member.size, member.mtime, member.uid = 3, MTIME, 5
        tar.addfile(member, io.BytesIO(b"abc"))
    return buffer.getvalue()


def test_unpack(builds: Builds, site: Site, tmp_path: Path) -> None:
    site.pages["/a.tgz"] = Page(gzip.compress(archive()))
    (tmp_path / "context").mkdir()
    (tmp_path / "context/b.tar").write_bytes(archive())
    as_is = builds(f"FROM scratch\nADD {site.url}/a.tgz /x/\n")
    assert list(builds.files(as_is)) == ["x/a.tgz"]
    unpacked = builds(f"FROM scratch\nADD --unpack=true {site.url}/a.tgz /x/\n")
    assert builds.files(unpacked) == {"x/in/side": "abc"}
    assert builds.entries(unpacked)["x/in/side"].uid == 5
    both = builds(f"FROM scratch\nADD {site.url}/a.tgz b.tar /x/\n", context=tmp_path / "context")
    assert set(builds.files(both)) == {"x/a.tgz", "x/in/side"}, "of the context it is unpacked, of the web not"
    neither = builds(f"FROM scratch\nADD --unpack=false {site.url}/a.tgz b.tar /x/\n", context=tmp_path / "context")
    assert set(builds.files(neither)) == {"x/a.tgz", "x/b.tar"}


def test_what_was_fetched_goes_with_the_cache(builds: Builds, site: Site) -> None:
    from layers.home.collect import prune
    from layers.home.sizes import usage

    site.pages["/f"] = Page(b"x" * 100_000, headers={"ETag": '"1"'})
    result = builds(f"FROM scratch\nADD {site.url}/f /\n")
    root = builds.store.root
    builds.store.close()
    store = Store.open(root)
    assert usage(store).cache.total >= 2
    store.close()
    store = Store.open(root)
    prune(store, all=True, images=False)
    assert not [record for record in store.records.list() if record.key.startswith("url:")]
    assert len(list(store.blobs.all())) == 3, "only the image is left: manifest, config, layer"
    store.close()
    assert result.size > 0


def test_a_dry_run_asks_nobody(builds: Builds, site: Site) -> None:
    site.pages["/f"] = Page(b"x", headers={"ETag": '"1"'})
    text = f"FROM scratch\nADD {site.url}/f /\n"
    assert builds.foreseen(text) == ["hit", "fetch", "miss"]
    builds(text)
    site.asked.clear()
    assert builds.foreseen(text) == ["hit", "hit", "hit"]
    assert not site.asked
