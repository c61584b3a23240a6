"""ADD of git repositories: names, directories, commits, submodules, `.git`, secrets, and nothing of this machine."""

import os
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from shutil import copyfile

import pytest

from builder.errors import Cancelled, ContextError, DockerfileError
from builder.secrets import Secret
from builder.sources.git import PACKS
from layers import Store
from layers.home.caches import Caches
from tests.support.building import Builds, tree
from tests.support.soon import soon
from tests.support.web import MTIME, Site, git, repository


@pytest.fixture
def builds(tmp_path: Path) -> Iterator[Builds]:
    with Store.open(tmp_path / "store") as store:
        yield Builds(store)


def fill(folder: Path) -> None:
    tree(
        folder, {"a": "a", "dir/b": "b", "tool": "#!/bin/sh\n", ".gitattributes": "*.txt eol=crlf\n", "t.txt": "1\n2\n"}
    )
    (folder / "tool").chmod(0o755)
    (folder / "link").symlink_to("dir/b")


@pytest.fixture
def commit(tmp_path: Path) -> str:
    """One repository `app.git` with a tag, an annotated tag, two branches and something else in the second commit."""
    folder = tmp_path / "repositories/app.git"
    first = repository(folder, fill)
    git(folder, "tag", "light")
    git(folder, "tag", "--annotate", "--message=x", "v1")
    git(folder, "checkout", "--quiet", "-b", "other/branch")
    tree(folder, {"a": "other"})
    git(folder, "commit", "--quiet", "--all", "--message=second")
    git(folder, "branch", "light")  # a branch wins over a tag of its name
    git(folder, "checkout", "--quiet", "main")
    return first


def test_files(builds: Builds, site: Site, commit: str) -> None:
    result = builds(f"FROM scratch\nADD {site.url}/git/app.git /src\n")
    found = builds.entries(result)
    assert builds.files(result) == {
        "src/.gitattributes": "*.txt eol=crlf\n",
        "src/a": "a",
        "src/dir/b": "b",
        "src/t.txt": "1\r\n2\r\n",
        "src/tool": "#!/bin/sh\n",
    }
    assert found["src/link"].linkname == "dir/b"
    assert [oct(found[f"src/{name}"].mode) for name in ("a", "tool", "dir")] == ["0o644", "0o755", "0o755"]
    assert {entry.mtime_ns for entry in found.values() if entry.path != "src"} == {MTIME * 10**9}
    assert {(entry.uid, entry.gid) for entry in found.values()} == {(0, 0)}
    assert builds.history(result) == [f"ADD {site.url}/git/app.git /src # buildkit"]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("#main", "a"),
        ("#v1", "a"),
        ("#refs/tags/light", "a"),
        ("#light", "other"),
        ("#other/branch", "other"),
        ("?branch=other/branch", "other"),
        ("?tag=light", "a"),
        ("?ref=heads/other/branch", "other"),
    ],
)
def test_names(builds: Builds, site: Site, commit: str, end: str, expected: str) -> None:
    assert builds.files(builds(f"FROM scratch\nADD {site.url}/git/app.git{end} /\n"))["a"] == expected


def test_commits(builds: Builds, site: Site, commit: str) -> None:
    text = f"FROM scratch\nADD {site.url}/git/app.git#{commit}:dir /\n"
    assert builds.files(builds(text)) == {"b": "b"}
    asked = len(site.asked)
    assert builds.statuses(builds(text))[1:] == ["cached", "cached"]
    assert len(site.asked) == asked, "a commit that is here needs no network"
    for end, flag in (
        (f"?tag=v1&commit={commit}", ""),
        ("#v1", f"--checksum={commit} "),
        ("?tag=v1&checksum=" + commit[:8], ""),
    ):
        assert builds.files(builds(f"FROM scratch\nADD {flag}{site.url}/git/app.git{end} /\n"))["a"] == "a"
    with pytest.raises(ContextError, match="expected the commit") as failed:
        builds(f"FROM scratch\nADD --checksum={commit} {site.url}/git/app.git#other/branch /\n")
    assert failed.value.span is not None
    assert failed.value.span.line == 2
    with pytest.raises(DockerfileError, match="conflicts"):
        builds(f"FROM scratch\nADD --checksum={'0' * 40} {site.url}/git/app.git?commit={commit} /\n")


def test_a_branch_that_moved_is_fetched_anew(builds: Builds, site: Site, commit: str, tmp_path: Path) -> None:
    text = f"FROM scratch\nADD {site.url}/git/app.git#main /\n"
    builds(text)
    assert builds.statuses(builds(text))[1:] == ["cached", "cached"]
    folder = tmp_path / "repositories/app.git"
    tree(folder, {"a": "new"})
    git(folder, "commit", "--quiet", "--all", "--message=new")
    result = builds(text)
    assert (builds.files(result)["a"], builds.statuses(result)[1:]) == ("new", ["ran", "ran"])


def test_git_directories(builds: Builds, site: Site, commit: str, tmp_path: Path) -> None:
    url = site.url.replace("http://", "http://me:pw@") + "/git/app.git"
    for flag, end in (("--keep-git-dir", "#main"), ("", "?keep-git-dir=true&branch=main")):
        result = builds(f"FROM scratch\nADD {flag} {url}{end} /src\n")
        files = builds.files(result)
        assert files["src/.git/HEAD"] == "ref: refs/heads/main\n"
        assert "pw" not in files["src/.git/config"]
        assert "me:xxxxx@" in files["src/.git/config"]
        assert not [path for path in files if path.startswith(("src/.git/hooks/", "src/.git/logs"))]
    copy = tmp_path / "copy"
    for path, entry in builds.entries(result).items():
        place = copy / path
        match entry.type.value:
            case "dir" | "directory":
                place.mkdir(parents=True)
            case "symlink":
                place.symlink_to(entry.linkname)
            case _:
                place.write_bytes(files[path].encode("latin-1"))
                place.chmod(entry.mode)
    assert git(copy / "src", "status", "--porcelain") == ""
    assert git(copy / "src", "rev-parse", "HEAD") == commit
    with Store.open(tmp_path / "other") as store:
        again = Builds(store)
        twin = again(f"FROM scratch\nADD --keep-git-dir {url}#main /src\n")
        assert again.files(twin) == files, "the same bytes on another machine"


def test_submodules(builds: Builds, site: Site, commit: str, tmp_path: Path) -> None:
    outer = tmp_path / "repositories/outer.git"
    repository(outer, lambda folder: tree(folder, {"x": "x"}))
    git(
        outer,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        str(tmp_path / "repositories/app.git"),
        "sub",
    )
    git(outer, "config", "--file=.gitmodules", "submodule.sub.url", "../app.git")
    git(outer, "commit", "--quiet", "--all", "--message=sub")
    url = f"{site.url}/git/outer.git"
    assert set(builds.files(builds(f"FROM scratch\nADD {url} /\n"))) >= {"x", "sub/a", "sub/dir/b", ".gitmodules"}
    assert set(builds.files(builds(f"FROM scratch\nADD {url}?submodules=0 /\n"))) == {"x", ".gitmodules"}
    git(outer, "config", "--file=.gitmodules", "submodule.sub.url", str(tmp_path / "repositories/app.git"))
    git(outer, "commit", "--quiet", "--all", "--message=local")
    with pytest.raises(ContextError, match="not allowed"):
        builds(f"FROM scratch\nADD {url} /\n")


def test_servers_that_serve_files_only(builds: Builds, site: Site, commit: str, tmp_path: Path) -> None:
    folder = tmp_path / "repositories/app.git/.git"
    git(folder, "update-server-info")
    from tests.support.web import Page

    for path in folder.rglob("*"):
        if path.is_file():
            site.pages[f"/dumb/app.git/{path.relative_to(folder)}"] = Page(path.read_bytes())
    for end in ("#main", f"#{commit}"):
        assert builds.files(builds(f"FROM scratch\nADD {site.url}/dumb/app.git{end} /\n"))["a"] == "a"


def test_secrets(builds: Builds, site: Site, commit: str) -> None:
    host = site.url.removeprefix("http://")
    text = f"FROM scratch\nADD {site.url}/git/app.git /\n"
    builds(
        text, secrets={"GIT_AUTH_TOKEN": Secret(value=b"all\n"), f"GIT_AUTH_HEADER.{host}": Secret(value=b"Custom 1")}
    )
    assert {headers.get("authorization") for _, _, headers in site.asked} == {"Custom 1"}
    site.asked.clear()
    builds(text, secrets={"GIT_AUTH_TOKEN": Secret(value=b"all\n")})
    assert {headers.get("authorization") for _, _, headers in site.asked} == {"basic eC1hY2Nlc3MtdG9rZW46YWxs"}
    assert "Custom" not in repr(builds.store.records.list())


def test_nothing_of_this_machine_counts(
    builds: Builds, site: Site, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    (hooks / "post-checkout").chmod(0o755)
    (tmp_path / "gitconfig").write_text(
        f"[core]\n\thooksPath = {hooks}\n\tautocrlf = true\n[init]\n\ttemplateDir = {hooks}\n"
    )
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, str(tmp_path / "gitconfig"))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert builds.files(builds(f"FROM scratch\nADD {site.url}/git/app.git /\n"))["a"] == "a"
    assert not (tmp_path / "hooked").exists()


def test_failures(builds: Builds, site: Site, commit: str) -> None:
    with pytest.raises(ContextError, match="does not contain ref nope") as failed:
        builds(f"FROM scratch\nADD {site.url}/git/app.git#nope /\n")
    assert failed.value.span is not None
    with pytest.raises(ContextError, match="ls-remote failed"):
        builds(f"FROM scratch\nADD {site.url}/git/none.git /\n")
    with pytest.raises(ContextError, match="is no directory"):
        builds(f"FROM scratch\nADD {site.url}/git/app.git#main:a /\n")
    with pytest.raises(ContextError, match="is no directory"):
        builds(f"FROM scratch\nADD {site.url}/git/app.git#main:link /\n")
    with pytest.raises(ContextError, match="git fetch failed"):
        builds(f"FROM scratch\nADD {site.url}/git/app.git#{'1' * 40} /\n")
    with pytest.raises(ContextError, match="no agent was given"):
        builds("FROM scratch\nADD git@127.0.0.1:app.git /\n")
    builds.store.close()
    assert not list((builds.store.root / "scratch").iterdir())


def test_ssh_is_given_the_agent_and_nothing_else(
    builds: Builds, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for ssh that runs git's own server side, and writes down how it was called."""
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$SSH_AUTH_SOCK" "$@" > {tmp_path}/called\n'
        f'for last; do :; done\ncd {tmp_path}/repositories && exec sh -c "$last"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for address in ("git@127.0.0.1:app.git", f"ssh://git@127.0.0.1:22/{tmp_path}/repositories/app.git"):
        result = builds(f"FROM scratch\nADD {address}#main:dir /\n", agents={"default": tmp_path / "agent"})
        assert builds.files(result) == {"b": "b"}
        called = (tmp_path / "called").read_text()
        assert called.startswith(f"{tmp_path}/agent ")
        assert "-F /dev/null -o BatchMode=yes" in called
        assert "git@127.0.0.1" in called


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_gits_own_protocol(builds: Builds, commit: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--export-all", "--listen=127.0.0.1", f"--port={port}", f"--base-path={tmp_path}/repositories"]
    with subprocess.Popen(["/usr/lib/git-core/git-daemon", *words]) as daemon:
        try:
            assert soon(partial(answers, port))
            result = builds(f"FROM scratch\nADD git://127.0.0.1:{port}/app.git#v1:dir /\n")
        finally:
            daemon.terminate()
    assert builds.files(result) == {"b": "b"}


def test_a_server_that_says_nothing_can_be_left(builds: Builds) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(Cancelled):
            builds(f"FROM scratch\nADD http://127.0.0.1:{port}/a.git /\n", stop=stop)
    mine = b"GIT_CONFIG_GLOBAL=" + os.fsencode(builds.store.root)
    assert soon(lambda: not [path for path in Path("/proc").glob("[0-9]*/environ") if mine in read(path)]), (
        "git is gone"
    )


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def kept(builds: Builds) -> list[Path]:
    """The repositories that are kept."""
    return [one.path / "data" for one in Caches(builds.store).all() if one.name.startswith("git ")]


def objects(repository: Path) -> list[int]:
    """How many files each of its packs has."""
    indexes = repository.glob("objects/pack/*.idx")
    return sorted(git(repository, "verify-pack", "--verbose", str(one)).count(" blob ") for one in indexes)


def test_only_what_is_new_is_sent(builds: Builds, site: Site, commit: str, tmp_path: Path) -> None:
    folder = tmp_path / "repositories/app.git"
    text = f"FROM scratch\nADD {site.url}/git/app.git#main /\n"
    builds(text)
    (repository,) = kept(builds)
    assert objects(repository) == [6]
    tree(folder, {"a": "new"})
    git(folder, "commit", "--quiet", "--all", "--message=new")
    assert builds.files(builds(text))["a"] == "new"
    assert objects(repository) == [1, 6]
    assert any("upload-pack" in path for method, path, _ in site.asked if method == "POST")
    site.asked.clear()
    builds(f"FROM scratch\nADD {site.url}/git/app.git?commit={git(folder, 'rev-parse', 'HEAD')}&subdir=dir /\n")
    assert not any("upload-pack" in path for method, path, _ in site.asked if method == "POST")


def test_a_kept_repository_that_is_broken_is_left(builds: Builds, site: Site, commit: str, tmp_path: Path) -> None:
    builds(f"FROM scratch\nADD {site.url}/git/app.git#main /\n")
    for pack in kept(builds)[0].glob("objects/pack/*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"")
    assert builds.files(builds(f"FROM scratch\nADD {site.url}/git/app.git#main:dir /\n")) == {"b": "b"}
    assert not kept(builds)
    builds(f"FROM scratch\nADD {site.url}/git/app.git#light /\n")
    assert len(kept(builds)) == 1


def test_what_a_token_opened_is_kept_for_it_alone(builds: Builds, site: Site, commit: str) -> None:
    text = f"FROM scratch\nADD {site.url}/git/app.git#light:dir /\n"
    builds(text)
    builds(text.replace("dir", ""), secrets={"GIT_AUTH_TOKEN": Secret(value=b"mine")})
    assert len(kept(builds)) == 2
    assert not any(b"mine" in one.read_bytes() for place in kept(builds) for one in place.rglob("config"))
    Caches(builds.store).drop(builds.store.root / "scratch", None)
    assert not kept(builds)


def test_many_packs_become_one(builds: Builds, site: Site, commit: str, tmp_path: Path) -> None:
    folder = tmp_path / "repositories/app.git"
    text = f"FROM scratch\nADD {site.url}/git/app.git#main /\n"
    builds(text)
    (repository,) = kept(builds)
    (pack,) = repository.glob("objects/pack/*.pack")
    for number in range(PACKS):
        for part in (pack, pack.with_suffix(".idx")):
            copyfile(part, part.with_stem(f"pack-{number:040x}"))
    tree(folder, {"a": "new"})
    git(folder, "commit", "--quiet", "--all", "--message=new")
    assert builds.files(builds(text))["a"] == "new"
    assert len(objects(repository)) == 1
