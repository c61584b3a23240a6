"""Git repositories: what a name in one is, and the files of a commit as a layer.

The git program runs in a world of its own: no configuration of this machine or user, no hooks, filters, credential
helpers or questions, only the protocols http, https, ssh and git, and what is secret in a file that only it reads.
Files have the time of the commit and modes 0644 or 0755, so one commit is one layer.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile, rmtree
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from builder.errors import ContextError
from builder.sources.gitref import GitSource
from builder.sources.gitworld import CONFIG, communicate, ended, environment, quoted
from builder.sources.walked import layer_of
from layers import Digest, Entry, EntryType
from layers.quick import replace

if TYPE_CHECKING:
    from builder.secrets import Secret
    from layers import NewLayer, Store

KEPT = "kept"
"""What git calls the remote in a repository that is kept; its address, which may hold a password, is not kept there."""
PACKS = 20
"""More packs than this are made one."""
TOLD = 2000
"""Characters of git's own message that are told."""
HEADERS = ("GIT_AUTH_HEADER.{host}", "GIT_AUTH_TOKEN.{host}", "GIT_AUTH_HEADER", "GIT_AUTH_TOKEN")
"""Secrets that may open a repository, the first that was given counts."""
COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


class Repository:
    """A repository elsewhere, and a place here where some of it comes to; made by `opened`."""

    def __init__(
        self, folder: Path, source: GitSource, agent: Path | None, stop: threading.Event, header: str = ""
    ) -> None:
        self.source = source
        self.tree = folder / "tree"
        self.stop = stop
        self.header = header
        self._folder = folder
        self._environment = environment(folder, agent)

    def resolve(self) -> tuple[str, str]:
        """(commit, full name of the ref that it has, "" for none). Raises ContextError."""
        source = self.source
        if COMMIT.fullmatch(source.ref):
            commit, name = source.ref, ""
        else:
            commit, name = self._ask(source.ref)
        if not commit.startswith(source.commit):
            what = f"{source.shown}: expected the commit {source.commit}, got {commit} for {source.ref or 'HEAD'}"
            raise ContextError(what, help="the branch or tag moved: check what changed, then write the new commit")
        return commit, name

    def fetch(self, commit: str, name: str) -> None:
        """Bring a commit and its files. Raises ContextError."""
        self._init(len(commit))
        self._bring(f"+{name}:{name}" if name else commit, commit)
        self._check_out(commit)

    def borrow(self, kept: Path, commit: str, name: str) -> None:
        """As `fetch`, by way of a bare repository that keeps what it has brought. Raises ContextError."""
        if not self._has(commit, kept):
            self._bring(f"+{name or commit}:{name or f'refs/commits/{commit}'}", commit, at=kept, remote=KEPT)
        if len(list(kept.glob("objects/pack/*.pack"))) > PACKS:
            self.git("repack", "-a", "-d", "--quiet", at=kept)
        self._init(len(commit))
        (self.tree / ".git/objects/info/alternates").write_text(f"{kept}/objects\n")
        if (kept / "shallow").exists():
            copyfile(kept / "shallow", self.tree / ".git/shallow")
        self._check_out(commit)

    def begin(self, kept: Path, length: int) -> None:
        """Make a bare repository for commits of so many digits. Raises ContextError."""
        self.git("init", "--quiet", "--bare", format_of(length), str(kept), at=self._folder)

    def when(self, commit: str) -> int:
        """The time of a commit in seconds since the epoch."""
        return max(int(self.git("show", "-s", "--format=%ct", commit).split()[-1]), 0)

    def settle(self, name: str) -> None:
        """Let `.git` be the same each time, and hold no secret."""
        git = self.tree / ".git"
        if name.startswith("refs/heads/"):
            self.git("symbolic-ref", "HEAD", name)
        (git / "index").unlink(missing_ok=True)
        self.git("read-tree", "HEAD")
        for leaving in ("FETCH_HEAD", "ORIG_HEAD", "COMMIT_EDITMSG"):
            (git / leaving).unlink(missing_ok=True)
        rmtree(git / "logs", ignore_errors=True)
        secret = urlsplit(self.source.remote).netloc.rpartition("@")[0] if "://" in self.source.remote else ""
        if secret:
            hidden = urlsplit(self.source.shown).netloc.rpartition("@")[0]
            for config in git.rglob("config"):
                config.write_text(config.read_text().replace(f"//{secret}@", f"//{hidden}@"))

    # -- inside ----------------------------------------------------------------------------------

    def _init(self, length: int = 40) -> None:
        if not self.tree.exists():
            self.git("init", "--quiet", format_of(length), str(self.tree), at=self._folder)
            with (self.tree / ".git/config").open("a") as config:
                config.write(f'[remote "origin"]\n\turl = "{quoted(self.source.remote)}"\n')

    def _ask(self, ref: str) -> tuple[str, str]:
        """The commit of a branch, a tag or the default branch, by the rules of git-checkout."""
        if not ref:
            lines = self._remote("--symref", "HEAD")
            name = next((line.split()[1] for line in lines if line.startswith("ref: ")), "")
            commit = next((line.split()[0] for line in lines if line.endswith("\tHEAD")), "")
        else:
            found = {
                name: commit for commit, _, name in (line.partition("\t") for line in self._remote(ref, f"{ref}^{{}}"))
            }
            head, tag = f"refs/heads/{ref.removeprefix('refs/heads/')}", f"refs/tags/{ref.removeprefix('refs/tags/')}"
            ways = ((head, head), (f"{tag}^{{}}", tag), (tag, tag), (f"refs/{ref.removeprefix('refs/')}",) * 2)
            commit, name = next(((found[at], name) for at, name in ways if at in found), ("", ""))
        if not COMMIT.fullmatch(commit):
            what = f"{self.source.shown}: repository does not contain ref {ref or 'HEAD'}"
            raise ContextError(what, help="write a branch, a tag, or all forty digits of a commit")
        return commit, name

    def _remote(self, *patterns: str) -> list[str]:
        self._ask_config()
        return self.git("ls-remote", "origin", *patterns, at=self._folder / "ask").splitlines()

    def _ask_config(self) -> None:
        """A repository that knows nothing but the address, which so stands in no argument that others could see."""
        ask = self._folder / "ask"
        if not ask.exists():
            self.git("init", "--quiet", "--bare", str(ask), at=self._folder)
            with (ask / "config").open("a") as config:
                config.write(f'[remote "origin"]\n\turl = "{quoted(self.source.remote)}"\n')

    def _check_out(self, commit: str) -> None:
        self.git("checkout", "--quiet", "--force", "--detach", commit)
        if self.source.submodules:
            self.git("submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")

    def _has(self, commit: str, at: Path) -> bool:
        try:
            self.git("cat-file", "-e", f"{commit}^{{commit}}", at=at)
        except ContextError:
            return False
        return True

    def _bring(self, wanted: str, commit: str, *, at: Path | None = None, remote: str = "origin") -> None:
        """Fetch as little as the server allows."""
        ways = (["--depth=1", remote, wanted], [remote, wanted], [remote, "+refs/*:refs/*"])
        failure: ContextError | None = None
        for way in ways:
            try:
                self.git("fetch", "--quiet", "--no-tags", "--update-head-ok", *way, at=at)
                self.git("cat-file", "-e", f"{commit}^{{commit}}", at=at)
            except ContextError as error:
                failure = failure or error
                if not re.search("depth|shallow|not our ref|unadvertised|no such remote ref|cat-file", error.what):
                    raise
            else:
                return
        assert failure is not None
        raise failure

    def git(self, *args: str, at: Path | None = None) -> str:
        """What a command of git prints, run in the tree. Raises ContextError with its last words, Cancelled."""
        try:
            process = subprocess.Popen(
                ["git", *args],
                cwd=at or self.tree,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                umask=0o022,
            )
        except FileNotFoundError as error:
            raise ContextError("git repositories need the program git", help="apt-get install git") from error
        with process, ended(process):
            out, err = communicate(process, self.stop)
        if process.returncode != 0:
            told = err.decode("utf-8", "replace").replace(self.source.remote, self.source.shown).strip()[-TOLD:]
            told = re.sub(r"//[^/@\s]+@", lambda found: "//xxxxx@", told) or f"exit code {process.returncode}"
            raise ContextError(f"{self.source.shown}: git {args[0]} failed: {told}", help=advice(self.source, told))
        return out.decode("utf-8", "surrogateescape")


@contextmanager
def opened(
    folder: Path,
    source: GitSource,
    secrets: Mapping[str, Secret],
    agents: Mapping[str, Path],
    stop: threading.Event,
) -> Iterator[Repository]:
    """A repository, with an empty directory `folder` to work in. Raises ContextError, SecretUnreadable."""
    header = authorization(source, secrets)
    config = CONFIG + f'[remote "{KEPT}"]\n\turl = "{quoted(source.remote)}"\n'
    if header:
        parts = urlsplit(source.remote)
        scope = f"{parts.scheme}://{source.host}/"
        config += f'[http "{quoted(scope)}"]\n\textraHeader = "{quoted(f"Authorization: {header}")}"\n'
    held = os.open(folder / "config", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(held, "w", encoding="utf-8") as file:
        file.write(config)
    agent = agents.get("default")
    if source.by_ssh and agent is None:
        raise ContextError(f"{source.shown}: SSH wants a key, and no agent was given", help="give it: --ssh default")
    yield Repository(folder, source, agent if source.by_ssh else None, stop, header)


def authorization(source: GitSource, secrets: Mapping[str, Secret]) -> str:
    """The header that the secrets GIT_AUTH_HEADER and GIT_AUTH_TOKEN make for a repository, "" for none."""
    if not source.remote.startswith(("http://", "https://")):
        return ""
    for pattern in HEADERS:
        id = pattern.format(host=source.host)
        if id in secrets:
            value = secrets[id].read(id).decode("utf-8", "surrogateescape").strip()
            if "\n" in value:
                raise ContextError(f"the secret {id} has several lines, and a header has one")
            if "TOKEN" in pattern:
                value = "basic " + b64encode(f"x-access-token:{value}".encode("utf-8", "surrogateescape")).decode()
            return value
    return ""


def format_of(length: int) -> str:
    """The option of git-init for repositories whose commits have so many digits."""
    return f"--object-format=sha{256 if length == 64 else 1}"


def advice(source: GitSource, told: str) -> str:
    """What to do about a failure of git."""
    if re.search("could not read Username|Authentication failed|terminal prompts disabled|403|401", told):
        return f"is it private? --secret id=GIT_AUTH_TOKEN.{source.host},env=TOKEN (or GIT_AUTH_HEADER)"
    if "Permission denied (publickey" in told:
        return "does the agent of --ssh have the key? ssh-add -l lists them"
    if "not allowed" in told and "transport" in told:
        return "submodules come over http, https, ssh or git; leave them out with ?submodules=0"
    return ""


def checked_out(store: Store, repository: Repository, commit: str, name: str) -> NewLayer:
    """The layer of a commit's files, or of a directory of them. Raises ContextError."""
    from builder.sources.gitkept import fetched
    from layers.views.folder import Folder

    source = repository.source
    keep = source.keep_git_dir and not source.subdir
    if keep:  # its .git shall be the same whatever was fetched before
        repository.fetch(commit, name)
    else:
        fetched(store, repository, commit, name)
    seconds = repository.when(commit) if source.mtime == "commit" else int(time.time())
    if keep:
        repository.settle(name)
    top = repository.tree / source.subdir
    with Folder(repository.tree) as whole:
        for depth in range(source.subdir.count("/") + 1 if source.subdir else 0):
            part = "/".join(source.subdir.split("/")[: depth + 1])
            if (there := whole.get(part)) is None or there.type is not EntryType.DIR:
                raise ContextError(f"{source.shown}: {source.subdir} is no directory of commit {commit}")

    def shaped(entry: Entry) -> Entry | None:
        if not keep and entry.path.rpartition("/")[2] == ".git":
            return None
        mode = 0o777 if entry.type is EntryType.SYMLINK else 0o644 | (0o111 if entry.mode & 0o100 else 0)
        if entry.type is EntryType.DIR:
            mode = 0o755
        return replace(entry, mode=mode, uid=0, gid=0, mtime_ns=seconds * 10**9, xattrs={})

    with Folder(top) as files:
        return layer_of(store, files, shaped)


def key_of(source: GitSource, commit: str) -> str:
    """Where the layer of a commit is kept."""
    facts = [source.shown, commit, source.subdir, source.keep_git_dir, source.submodules, source.mtime]
    return f"git:{Digest.of(repr(facts).encode()).hex}"
