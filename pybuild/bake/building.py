"""The targets of a plan, built one after another: what others need first, the steps of each in parallel."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layers.quick import replace
from pybuild.bake.errors import BakeError
from pybuild.bake.plan import LINK, Plan
from pybuild.bake.target import Target, line

if TYPE_CHECKING:
    from builder import BuildResult
    from pybuild.wiring import Context

CWD = "cwd://"
RESULT = "bake.invalid/target"
"""The name, of no registry, that stands for the result of another target."""
FREE = ("fs", "fs.read", "fs.write", "fs.tmp", "fs.cache", "ssh")
"""What buildx asks about before it reads files; here whoever runs the command has read them already."""


class Oven:
    """One run of `bake`. options: the flags of the command."""

    def __init__(self, roof: Context, plan: Plan, options: Mapping[str, Any]) -> None:
        self._roof = roof
        self._plan = plan
        self._options = options
        self._built: dict[str, BuildResult] = {}

    def bake(self) -> int:
        """Build them all; the exit code. Raises BakeError, click.UsageError and what builds raise."""
        self._permitted()
        code = 0
        found: dict[str, Any] = {}
        with self._roof.store.lease():
            for name in self._plan.order():
                target = self._plan.targets[name]
                if (what := target.get("call", "build")) != "build":
                    code = max(code, 0 if name in self._plan.linked else self._call(name, target, what))
                    continue
                found[name] = self._one(name, target)
        if self._options["metadata_file"] and found:
            Path(self._options["metadata_file"]).write_text(json.dumps(found, indent=2) + "\n")
        return code

    def _permitted(self) -> None:
        allowed = {word.partition("=")[0] for word in self._options["allow"]}
        for name, target in self._plan.targets.items():
            implied = {"network.host"} if target.get("network") == "host" else set()
            if missing := set(target.get("entitlements", ())) - allowed - implied:
                one = min(missing)
                raise BakeError(f"target {name} wants {one}\nhelp: if you trust it, add --allow {one}")

    def _one(self, name: str, target: Target) -> dict[str, Any]:
        from pybuild.commands.build import metadata, perform

        request, options = self._request(name, target)
        quiet = self._options["progress"] == "quiet"
        if not quiet:
            click.echo(f"=> target {name}", err=True)
        try:
            result = self._built[name] = perform(self._roof, request, options)
        except Exception as error:
            error.add_note(f"target {name} of the bake file")
            raise
        return metadata(request, result)

    def _call(self, name: str, target: Target, what: str) -> int:
        from pybuild.calling import call, parsed

        kind, as_json, harmless = parsed(what)
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
