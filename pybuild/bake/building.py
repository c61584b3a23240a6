"""The targets of a plan, built side by side: what others need first, the steps of each in parallel."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.errors import Cancelled
from layers.quick import replace
from pybuild.bake.errors import BakeError
from pybuild.bake.plan import LINK, Plan, links
from pybuild.bake.target import Target, line
from pybuild.bake.voices import Voices

if TYPE_CHECKING:
    from builder import BuildRequest, BuildResult
    from builder.events import Event
    from pybuild.wiring import Context

CWD = "cwd://"
RESULT = "bake.invalid/target"
"""The name, of no registry, that stands for the result of another target."""
LOOK_SECONDS = 0.1
"""How often is looked at whether the user wants an end."""
FREE = ("fs", "fs.read", "fs.write", "fs.tmp", "fs.cache", "ssh")
"""What buildx asks about before it reads files; here whoever runs the command has read them already."""


class Oven:
    """One run of `bake`. options: the flags of the command."""

    def __init__(self, roof: Context, plan: Plan, options: Mapping[str, Any]) -> None:
        self._roof = roof
        self._plan = plan
        self._options = options
        self._built: dict[str, BuildResult] = {}
        self._requests: dict[str, BuildRequest] = {}
        self._several = len(plan.targets) > 1
        self._stop = threading.Event()

    def bake(self) -> int:
        """Build them all; the exit code. Raises BakeError, click.UsageError and what builds raise."""
        from pybuild.progress import renderer

        self._permitted()
        roof, wanted = self._roof, self._plan.order()
        building = [name for name in wanted if self._plan.targets[name].get("call", "build") == "build"]
        kind = self._options["progress"] or os.environ.get("PYBUILD_PROGRESS") or "auto"
        with roof.store.lease():
            if building:
                roof.sweep()
                with renderer(kind, color=roof.settings.color) as show, roof.interruptible():
                    self._build(building, Voices(show))
                    for name in building:
                        show.finish(self._built[name], [tag.familiar for tag in self._requests[name].tags])
            for name in building if kind == "quiet" else ():
                click.echo(str(self._built[name].image_id))
            called = (name for name in wanted if name not in building and name not in self._plan.linked)
            code = max((self._call(name) for name in called), default=0)
        if self._options["metadata_file"] and building:
            from pybuild.commands.build import metadata

            found = {name: metadata(self._requests[name], self._built[name]) for name in building}
            Path(self._options["metadata_file"]).write_text(json.dumps(found, indent=2) + "\n")
        return code

    def _build(self, waiting: Sequence[str], voices: Voices) -> None:
        """Build targets side by side, each when those that it reads are there. Raises the first error."""
        waiting = [*waiting]
        running: dict[Future[BuildResult], str] = {}
        slots = min(len(waiting), max(2, os.cpu_count() or 1))
        failure: BaseException | None = None
        with ThreadPoolExecutor(slots, thread_name_prefix="pybuild-target") as pool:
            while running or (waiting and failure is None):
                for name in [one for one in waiting if self._is_ready(one)][: slots - len(running)]:
                    if failure is None and not self._stop.is_set():
                        waiting.remove(name)
                        running[pool.submit(self._one, name, voices.of(name if self._several else ""), slots)] = name
                done, _ = wait(running, LOOK_SECONDS, return_when=FIRST_COMPLETED)
                if self._roof.stop.is_set():
                    self._stop.set()
                for future in done:
                    name, error = running.pop(future), future.exception()
                    if error is None:
                        self._built[name] = future.result()
                    elif failure is None:
                        error.add_note(f"target {name} of the bake file")
                        failure = error
                        self._stop.set()
                if not running and self._stop.is_set() and failure is None:
                    failure = Cancelled("the build was stopped")
        if failure is not None:
            raise failure

    def _is_ready(self, name: str) -> bool:
        """Whether all that it reads is built."""
        others = links(self._plan.targets[name])
        return all(one in self._built or self._plan.targets[one].get("call", "build") != "build" for one in others)

    def _one(self, name: str, emit: Callable[[Event], None], slots: int) -> BuildResult:
        """Build a target, with its share of the steps at the same time."""
        from builder.build import build
        from builder.executing.execution import jobs
        from pybuild.commands.build import reachable

        request, _ = self._request(name, self._plan.targets[name])
        self._requests[name] = request
        reachable(self._roof, request)
        return build(replace(request, jobs=max(jobs(request) // slots, 1)), self._roof.bench, emit, self._stop)

    def _permitted(self) -> None:
        allowed = set(self._options["allow"])
        for name, target in self._plan.targets.items():
            implied = {"network.host"} if target.get("network") == "host" else set()
            wanted = set(target.get("entitlements", ())) - allowed - implied
            if missing := {one for one in wanted if one.partition("=")[0] not in allowed}:
                one = min(missing)
                raise BakeError(f"target {name} wants {one}\nhelp: if you trust it, add --allow {one}")

    def _call(self, name: str) -> int:
        from pybuild.calling import call, parsed

        target = self._plan.targets[name]
        kind, as_json, harmless = parsed(target["call"])
        request, _ = self._request(name, target)
        if not as_json and len(self._plan.targets) > 1:
            click.echo(f"{name}")
        return call(self._roof, request, kind, as_json=as_json, harmless=harmless)

    def _request(self, name: str, target: Target) -> tuple[Any, dict[str, Any]]:
        from pybuild.commands.build import build, requested

        words = arguments(target)
        allow = sorted(word for word in self._options["allow"] if word.partition("=")[0] not in FREE)
        words[:0] = [f"--allow={word}" for word in allow]
        if self._options["progress"]:
            words[:0] = [f"--progress={self._options['progress']}"]
        try:
            options = build.make_context(f"target {name}", words, parent=None).params
            request = requested(self._roof, options)
        except click.ClickException as error:
            raise BakeError(f"target {name}: {error.format_message()}") from error
        if (inline := target.get("dockerfile-inline")) is not None:
            request = replace(request, text=inline.encode(), dockerfile=None, name=f"{name} (inline)")
        return replace(request, contexts={**request.contexts, **self._linked(target)}), options

    def _linked(self, target: Target) -> dict[str, Any]:
        from builder.sources.named import ImageNamed, key_of

        found = {}
        for name, place in target.get("contexts", {}).items():
            if place.startswith(LINK) and (result := self._built.get(place.removeprefix(LINK))) is not None:
                base, colons, platform = name.partition("::")
                found[f"{key_of(base)}{colons}{platform}"] = ImageNamed(f"{RESULT}@{result.target.digest}")
        return found


def arguments(target: Target) -> list[str]:
    """A target as the options of `build`."""
    context = target["context"].removeprefix(CWD) or "."
    words: list[str] = []
    if "dockerfile-inline" not in target:
        file = target["dockerfile"]
        if file.startswith(CWD):
            file = os.path.abspath(file.removeprefix(CWD))
        here = os.path.isdir(context) and not file.startswith(("http://", "https://"))
        words += ["--file", os.path.join(context, file) if here else file]
    for option, key in {"tag": "tags", "label": "labels", "build-arg": "args", "annotation": "annotations",
                        "platform": "platforms", "no-cache-filter": "no-cache-filter", "ulimit": "ulimits",
                        "add-host": "extra-hosts"}.items():  # fmt: skip
        value = target.get(key, ())
        items = [f"{name}={one}" for name, one in value.items()] if isinstance(value, dict) else value
        words += [f"--{option}={item}" for item in items]
    for name, place in target.get("contexts", {}).items():
        if not place.startswith(LINK):
            words.append(f"--build-context={name}={place.removeprefix(CWD)}")
    words += [f"--{key}" for key in ("pull", "no-cache") if target.get(key)]
    words += [f"--{key}={target[key]}" for key in ("target", "network", "shm-size") if target.get(key)]
    words += [f"--secret={line(one)}" for one in target.get("secret", ())]
    words += [f"--ssh={one['id']}{'=' if one.get('paths') else ''}{','.join(one.get('paths', ()))}"
              for one in target.get("ssh", ())]  # fmt: skip
    words += [f"--{key}={line(one)}" for key in ("cache-from", "cache-to") for one in target.get(key, ())]
    words += [f"--output={line(one)}" for one in target.get("output", ()) if leaves(one)]
    words += [f"--attest={line(one)}" for one in target.get("attest", ())]
    return [*words, "--", context]


def leaves(output: Mapping[str, Any]) -> bool:
    """Whether an output is more than the image in the local store, which is there in any case."""
    match output.get("type"):
        case "cacheonly":
            return False
        case "image":
            return output.keys() - {"type"} != set()
        case "docker":
            return "dest" in output
    return True
