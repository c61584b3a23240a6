"""What an address of a git repository means: `https://HOST/PATH.git#REF:DIR`, `git@HOST:PATH`, `?branch=` and so on.

The forms are BuildKit's (docker build, "Git repositories"; Dockerfile reference, "ADD git"). Nothing is asked here.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from layers.quick import dataclass, replace

SCP = re.compile(
    r"(?P<user>[A-Za-z0-9_.\-]+)@(?P<host>[A-Za-z0-9.\-]+):(?P<path>[^?#]*)(\?(?P<query>[^#]*))?(#(?P<end>.*))?\Z"
)
SCHEMES = ("http", "https", "ssh", "git")
SWITCHES = {"": True, "1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
TIMES = ("commit", "checkout")


@dataclass(frozen=True, slots=True)
class GitSource:
    """A repository and what is wanted of it.

    remote: as git takes it. ref: branch, tag, full name or commit; "" for the default branch. commit: the beginning of
    the commit that it has to be. subdir: "" for all of it. mtime: the time of files is that of the commit, or now.
    """

    remote: str
    ref: str = ""
    commit: str = ""
    subdir: str = ""
    keep_git_dir: bool = False
    submodules: bool = True
    mtime: str = "commit"

    @property
    def shown(self) -> str:
        """The remote without what may be secret in it."""
        return redacted(self.remote)

    @property
    def name(self) -> str:
        """The last part of the path, without `.git`."""
        return posixpath.basename(self.remote.rstrip("/")).removesuffix(".git")

    @property
    def host(self) -> str:
        """Its host, with the port if one is written."""
        if (found := SCP.match(self.remote)) is not None:
            return found["host"]
        return urlsplit(self.remote).netloc.rpartition("@")[2]

    @property
    def by_ssh(self) -> bool:
        """True if SSH is spoken."""
        return self.remote.startswith("ssh://") or "://" not in self.remote


def redacted(url: str) -> str:
    """A URL whose password, or user alone, is not shown."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:  # it is no URL, and is about to be called so
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"
    user, at, host = parts.netloc.rpartition("@")
    if not at or parts.scheme == "ssh":
        return url
    hidden = f"{user.partition(':')[0]}:xxxxx" if ":" in user else "xxxxx"
    return urlunsplit(parts._replace(netloc=f"{hidden}@{host}"))


def git_source(text: str, *, bare: bool = False) -> GitSource | None:
    """The repository that an address means, None if it means none; `bare` takes `github.com/OWNER/NAME`, too.

    Raises ValueError for an address of a repository that is wrong.
    """
    if text.startswith(("./", "../", "/", "-")):
        return None
    if bare and text.startswith("github.com/"):
        text = f"https://{text}"
    elif (scheme := text.partition("://")[0].lower()) in SCHEMES and "://" in text:
        if scheme.startswith("http") and not urlsplit(text).path.endswith(".git"):
            return None
    elif (found := SCP.match(text)) is not None:
        remote = f"{found['user']}@{found['host']}:{found['path']}"
        return _checked(_wanted(remote, found["query"] or "", found["end"] or ""))
    else:
        return None
    parts = urlsplit(text)
    if not parts.hostname:
        raise ValueError(f"{redacted(text)}: a repository needs a host")
    remote = urlunsplit(parts._replace(query="", fragment=""))
    return _checked(_wanted(remote, parts.query, unquote(parts.fragment)))


def _wanted(remote: str, query: str, fragment: str) -> GitSource:
    """Fragment and query of an address together."""
    ref, _, subdir = fragment.partition(":")
    found = GitSource(remote, ref, subdir=subdir)
    names: dict[str, str] = {}
    for key, values in parse_qs(query, keep_blank_values=True).items():
        if len(values) > 1:
            raise ValueError(f"query {key!r} has multiple values")
        value = values[0]
        if key in ("submodules", "keep-git-dir"):
            if value.lower() not in SWITCHES:
                raise ValueError(f"invalid {key} value: {value!r}")
            on = SWITCHES[value.lower()]
            found = replace(found, submodules=on) if key == "submodules" else replace(found, keep_git_dir=on)
        elif not value:
            raise ValueError(f"query {key!r} has no value")
        elif key == "mtime":
            if value not in TIMES:
                raise ValueError(f"invalid mtime value: {value!r}; it is one of {', '.join(TIMES)}")
            found = replace(found, mtime=value)
        elif key in ("checksum", "commit"):
            if found.commit not in ("", value):
                raise ValueError(f"commit conflicts: {found.commit!r} vs {value!r}")
            found = replace(found, commit=value)
        elif key == "subdir":
            if found.subdir not in ("", value):
                raise ValueError(f"subdir conflicts: {found.subdir!r} vs {value!r}")
            found = replace(found, subdir=value)
        elif key in ("ref", "branch", "tag"):
            names[key] = value
        elif key == "fetch-by-commit":
            if value.lower() not in SWITCHES:
                raise ValueError(f"invalid {key} value: {value!r}")
        else:
            raise ValueError(f"unexpected query {key!r}")
    if "branch" in names and "tag" in names:
        raise ValueError("branch conflicts with tag")
    for key, prefix in (("ref", ""), ("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if key in names:
            value = prefix + names[key].removeprefix(prefix)
            if found.ref not in ("", value):
                raise ValueError(f"ref conflicts: {found.ref!r} vs {value!r}")
            found = replace(found, ref=value)
    return replace(found, ref=found.ref or found.commit)


def _checked(found: GitSource) -> GitSource:
    """Nothing in it can be taken for an option, or leads out of the repository. Raises ValueError."""
    for what, text in (("ref", found.ref), ("commit", found.commit), ("host", found.host)):
        if text.startswith("-"):
            raise ValueError(f"the {what} {text!r} begins with a dash, as options do")
    if re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{", found.ref):
        raise ValueError(f"{found.ref!r} is no name of a branch, tag or commit")
    if found.commit and not re.fullmatch("[0-9a-f]{4,64}", found.commit):
        raise ValueError(f"invalid commit {found.commit!r}: write its hexadecimal digits, all of them at best")
    if any(char in found.remote for char in "\0\n\r"):
        raise ValueError("the address has characters that no address has")
    subdir = posixpath.normpath("/" + found.subdir).lstrip("/")
    if subdir == ".git" or subdir.startswith(".git/"):
        raise ValueError(f"the directory {found.subdir!r} is git's own")
    return replace(found, subdir=subdir)
