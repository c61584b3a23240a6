"""Every command of pybuild as data: its name, where it lives, its one line of help.

Nothing is imported to list, route or complete commands. A new command is one line here and one file in
`pybuild/commands/`. `route` is what makes `pybuild -t app .` mean `pybuild build -t app .`; it is decided here, before
click is imported, because `__main__` must know early whether the command needs a sandbox.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STORELESS = frozenset({"parse", "check", "tags", "digest", "delete", "catalog", "login", "logout"})
"""Commands that put nothing into the store and take nothing out of it: anybody may, with the rights that they have."""


class Listed:
    """One command: `module:attribute`, its summary, and how the roof has to treat it.

    sandbox: it may run processes behind walls or mount snapshots, so namespaces and the spawner come first.
    failure: the exit code when our own machinery fails (docker's 125 where the command has exit codes of its own).
    helped: it may read many small files, for which there is a second process (`layers.helper`).
    declared: what is usually said to it is read without click (`pybuild.declared`).
    """

    def __init__(  # noqa: PLR0917 a table of them is made at each start
        self,
        target: str,
        summary: str,
        sandbox: bool = False,
        failure: int = 1,
        helped: bool = False,
        declared: bool = False,
    ) -> None:
        self.target, self.summary, self.sandbox = target, summary, sandbox
        self.failure, self.helped, self.declared = failure, helped, declared

    @property
    def files(self) -> bool:
        """Whether it has to do with the store's files, which may belong to others than us."""
        return self.target.rpartition(":")[2] not in STORELESS


SECTIONS: Mapping[str, Mapping[str, Listed]] = {
    "Build": {
        "build": Listed(
            "pybuild.commands.build:build", "Build an image from a Dockerfile (the default command).", True, helped=True
        ),
        "bake": Listed(
            "pybuild.commands.bake:bake", "Build what a bake file or a compose file speaks of.", True, helped=True
        ),
        "check": Listed("pybuild.commands.check:check", "Tell what a Dockerfile says that is probably not meant."),
        "context": Listed(
            "pybuild.commands.context:context", "Show which files a build reads, and why not the others."
        ),
        "debug": Listed("pybuild.commands.debug:debug", "Open a shell where a build failed, or at any step.", True),
        "parse": Listed("pybuild.commands.parse:parse", "Show what a Dockerfile means, step by step."),
        "verify": Listed(
            "pybuild.commands.verify:verify", "Build an image once more and show whether it is the same.", True
        ),
        "cache": Listed("pybuild.commands.cache:cache", "List, explain and remove what builds have kept."),
    },
    "Images": {
        "images": Listed("pybuild.commands.images:images", "List images."),
        "history": Listed("pybuild.commands.history:history", "Show the layers of an image and what made them."),
        "inspect": Listed(
            "pybuild.commands.inspect:inspect", "Show all that is known of images and containers, as JSON."
        ),
        "diff": Listed("pybuild.commands.diff:diff", "Show which files of containers, images, layers, folders differ."),
        "blame": Listed("pybuild.commands.blame:blame", "Show which layer made, changed or removed a file."),
        "explore": Listed("pybuild.commands.explore:explore", "Show what the layers of an image hold and waste."),
        "sbom": Listed("pybuild.commands.sbom:sbom", "Show what is installed in an image, as SPDX."),
        "provenance": Listed(
            "pybuild.commands.provenance:provenance", "Show how an image was built, as SLSA tells it."
        ),
        "tag": Listed("pybuild.commands.tag:tag", "Give an image another name."),
        "rmi": Listed("pybuild.commands.rmi:rmi", "Remove images or names of images."),
        "save": Listed("pybuild.commands.save:save", "Write images to a tar archive."),
        "load": Listed("pybuild.commands.load:load", "Read images from a tar archive."),
        "import": Listed("pybuild.commands.import_:import_", "Make an image from a tar of a file system."),
        "export": Listed("pybuild.commands.export:export", "Write the files of a container or image as one tar.", True),
    },
    "Images of images": {
        "squash": Listed("pybuild.commands.squash:squash", "Make one layer of an image's upper ones."),
        "flatten": Listed("pybuild.commands.flatten:flatten", "Make one layer of all of an image's."),
        "rebase": Listed("pybuild.commands.rebase:rebase", "Put the layers of an image on another base."),
        "append": Listed("pybuild.commands.append:append", "Put tars on top of an image, as layers."),
        "mutate": Listed("pybuild.commands.mutate:mutate", "Change the config or annotations of an image."),
        "unpack": Listed("pybuild.commands.unpack:unpack", "Make a bundle for runc of an image."),
        "repack": Listed("pybuild.commands.repack:repack", "Make an image of what changed in a bundle."),
        "layout": Listed("pybuild.commands.layout:layout", "Name, list and tidy the images of an OCI layout."),
    },
    "Containers": {
        "run": Listed("pybuild.commands.run:run", "Run a command in a new container.", True, 125, declared=True),
        "create": Listed("pybuild.commands.create:create", "Make a container without starting it.", True, 125),
        "start": Listed("pybuild.commands.start:start", "Start containers that are not running.", True, declared=True),
        "exec": Listed("pybuild.commands.exec:exec_", "Run a command in a running container.", True, declared=True),
        "attach": Listed("pybuild.commands.attach:attach", "See and feed a running container."),
        "ps": Listed("pybuild.commands.ps:ps", "List containers."),
        "logs": Listed("pybuild.commands.logs:logs", "Show what a container wrote."),
        "stop": Listed("pybuild.commands.stop:stop", "Stop containers, gently first."),
        "kill": Listed("pybuild.commands.kill:kill", "Send a signal to containers."),
        "restart": Listed("pybuild.commands.restart:restart", "Stop containers and start them again.", True),
        "pause": Listed("pybuild.commands.pause:pause", "Freeze running containers."),
        "unpause": Listed("pybuild.commands.unpause:unpause", "Let paused containers go on."),
        "update": Listed("pybuild.commands.update:update", "Change the limits of containers."),
        "top": Listed("pybuild.commands.top:top", "Show the processes of a container."),
        "stats": Listed("pybuild.commands.stats:stats", "Show what containers use."),
        "port": Listed("pybuild.commands.port:port", "Show where ports are published."),
        "events": Listed("pybuild.commands.events:events", "Show what happens to containers and images."),
        "rename": Listed("pybuild.commands.rename:rename", "Give a container another name."),
        "wait": Listed("pybuild.commands.wait:wait", "Wait until containers end; print their exit codes."),
        "rm": Listed("pybuild.commands.rm:rm", "Remove containers."),
        "cp": Listed("pybuild.commands.cp:cp", "Copy files between a container and the host.", True),
        "commit": Listed("pybuild.commands.commit:commit", "Make an image of a container's changes.", True),
        "lsns": Listed("pybuild.commands.lsns:lsns", "List the namespaces of running containers."),
        "nsenter": Listed("pybuild.commands.nsenter:nsenter", "Run a program of the host in a container's namespaces."),
        "oci": Listed("pybuild.commands.oci:oci", "Run bundles, as an OCI runtime does."),
    },
    "Networks, volumes": {
        "network": Listed("pybuild.commands.network:network", "Make, show and remove networks of containers."),
        "volume": Listed("pybuild.commands.volume:volume", "Make, show and remove directories that containers share."),
    },
    "Registries": {
        "push": Listed("pybuild.commands.push:push", "Send an image to a registry."),
        "pull": Listed("pybuild.commands.pull:pull", "Fetch an image from a registry."),
        "copy": Listed(
            "pybuild.commands.copy:copy", "Copy an image between registries, layouts, archives and the store."
        ),
        "sync": Listed("pybuild.commands.sync:sync", "Copy whole repositories, to a registry or to directories."),
        "tags": Listed("pybuild.commands.tags:tags", "List the tags of a repository, layout or archive."),
        "digest": Listed("pybuild.commands.digest:digest", "Print the digest of an image, wherever it is."),
        "delete": Listed("pybuild.commands.delete:delete", "Delete a tag from a registry or layout."),
        "catalog": Listed("pybuild.commands.catalog:catalog", "List the repositories of a registry."),
        "login": Listed("pybuild.commands.login:login", "Remember a registry's credentials."),
        "logout": Listed("pybuild.commands.logout:logout", "Forget a registry's credentials."),
        "manifest": Listed("pybuild.commands.manifest:manifest", "Make lists of images for several platforms."),
        "registry": Listed("pybuild.commands.registry:registry", "Serve the store as a registry."),
        "artifact": Listed("pybuild.commands.artifact:artifact", "Send any files to a registry, and fetch them."),
    },
    "Store": {
        "prune": Listed("pybuild.commands.prune:prune", "Remove what nothing uses any more."),
        "system": Listed("pybuild.commands.system:system", "Disk usage, checks and facts about this machine."),
        "doctor": Listed("pybuild.commands.doctor:doctor", "Try what this machine can do, and say what would help."),
        "version": Listed("pybuild.commands.version:version", "Show versions of pybuild and what it stands on."),
    },
}
HIDDEN: Mapping[str, Listed] = {
    "container prune": Listed("pybuild.commands.container_prune:prune", "Remove all containers that do not run."),
    "container inspect": Listed("pybuild.commands.inspect:container", "Show all that is known of containers, as JSON."),
    "container exists": Listed("pybuild.commands.exists:container", "Tell by the exit code if there is one."),
    "image exists": Listed("pybuild.commands.exists:image", "Tell by the exit code if there is one."),
    "image inspect": Listed("pybuild.commands.inspect:image", "Show all that is known of images, as JSON."),
    "image prune": Listed("pybuild.commands.image_prune:prune", "Remove images that nobody uses; the cache stays."),
    "builder prune": Listed("pybuild.commands.cache:prune", "Remove what builds have kept; images stay."),
    "imagetools": Listed("pybuild.commands.imagetools:imagetools", "Put images of registries together."),
    "builder du": Listed("pybuild.commands.cache:listed", "List what builds have kept."),
}
"""Commands that only a noun leads to."""
COMMANDS: Mapping[str, Listed] = {name: listed for section in SECTIONS.values() for name, listed in section.items()}

NOUNS: Mapping[str, Mapping[str, str]] = {
    "image": {
        "ls": "images",
        "list": "images",
        "rm": "rmi",
        "remove": "rmi",
        **{name: name for name in ("build", "history", "import", "load", "pull", "push", "save", "tag")},
        "inspect": "image inspect",
        "exists": "image exists",
        "prune": "image prune",
    },
    "container": {
        "ls": "ps",
        "list": "ps",
        "remove": "rm",
        "inspect": "container inspect",
        "exists": "container exists",
        "prune": "container prune",
        **{name: name for name in ("ps", *SECTIONS["Containers"], "diff", "export")},
    },
    "builder": {"build": "build", "prune": "builder prune"},
    "buildx": {
        "build": "build",
        "bake": "bake",
        "f": "bake",
        "prune": "builder prune",
        "du": "builder du",
        "imagetools": "imagetools",
        "version": "version",
    },
}
"""Docker's nouns, understood but not shown: `image ls` is `images`."""

SYNONYMS: Mapping[str, str] = {
    "info": "system info",
    "list-tags": "tags",
    "manifest-digest": "digest --file",
}
"""Words of docker's and skopeo's that are spelt otherwise here."""

VALUED = ("--root",)
"""Global options that take a value; all others are flags."""
GLOBAL = frozenset({"-D", "--debug", "--no-color", "--version", "-h", "--help"})


def start(words: Sequence[str]) -> int:
    """How many words are global options: where the command stands."""
    at = 0
    while at < len(words) and (words[at] in GLOBAL or words[at].split("=")[0] in VALUED):
        at += 2 if words[at] in VALUED else 1
    return at


def route(words: Sequence[str]) -> list[str]:
    """The command line with its command spelt out; `help COMMAND` is `COMMAND --help`, a lone `-v` `--version`.

    The first word that is no global option decides: a command stays; an option, `-`, an existing path or a URL is what
    `build` takes; anything else stays too, to be answered with a suggestion.
    """
    at = start(words)
    if at >= len(words):
        return list(words)
    word = words[at]
    if words == ["-v"]:
        return ["--version"]
    if word == "help" and not os.path.exists(word):
        return [*words[:at], *route(words[at + 1 :]), "--help"]
    if word in SYNONYMS:
        return [*words[:at], *SYNONYMS[word].split(), *words[at + 1 :]]
    if word in COMMANDS or word in NOUNS:
        return list(words)
    if word.startswith(("-", "git@")) or "://" in word or os.path.exists(word):
        return [*words[:at], "build", *words[at:]]
    return list(words)


def chosen(words: Sequence[str]) -> Listed | None:
    """The command that a routed command line names, or None."""
    at = start(words)
    if at >= len(words):
        return None
    name = words[at]
    if name in NOUNS:
        name = NOUNS[name].get(words[at + 1] if at + 1 < len(words) else "", "")
    return COMMANDS.get(name, HIDDEN.get(name))
