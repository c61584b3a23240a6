"""The places that a build reads: its own context, the contexts with names, and the Dockerfile in one of them.

A context is a directory, an archive, a git repository or a URL. Directories are read as they are asked, without what
their ignore file leaves out; what came from elsewhere is whole: as with BuildKit, ignore files do not count there.
"""

from __future__ import annotations

import posixpath
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from builder.dockerfile import Dockerfile, parse
from builder.errors import ContextError
from layers.quick import replace

if TYPE_CHECKING:
    from builder.contexts.context import Context
    from builder.ops.origin import TreeOrigin
    from builder.request import BuildRequest
    from builder.sources.gitref import GitSource
    from builder.sources.web import WebSource
    from builder.workbench import Workbench

KEEP_GIT = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"
LARGEST = 16 << 20
"""Bytes of a Dockerfile in an archive or repository."""


class Contexts:
    """Those of one build, opened when they are first asked for; threads may share it. Close it at the end."""

    def __init__(self, request: BuildRequest, bench: Workbench, stop: threading.Event) -> None:
        self._request = request
        self._bench = bench
        self._stop = stop
        self._turn = threading.Lock()
        self._opened: dict[str, Context] = {}
        self._elsewhere: TreeOrigin | None = None
        self._undo = ExitStack()
        self.text = b""
        """The Dockerfile, once it is read."""

    def __call__(self, name: str = "") -> Context | TreeOrigin | None:
        """The context of a name, "" for the build's own; None if it has none."""
        request = self._request
        with self._turn:
            if not name and request.elsewhere:
                return self._fetched()
            if name not in self._opened:
                from builder.contexts.context import Context

                if name:
                    from builder.sources.named import Directory

                    place = request.contexts[name]
                    assert isinstance(place, Directory)
                    self._opened[name] = Context.open(place.path, None, self._bench.store)
                elif request.context is not None:
                    dockerfile = None if request.text is not None else self._path()
                    self._opened[name] = Context.open(
                        request.context, dockerfile, self._bench.store, request.ignorefile
                    )
            return self._opened.get(name)

    def dockerfile(self) -> Dockerfile:
        """The Dockerfile. Raises DockerfileErrors, ContextError and what fetching raises."""
        request = self._request
        if request.text is not None:
            return self._parsed(request.text, request.name)
        if request.elsewhere and not (request.dockerfile is not None and request.dockerfile.is_absolute()):
            return self._dockerfile_elsewhere()
        path = self._path()
        try:
            return self._parsed(path.read_bytes(), str(request.dockerfile or "Dockerfile"))
        except FileNotFoundError as error:
            where = request.context or Path()
            if request.dockerfile is None and (where / "Containerfile").exists():
                return self._parsed((where / "Containerfile").read_bytes(), "Containerfile")
            raise ContextError(f"there is no {path}", help="name another one with --file") from error
        except IsADirectoryError as error:
            raise ContextError(f"{path} is a directory, not a Dockerfile") from error

    def source(self) -> GitSource | WebSource:
        """Where the build's own is; a build argument may ask for the `.git` of a repository, as with BuildKit."""
        from builder.sources.gitref import SWITCHES, GitSource

        source = self._request.source
        assert source is not None
        wanted = SWITCHES.get(self._request.build_args.get(KEEP_GIT, "0").lower(), False)
        return replace(source, keep_git_dir=True) if wanted and isinstance(source, GitSource) else source

    def rest(self) -> None:
        """Keep what was learnt about directories and let them go, until they are asked for again."""
        with self._turn:
            for context in self._opened.values():
                context.remember(self._bench.store)
                context.close()
            self._opened.clear()

    def close(self) -> None:
        """Give everything back."""
        self.rest()
        self._undo.close()

    # -- inside ----------------------------------------------------------------------------------

    def _parsed(self, text: bytes, name: str) -> Dockerfile:
        self.text = text
        return parse(text, name)

    def _path(self) -> Path:
        request = self._request
        if request.dockerfile is None:
            return (request.context or Path()) / "Dockerfile"
        inside = None if request.context is None else request.context / request.dockerfile
        if not request.dockerfile.exists() and inside is not None and inside.exists():
            return inside
        return request.dockerfile

    def _dockerfile_elsewhere(self) -> Dockerfile:
        """The Dockerfile of a context that is no directory of this machine; a URL may be the Dockerfile itself."""
        with self._turn:
            origin = self._fetched()
        names = [str(self._request.dockerfile)] if self._request.dockerfile else ["Dockerfile", "Containerfile"]
        if origin.get(SOLE) is not None and origin.children("") == [SOLE]:
            names = [SOLE]
        for name in names:
            path = origin.resolve(posixpath.normpath("/" + name).lstrip("/"))
            if (found := origin.get(path)) is None:
                continue
            if (data := origin.tree.read(path, LARGEST)) is None:
                raise ContextError(f"{name} in {self._where} is a {found.type.value}, or larger than a Dockerfile")
            return self._parsed(data, "Dockerfile" if name == SOLE else name)
        raise ContextError(f"there is no {names[0]} in {self._where}", help="name another one with --file")

    @property
    def _where(self) -> str:
        source = self._request.source
        return "the archive" if source is None else source.shown

    def _fetched(self) -> TreeOrigin:
        """The build's own context, which is no directory; fetched once."""
        if self._elsewhere is None:
            from builder.ops.origin import TreeOrigin

            request, store = self._request, self._bench.store
            if request.source is not None:
                from builder.graph import Fetch
                from builder.sources.fetch import Fetcher
                from layers import Chain

                fetcher = Fetcher(self._bench, request.secrets, request.agents, self._stop)
                tree = store.tree(Chain((fetcher.layer(Fetch(self.source(), unpack=True)),)))
            else:
                from builder.sources.archive import opened

                assert request.archive is not None
                found = opened(store, request.archive, self._undo)
                if found is None:
                    raise ContextError("the archive that was given as the context is no tar")
                tree = found
            self._elsewhere = TreeOrigin(tree)
        return self._elsewhere


SOLE = "context"
"""The name of the only file of a context that is a file at a URL, as BuildKit calls it."""
