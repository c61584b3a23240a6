"""Where pybuild differs from BuildKit on purpose."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """Why one case differs, and our value of each part that does; `error` is our message, "" if only we build."""

    why: str
    ours: dict[str, Any]


NEWER = "a flag of Dockerfile 1.20; the BuildKit that was asked knows 1.19"
UNKNOWN = "an owner that the image does not know is an error here, and 0 without a word there"
SAID = "the image has no user 'nosuch'; it has root, daemon, www-data, nobody"
_LINKED = ["file", "0644", "0:0", 7, "target\n", {}]
_TWO = ["file", "0644", "0:0", 2, "a\n", {}]

DIFFERENCES: dict[str, Difference] = {
    "copy/hardlinks": Difference(
        "names of one file stay so, also when they are two sources of one COPY",
        {"tree": {
            "x": ["dir", "0755", "0:0", {}, []],
            "x/hard": [*_LINKED, ["x/target"]],
            "x/target": [*_LINKED, ["x/hard"]],
        }},
    ),
    "copy/wildcard-escaped": Difference(
        "a name whose only wildcard is escaped is that name; BuildKit looks for the backslash", {"error": ""}
    ),
    "copy/chown-user-colon": Difference(
        "USER: has the user's group, as with chown(1); BuildKit's is 0",
        {"tree": {"f": ["file", "0644", "7:7", 7, "a file\n", {}, []]}},
    ),
    "copy/chown-unknown": Difference(UNKNOWN, {"error": SAID}),
    "copy/chown-unknown-group": Difference(
        UNKNOWN, {"error": "the image has no group 'nosuch'; it has root, daemon, www-data, users, nogroup"}
    ),
    "copy/chown-negative": Difference(
        UNKNOWN, {"error": "the image has no user '-1'; it has no users file: use numbers"}
    ),
    "workdir/user-unknown": Difference(UNKNOWN, {"error": SAID}),
    "copy/parents": Difference(NEWER, {"error": ""}),
    "run/security-sandbox": Difference(NEWER, {"error": ""}),
    "expansion/copy-from-variable": Difference(
        "variables are expanded in --from, which BuildKit refuses", {"error": ""}
    ),
    "metadata/stopsignal-big": Difference(
        "no signal has that number, so no container could be stopped",
        {"error": "invalid signal: 200; write a name such as SIGTERM, or a number from 1 to 64"},
    ),
    "run/path-unset": Difference(
        "BuildKit leaves the places that its own mounts needed in the layer",
        {"tree": {
            "bin": ["dir", "0755", "0:0", {}, []],
            "bin/sh": ["file", "0755", "0:0", "as busybox's", "as busybox's", {}, []],
            "x": ["file", "0644", "0:0", 61, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n", {}, []],
        }},
    ),
    "run/hard-link": Difference(
        "a second name of a file of a lower layer stays one; BuildKit makes two files of it",
        {"tree": {"a": [*_TWO, ["b"]], "b": [*_TWO, ["a"]]}},
    ),
    "run/whiteout-name": Difference(
        "a file that no layer can hold is told of; BuildKit loses it",
        {"error": "refused path '.wh.x': a layer cannot hold names that begin with \".wh.\": they mean deletions"},
    ),
    "stages/from-stage-case": Difference(
        "stages have their names in either case in FROM, too, as in --from and --target", {"error": ""}
    ),
}  # fmt: skip
