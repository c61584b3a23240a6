"""Where pybuild differs from BuildKit on purpose."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """Why one case differs, and our value of all that does; `error` is our message, "" if only we build."""

    why: str
    ours: dict[str, Any]


NEWER = "newer BuildKits do the same; the one that was asked knows Dockerfile 1.19"
ABSENT = (
    "what is named without wildcards has to be there, as newer BuildKits have it; the one that was asked says nothing"
)
UNKNOWN = "an owner that the image does not know is an error here, and without a word 0 there"
STUBS = "BuildKit leaves the places that mounts needed in the layer"
WIDE = "ids have 32 bits"
EITHER = "stages and scratch have their names in either case in FROM, too, as in --from and --target"
EXCLUDED = "--exclude holds for sources that are files, too, as the reference says"
ATTRIBUTES = "extended attributes go along as with cp -a"
SPECIAL = "a directory made by COPY has all of the mode; BuildKit's lose it if it has setuid, setgid or sticky"
SLASHED = "patterns of --exclude may begin with a slash, as those of .dockerignore"
VARIABLES = "variables are expanded in --from and --exclude, too"
PIVOTS = "before /./ stand directories; BuildKit copies the files of a stage that fit it as if --parents were not there"
SENT = "BuildKit is sent only what some COPY fits of a context, so whether a directory is there depends on all of them"
UMASK = "dockerd takes its own umask from the mode of a cache; BuildKit's daemon has none"
FOLDERS = "a here-document's name may have folders"
NO_USER = "the image has no user 'nosuch'; it has root, daemon, www-data, nobody"
NO_GROUP = "the image has no group 'nosuch'; it has root, daemon, www-data, users, nogroup"


def file(
    size: int, text: str, *, mode: str = "0644", owner: str = "0:0", links: tuple[str, ...] = (), **xattrs: str
) -> list[Any]:
    """A file as `read_image` tells it; an attribute's name has _ for its dot."""
    return ["file", mode, owner, size, text, {key.replace("_", "."): value for key, value in xattrs.items()}, [*links]]


def folder(mode: str) -> list[Any]:
    """A directory as `read_image` tells it."""
    return ["dir", mode, "0:0", {}, []]


def capable(owner: str = "0:0") -> list[Any]:
    """A file that may bind low ports."""
    value = "\1\0\0\2\0\4" + 14 * "\0"
    return file(22, "#!/bin/sh\necho script\n", mode="0755", owner=owner, security_capability=value)


DIFFERENCES: dict[str, Difference] = {
    "copy/chown-negative": Difference(
        UNKNOWN, {"error": "the image has no user '-1'; it has no users file: use numbers"}
    ),
    "copy/chown-unknown": Difference(UNKNOWN, {"error": NO_USER}),
    "copy/chown-unknown-group": Difference(UNKNOWN, {"error": NO_GROUP}),
    "copy/chown-user-colon": Difference(
        "USER: has the user's group, as with chown(1); BuildKit's is 0",
        {"tree": {"f": file(7, "a file\n", owner="7:7")}},
    ),
    "copy/wildcard-escaped": Difference(
        "a name whose only wildcard is escaped is that name; BuildKit looks for the backslash", {"error": ""}
    ),
    "devices/hooked": Difference(
        "hooks are programs that would run outside of the sandbox",
        {
            "error": "RUN --device=vendor.example/device=hooked: cdi/device.json: device hooked: "
            "hooks of containerEdits: hooks are programs that would run outside of the sandbox"
        },
    ),
    "devices/mount": Difference(STUBS, {"tree": {"vendor": None, "vendor/told": None}}),
    "devices/mount-left": Difference(STUBS, {"tree": {"vendor": None, "vendor/told": None}}),
    "devices/mount-read-only": Difference(STUBS, {"tree": {"vendor": None, "vendor/told": None}}),
    "devices/only-optional": Difference("a device without a name is no device", {"error": "--device needs a name"}),
    "epoch/context": Difference(NEWER, {"error": ""}),
    "epoch/declared-not-given": Difference(
        "an image without layers has a time, too, and so has its history", {"created": ["now", "now", "now"]}
    ),
    "epoch/default": Difference(NEWER, {"created": ["2020-09-13T12:26:40Z", "2020-09-13T12:26:40Z"]}),
    "epoch/negative": Difference(
        "zip, and so wheels and jars, know no time before 1980, and tar none before 1970 without extensions",
        {"error": "invalid SOURCE_DATE_EPOCH: -1"},
    ),
    "expansion/copy-from-variable": Difference(VARIABLES, {"error": ""}),
    "metadata/stopsignal-big": Difference(
        "no signal has that number, so no container could be stopped",
        {"error": "invalid signal: 200; write a name such as SIGTERM, or a number from 1 to 64"},
    ),
    "more-copy/capability": Difference(ATTRIBUTES, {"tree": {"x": capable()}}),
    "more-copy/capability-chown": Difference(ATTRIBUTES, {"tree": {"x": capable("5:6")}}),
    "more-copy/capability-from": Difference(ATTRIBUTES, {"tree": {"y": capable(), "z": capable("3:4")}}),
    "more-copy/capability-run": Difference(ATTRIBUTES, {"tree": {"y": capable()}}),
    "more-copy/chmod-setgid-on-dir": Difference(SPECIAL, {"tree": {"x": folder("2755")}}),
    "more-copy/chmod-setuid-on-dir": Difference(SPECIAL, {"tree": {"x": folder("4755")}}),
    "more-copy/chmod-sticky-dir": Difference(SPECIAL, {"tree": {"x": folder("1777")}}),
    "more-copy/chmod-sticky-on-dir": Difference(SPECIAL, {"tree": {"x": folder("1777")}}),
    "more-copy/chmod-sticky-parents": Difference(SPECIAL, {"tree": {"x": folder("1777"), "x/y": folder("1777")}}),
    "more-copy/chown-max": Difference(WIDE, {"error": ""}),
    "more-copy/chown-plus": Difference(
        "a number has no sign", {"error": "the image has no user '+5'; it has no users file: use numbers"}
    ),
    "more-copy/exclude-file-source": Difference(EXCLUDED, {"tree": {"y/file.txt": None}, "dated": ["y/b.txt"]}),
    "more-copy/exclude-slash": Difference(
        SLASHED,
        {"tree": {"y/one": None}, "dated": ["y", "y/.hidden", "y/other", "y/sub", "y/sub/deep.txt", "y/sub/tool"]},
    ),
    "more-copy/exclude-wildcard-source": Difference(
        EXCLUDED, {"tree": {"y/fil2.txt": None, "y/file.txt": None}, "dated": ["y/b.txt", "y/disguised.txt"]}
    ),
    "more-copy/heredoc-name-absolute": Difference(FOLDERS, {"error": ""}),
    "more-copy/heredoc-name-slash": Difference(FOLDERS, {"error": ""}),
    "more-copy/link-chown-other-name": Difference(
        "--link looks names up in the image below (moby/buildkit#2987)", {"error": ""}
    ),
    "more-copy/xattr": Difference(ATTRIBUTES, {"tree": {"x": file(7, "a file\n", user_one="1")}}),
    "more-copy/xattr-dir": Difference(ATTRIBUTES, {"tree": {"x/one": file(4, "one\n", user_f="3")}}),
    "more-copy/xattr-from": Difference(ATTRIBUTES, {"tree": {"y/one": file(4, "one\n", user_f="3")}}),
    "more-copy/xattr-ignored-namespace": Difference(
        ATTRIBUTES, {"tree": {"x": file(7, "a file\n", security_other="1")}}
    ),
    "more-syntax/expose-sign": Difference("a port has no sign", {"error": "invalid containerPort: +80"}),
    "more-syntax/from-scratch-upper": Difference(EITHER, {"error": ""}),
    "more-syntax/heredoc-arith-blank": Difference("a shift between blanks is no here-document", {"error": ""}),
    "more-syntax/invalid-utf8": Difference(
        "what is no text is refused; BuildKit writes something else instead",
        {"error": 'invalid document: a text in it is no Unicode: \'/bin","A=\\udcff"],"Worki\''},
    ),
    "more-syntax/user-run-big": Difference(WIDE, {"error": ""}),
    "more-syntax/user-workdir-unknown-group": Difference(UNKNOWN, {"error": NO_GROUP}),
    "mounts/bind-from-index": Difference("a number is that of a stage, as in COPY --from", {"error": ""}),
    "mounts/cache-from-file": Difference(
        "a cache is a directory", {"error": '"/a" is no directory, so no cache can begin with it'}
    ),
    "mounts/cache-mode-775-uid": Difference(UMASK, {"tree": {"x": file(8, "775 5:0\n")}}),
    "mounts/cache-mode-777": Difference(UMASK, {"tree": {"x": file(4, "777\n")}}),
    "mounts/cache-mode-sticky": Difference(UMASK, {"tree": {"x": file(4, "777\n")}}),
    "mounts/secret-env-bad": Difference(
        "no variable has a name with =", {"error": "invalid value A=B for env: no variable has a name with ="}
    ),
    "parents/below-file": Difference(ABSENT, {"error": '"/file.txt/below": not found'}),
    "parents/dest-missing-existing": Difference(ABSENT, {"error": '"/nope": not found'}),
    "parents/dest-parents-missing": Difference(ABSENT, {"error": '"/nope": not found'}),
    "parents/exclude-slash": Difference(
        SLASHED,
        {
            "tree": {"x/dir/one": None},
            "dated": ["x/dir/.hidden", "x/dir/other", "x/dir/sub/deep.txt", "x/dir/sub/tool"],
        },
    ),
    "parents/exclude-variable": Difference(
        VARIABLES,
        {
            "tree": {"x/dir/one": None},
            "dated": ["x/dir/.hidden", "x/dir/other", "x/dir/sub", "x/dir/sub/deep.txt", "x/dir/sub/tool"],
        },
    ),
    "parents/from-named-missing": Difference(ABSENT, {"error": '"/nope": not found'}),
    "parents/from-stage-missing": Difference(ABSENT, {"error": '"/a/c": not found'}),
    "parents/from-stage-pivot-file": Difference(PIVOTS, {"error": '"/file.txt" is not a directory'}),
    "parents/from-stage-pivot-files": Difference(
        PIVOTS,
        {"tree": None, "dated": None},
    ),
    "parents/hard-links": Difference(
        "names of one file stay that, whichever sources they come from; BuildKit makes a file for each source",
        {
            "tree": {
                "x/links/hard": file(7, "target\n", links=("x/links/target",)),
                "x/links/target": file(7, "target\n", links=("x/links/hard",)),
            }
        },
    ),
    "parents/heredoc-name-folder": Difference(FOLDERS, {"error": ""}),
    "parents/ignored": Difference(ABSENT, {"error": '"/dir/sub/deep.txt": not found'}),
    "parents/missing": Difference(ABSENT, {"error": '"/nope": not found'}),
    "parents/missing-below": Difference(ABSENT, {"error": '"/dir/nope": not found'}),
    "parents/missing-beside": Difference(ABSENT, {"error": '"/nope": not found'}),
    "parents/missing-dir": Difference(ABSENT, {"error": '"/nope/deep/file": not found'}),
    "parents/negated-pattern": Difference(ABSENT, {"error": '"/!dir": not found'}),
    "parents/parent-xattr": Difference(ATTRIBUTES, {"tree": {"x/dir": ["dir", "0755", "0:0", {"user.one": "1"}, []]}}),
    "parents/pivot-nothing-behind": Difference(SENT, {"error": ""}),
    "parents/pivot-wildcard-nothing-behind": Difference(SENT, {"tree": {"x": folder("0755")}}),
    "real/rootfs-from-tar": Difference(
        STUBS,
        {"tree": {"dev": None, "proc": None, "sys": None}},
    ),
    "run/device-node": Difference(
        "root inside is nobody outside and can make no devices; --userns=host lets it",
        {"error": "RUN ended with exit code 1: the command failed"},
    ),
    "run/hard-link": Difference(
        "a second name of a file of a lower layer stays one; BuildKit makes two files of it",
        {"tree": {"a": file(2, "a\n", links=("b",)), "b": file(2, "a\n", links=("a",))}},
    ),
    "run/path-unset": Difference(
        STUBS,
        {"tree": {"dev": None, "proc": None, "sys": None}},
    ),
    "run/whiteout-name": Difference(
        "a file that no layer can hold is told of; BuildKit loses it",
        {"error": "refused path '.wh.x': a layer cannot hold names that begin with \".wh.\": they mean deletions"},
    ),
    "stages/from-stage-case": Difference(EITHER, {"error": ""}),
    "workdir/user-unknown": Difference(UNKNOWN, {"error": NO_USER}),
}
