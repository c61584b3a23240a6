"""diff, blame, history --layers and explore, as a person uses them on images and containers of a real store."""

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layers import Store
from tests.support.command import Pybuild

DOCKERFILE = """FROM scratch
COPY a /data/a
COPY tree /data/
# a comment, so that lines and steps count differently
COPY --chmod=700 a /data/a
ENV A=1
COPY a /b
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pybuild]:
    """A store with the image `app`."""
    folder = tmp_path_factory.mktemp("app")
    context = folder / "context"
    (context / "tree" / "sub").mkdir(parents=True)
    (context / "a").write_bytes(b"x" * 2_000_000)
    (context / "tree" / "sub" / "line\nbreak\x1b[2J").write_bytes(b"odd\n")
    (context / "tree" / os.fsdecode(b"\xff")).write_bytes(b"1")
    (context / "Dockerfile").write_text(DOCKERFILE)
    pybuild = Pybuild(folder / "store")
    pybuild.build(context, "-t", "app")
    yield pybuild


def rows(pybuild: Pybuild, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in pybuild.text(*words, "--format", "json").splitlines()]


def test_diff_tells_why_and_of_what_is_stored_twice(app: Pybuild) -> None:
    done = app("diff", "--reasons", "app@3")
    assert done.stdout == "C /data/a  (mode 0644 -> 0700)\n"
    assert done.stderr.startswith("note: 1 file is here a second time, 2MB, for another mode or owner only\nhelp: ")
    assert "a second time" in app("diff", "app@3").stderr
    assert app("diff", "app").stdout == "A /b\n"
    assert not app("diff", "app").stderr
    assert not app("diff", "app", "app@3").stderr, "what is taken away repeats nothing"
    (row,) = rows(app, "diff", "app@3")
    assert row == {
        "Kind": "C",
        "Path": "/data/a",
        "Reasons": ["mode"],
        "Words": {"mode": "0644 -> 0700"},
        "Old": 2_000_000,
        "New": 2_000_000,
    }
    template = '{{.Kind}} {{.Path}} {{join .Reasons ","}} {{.Old}}'
    assert app.text("diff", "--format", template, "app@3", "app@2") == "C /data/a mode 2000000"


def test_odd_names_stay_in_their_line_and_are_exact_in_json(app: Pybuild) -> None:
    assert app.text("diff", "--ignore", "mtime", "app@1", "app@2").splitlines() == [
        "A /data/sub",
        'A "/data/sub/line\\nbreak\\033[2J"',
        'A "/data/\\377"',
    ]
    paths = [row["Path"] for row in rows(app, "diff", "app@1", "app@2") if row["Kind"] == "A"]
    assert paths == ["/data/sub", "/data/sub/line\nbreak\x1b[2J", os.fsdecode(b"/data/\xff")]
    raw = app.text("diff", "--ignore", "mtime", "--format", "{{.Path}}", "app@1", "app@2")
    assert os.fsencode(raw) == b"/data/sub\n/data/sub/line\nbreak\x1b[2J\n/data/\xff"
    assert '"/data/\\377"' in app.text("blame", "app", "/data/[^a-z]*")
    assert 'A        4B      │   └── "line\\nbreak\\033[2J"' in app.text("explore", "--layer", "2", "--tree", "app")


def test_diff_exits_and_ignores(app: Pybuild) -> None:
    assert app("diff", "--exit-code", "app@2", "app@3", code=1).stdout == "C /data/a\n"
    assert app("diff", "--exit-code", "--ignore", "mode,mtime", "app@2", "app@3").stdout == ""
    assert app("diff", "--exit-code", "app", "app").stdout == ""
    assert "--ignore colour" in app("diff", "--ignore", "colour", "app", code=2).stderr
    assert "choose one" in app("diff", "--stat", "-p", "app", code=2).stderr


def test_diff_counts(app: Pybuild) -> None:
    assert [line.split() for line in app.text("diff", "--stat", "--ignore", "mtime", "app@1", "app").splitlines()] == [
        ["DIRECTORY", "ADDED", "BYTES", "DELETED", "BYTES", "CHANGED", "BYTES"],
        ["/", "1", "2MB", "0", "0B", "0", "0B"],
        ["/data/", "3", "5B", "0", "0B", "1", "2MB"],
        ["total", "4", "2MB", "0", "0B", "1", "2MB"],
    ]
    assert app.text("diff", "--stat", "--ignore", "mtime", "app@2", "app@1").splitlines()[1].split() == [
        "/data/",
        "0",
        "0B",
        "3",
        "5B",
        "0",
        "0B",
    ]


def test_diff_of_layers_bundles_and_directories(app: Pybuild, tmp_path: Path) -> None:
    layers = [row["DiffID"] for row in rows(app, "history", "--layers", "--no-trunc", "app") if row["DiffID"]]
    newest, chmod = layers[0], layers[1]
    assert app.text("diff", newest) == app.text("diff", newest[:19]) == app.text("diff", newest[7:19]) == "A /b"
    assert app("diff", chmod).stdout == "C /data/a\n", "beside what is below it in the image"
    assert app.text("diff", chmod, newest).splitlines() == ["A /b", "D /data"]
    assert "no container, image" in app("diff", newest[7:18], code=2).stderr
    app("save", "-o", tmp_path / "app.tar", "app")
    here = tmp_path / "here"
    (here / "rootfs" / "data" / "sub").mkdir(parents=True)
    (here / "rootfs" / "b").write_bytes(b"x" * 2_000_000)
    for place in ("./here", "here", "./here/rootfs", str(here)):
        done = app("diff", "--ignore", "mode,owner,mtime", "app", place, cwd=tmp_path)
        assert done.stdout.splitlines() == ["D /data/a", 'D "/data/sub/line\\nbreak\\033[2J"', 'D "/data/\\377"']
    (here / "config.json").write_text(json.dumps({"ociVersion": "1.0.2", "root": {"path": "other"}}))
    shutil.copytree(here / "rootfs" / "data", here / "other" / "data")
    assert app("diff", "app@1", "here", cwd=tmp_path).stdout.splitlines()[-2:] == ["D /data/a", "A /data/sub"]
    (here / "config.json").write_text(json.dumps({"ociVersion": "1.0.2", "root": {"path": "../.."}}))
    assert "lies outside of it" in app("diff", "app", "here", cwd=tmp_path, code=2).stderr
    (here / "config.json").unlink()
    assert "written ./rootfs" in app("diff", "app", "rootfs", cwd=here, code=2).stderr
    assert "name a second thing" in app("diff", "./here", cwd=tmp_path, code=2).stderr
    assert "is no directory" in app("diff", "app", "./nothing", cwd=tmp_path, code=2).stderr
    assert "did you mean app:latest?" in app("diff", "app:latst", code=2).stderr
    assert "there is no layer 9" in app("diff", "app@9", code=2).stderr


def test_diff_finds_a_layer_by_the_digest_it_travels_under(app: Pybuild) -> None:
    with Store.open(app.root) as store:
        base = store.images.get("app").config.diff_ids[0]
        blob = store.variants.compress(base, "gzip").digest
    for name in (str(blob), blob.short):
        assert app("diff", name).stdout == "A /data\nA /data/a\n"
    sizes = [row["Compressed"] for row in rows(app, "history", "app")]
    assert sizes[:-1] == [""] * 4
    assert sizes[-1].endswith("kB")
    config = json.loads(app.text("inspect", "app"))[0]["Id"]
    assert app("diff", config).stdout == "A /b\n", "the id of an image is no layer"


def test_blame(app: Pybuild) -> None:
    (row,) = rows(app, "blame", "app", "/data/a")
    assert (row["Kind"], row["Layer"], row["Line"], row["Size"]) == ("C", 3, "Dockerfile:5", 2_000_000)
    assert row["CreatedBy"] == "COPY --chmod=700 a /data/a # buildkit"
    with open(row["Blob"], "rb") as tar:
        tar.seek(row["Offset"])
        assert tar.read(row["Length"]) == b"x" * 2_000_000
    table = app.text("blame", "--all", "app", "data//a").splitlines()
    assert [line.split()[:3] for line in table[1:]] == [["C", "/data/a", "3"], ["A", "/data/a", "1"]]
    told = app.text("blame", "app", "/data").splitlines()
    assert [line.split()[:3] for line in told[1:]] == [
        ["1C", "/data/", "3"],
        ["3A", "/data/", "2"],
        ["2A", "/data/", "1"],
    ]
    assert [row["Path"] for row in rows(app, "blame", "app", "**/[ab]")] == ["/b", "/data/a"]
    assert "no layer of app ever had /nothing" in app("blame", "app", "/nothing", code=1).stderr
    assert "anything like" in app("blame", "app", "/x*", code=1).stderr
    assert len(app.text("blame", "app", "/").splitlines()) == 5


def test_history_with_layers(app: Pybuild) -> None:
    table = app.text("history", "--layers", "app").splitlines()
    assert table[0].split()[-3:] == ["DIGEST", "COMPRESSED", "DOCKERFILE:LINE"]
    lines = [row["Line"] for row in rows(app, "history", "--layers", "app")]
    assert lines == ["Dockerfile:7", "", "Dockerfile:5", "Dockerfile:3", "Dockerfile:2"]
    assert "DIGEST" not in app.text("history", "app")


def test_a_line_that_moved_is_told_anew_though_its_step_is_cached(pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    for head in ("", "# a\n# b\n"):
        (tmp_path / "Dockerfile").write_text(f"{head}FROM scratch\nCOPY f /\n")
        pybuild.build(tmp_path, "-t", "app")
        assert rows(pybuild, "blame", "app", "/f")[0]["Line"] == f"Dockerfile:{2 + head.count('#')}"


def test_explore(app: Pybuild, tmp_path: Path) -> None:
    report = app.text("explore", "app")
    table = [line.split()[2:4] for line in report.splitlines()[1:5]]
    assert table == [["2MB", "2MB"], ["5B", "0B"], ["2MB", "0B"], ["2MB", "0B"]]
    assert "hidden: 2MB of 6MB (50.0 % of what is above the first layer)" in report
    assert "wasted as dive counts: 4MB" in report
    document = json.loads(app.text("explore", "--json", "-", "app"))
    assert [layer["command"] for layer in document["layer"]][2] == "COPY --chmod=700 a /data/a # buildkit"
    assert document["image"]["inefficientBytes"] == 4_000_000
    assert document["image"]["hiddenBytes"] == 2_000_000
    app("explore", "--json", tmp_path / "out.json", "app")
    assert json.loads((tmp_path / "out.json").read_text()) == document
    app("explore", "--html", tmp_path / "app.html", "app")
    assert '"4 COPY a /b # buildkit",2000000,0,' in (tmp_path / "app.html").read_text()
    assert app.text("explore", "--top", "1", "app").splitlines()[1].split() == ["2MB", "4", "/b"]
    assert app.text("explore", "--find", "**/a", "app").splitlines()[1].split() == [
        "1",
        "3",
        "2MB",
        "Dockerfile:5",
        "/data/a",
    ]
    assert app.text("explore", "--layer", "3", "--tree", "app").splitlines() == [
        "             /",
        "             └── data/",
        "M       2MB      └── a",
    ]
    assert "there is no layer 9" in app("explore", "--layer", "9", "--tree", "app", code=2).stderr
    assert "choose one" in app("explore", "--ci", "--top", "3", "app", code=2).stderr
    assert "belong together" in app("explore", "--tree", "app", code=2).stderr


def test_explore_judges(app: Pybuild, tmp_path: Path) -> None:
    failed = app("explore", "--ci", "app", cwd=tmp_path, code=1).stdout
    assert "Using default CI config" in failed
    assert "Result:FAIL [Total:3] [Passed:0] [Failed:2] [Warn:0] [Skipped:1]" in failed
    easy = ["--lowest-efficiency", "0.5", "--highestUserWastedPercent", "disabled", "--highest-wasted-bytes", "4MB"]
    assert "[Passed:2]" in app("explore", "--ci", *easy, "app", cwd=tmp_path).stdout
    (tmp_path / ".dive-ci").write_text("rules:\n  lowestEfficiency: 0.5\n  highestUserWastedPercent: disabled\n")
    assert "Using CI config: .dive-ci" in app("explore", "--ci", "app", cwd=tmp_path).stdout
    app("explore", "--ci", "--lowest-efficiency", "0.99", "app", cwd=tmp_path, code=1)
    (tmp_path / "bad").write_text("rules:\n  lowest: 1\n")
    assert "bad:2: there is no rule" in app("explore", "--ci", "--ci-config", "bad", "app", cwd=tmp_path, code=2).stderr
    assert "rules are for --ci" in app("explore", "--lowest-efficiency", "1", "app", code=2).stderr


@pytest.mark.root
def test_a_container_is_read_where_it_lies(shared_pybuild: Pybuild) -> None:
    script = "echo new > /new; chmod 700 /bin/busybox; rm -r /var; mkdir -p /home/x; echo root:x:0:0::/: > /etc/passwd"
    shared_pybuild("run", "--name", "busy", "busybox", "sh", "-c", script)
    before = {path for path in (shared_pybuild.root / "blobs").rglob("*") if path.is_file()}
    done = shared_pybuild("diff", "--reasons", "busy")
    told = dict(line.partition("  ")[::2] for line in done.stdout.splitlines())
    assert told["A /new"] == ""
    assert told["C /bin/busybox"] == "(mode 0755 -> 0700)"
    assert told["D /var"] == ""
    assert told["C /etc/passwd"].startswith("(content ")
    assert "a second time" in done.stderr
    patch = shared_pybuild.text("diff", "-p", "busy")
    assert "+++ b/new\n@@ -0,0 +1 @@\n+new" in patch
    assert "+root:x:0:0::/:" in patch
    assert "old mode 100755" not in patch, "of 0755 and 0700 git knows no difference"
    quiet = shared_pybuild.text("diff", "--ignore", "mtime,mode", "busy").splitlines()
    assert "C /bin/busybox" not in quiet
    assert "C /etc/passwd" in quiet
    assert set(shared_pybuild.text("diff", "busybox", "busy").splitlines()) <= set(told)
    assert shared_pybuild.text("diff", "--stat", "busy").splitlines()[-1].startswith("total")
    assert {path for path in (shared_pybuild.root / "blobs").rglob("*") if path.is_file()} == before
    shared_pybuild("rm", "busy")


def test_json_is_json_whatever_bytes_a_command_has(shared_pybuild: Pybuild) -> None:
    made = shared_pybuild.text("create", "busybox", "echo", os.fsdecode(b"\xff\xfe"))
    try:
        told = subprocess.check_output(shared_pybuild.command("inspect", made), env=shared_pybuild.environment)
        assert json.loads(told.decode())[0]["Args"] == ["\udcff\udcfe"]
        assert "\ufffd\ufffd" in shared_pybuild.text("ps", "-a", "--filter", f"id={made}")
    finally:
        shared_pybuild("rm", made)


@pytest.mark.root
def test_files_are_copied_out_of_an_image(app: Pybuild, tmp_path: Path) -> None:
    before = app.text("ps", "-aq")
    app("cp", "app:/b", tmp_path / "b")
    app("cp", "app:latest:/data", tmp_path / "data")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "data/a").read_bytes()
    assert (tmp_path / "data/a").stat().st_mode & 0o777 == 0o700
    with tarfile.open(fileobj=io.BytesIO(app("cp", "app:/data", "-").stdout.encode("utf-8", "surrogateescape"))) as tar:
        assert "data/a" in tar.getnames()
    assert "/absent: no such file" in app("cp", "app:/absent", tmp_path, code=1).stderr
    assert "no such container: absent" in app("cp", "absent:/a", tmp_path, code=1).stderr
    assert "no such container: app" in app("cp", tmp_path / "b", "app:/b", code=1).stderr
    assert app.text("ps", "-aq") == before
