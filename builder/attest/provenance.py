"""How an image was built, as SLSA provenance (slsa.dev/provenance/v1, BuildKit's slsa-definitions.md).

Nothing in it depends on when or where a build is done once more: what is all cached gives the same bytes again. Values
of build arguments and labels are told with mode=max only; of secrets only their ids.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from builder.attest.statements import Predicate, purl
from builder.graph import Base, BuildGraph, Fetch, Run
from builder.sources.git import key_of as git_key
from builder.sources.gitref import GitSource
from builder.sources.named import Directory, ImageNamed, LayoutImage, StageNamed
from builder.sources.web import WebSource
from builder.sources.web import key_of as web_key
from layers import Platform
from layers.oci.documents import encode

if TYPE_CHECKING:
    from builder.built import Built
    from builder.graph import Step
    from builder.road import Road
    from builder.sources.named import Place

TYPE = "https://slsa.dev/provenance/v1"
HERE = ("file", "context", "contexts")
"""Inputs that are paths of this machine."""
BUILD_TYPE = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"


def provenance(road: Road, made: Built) -> Predicate:
    """The predicate for one image."""
    request, full = road.request, road.request.attest.provenance == "max"
    asked: dict[str, Any] = {"frontend": "dockerfile.v0"}
    words = {**arguments(made.inputs, full=full), **contexts(request.contexts)}
    if words:
        asked["args"] = dict(sorted(words.items()))
    if full and request.secrets:
        asked["secrets"] = [{"id": id, "optional": True} for id in sorted(request.secrets)]
    if full and request.agents:
        asked["ssh"] = [{"id": id, "optional": True} for id in sorted(request.agents)]
    asked["locals"] = [{"name": "context"}, {"name": "dockerfile"}]
    name = request.dockerfile.name if request.dockerfile else "Dockerfile"
    source: dict[str, Any] = {"path": name}
    if request.source is not None:
        source = {**material(road, request.source), "path": name}
    inside: dict[str, Any] = {"builderPlatform": str(Platform.host())}
    if full:
        inside = {"buildConfig": {"steps": [told(step, made) for step in made.graph.steps]}, **inside}
    definition: dict[str, Any] = {
        "buildType": BUILD_TYPE,
        "externalParameters": {"configSource": source, "request": asked},
        "internalParameters": inside,
    }
    found, complete = dependencies(road, made.graph)
    if found:
        definition["resolvedDependencies"] = found
    about: dict[str, Any] = {}
    if full:
        text = base64.b64encode(road.text).decode()
        infos = [{"filename": name, "language": "Dockerfile", "data": text}]
        about["source"] = {"locations": locations(made.graph), "infos": infos}
        if found_layers := layers(made):
            about["layers"] = found_layers
    same = {key: value for key, value in made.inputs.items() if key not in HERE}
    metadata: dict[str, Any] = {"invocationId": hashlib.sha256(encode(same)).hexdigest()[:32]}
    if made.image.created:
        metadata["finishedOn"] = made.image.created
    metadata["buildkit_metadata"] = about
    ran = [step for step in made.graph.steps if isinstance(step.op, Run)]
    if all(isinstance(step.op, Run) and step.op.network == "none" for step in ran) and complete:
        metadata["buildkit_hermetic"] = True
    metadata["buildkit_completeness"] = {"request": full, "resolvedDependencies": complete}
    if request.attest.reproducible:
        metadata["buildkit_reproducible"] = True
    details = {"builder": {"id": request.attest.builder}, "metadata": metadata}
    return Predicate(TYPE, {"buildDefinition": definition, "runDetails": details})


def arguments(inputs: Mapping[str, Any], *, full: bool) -> dict[str, str]:
    """The words of the request, in BuildKit's names; values that people gave only if `full`."""
    found: dict[str, str] = {}
    if full:
        found |= {f"build-arg:{name}": value for name, value in inputs.get("args", {}).items()}
        found |= {f"label:{name}": value for name, value in inputs.get("labels", {}).items()}
    if inputs.get("target"):
        found["target"] = inputs["target"]
    if inputs.get("network", "host") != "host":
        found["force-network-mode"] = inputs["network"]
    return dict(sorted(found.items()))


def contexts(places: Mapping[str, Place]) -> dict[str, str]:
    """The contexts with names, in BuildKit's words; directories of this machine by their names only."""
    found = {}
    for name, place in places.items():
        match place:
            case ImageNamed(image):
                told = f"docker-image://{image}"
            case LayoutImage():
                told = f"oci-layout:{name}"
            case StageNamed(stage):
                told = f"target:{stage}"
            case Directory():
                told = f"local:{name}"
            case _:
                told = place.shown
        found[f"context:{name}"] = told
    return found


def material(road: Road, source: GitSource | WebSource) -> dict[str, Any]:
    """What was fetched from elsewhere: where it is, and the commit or the digest of what came."""
    records = road.bench.store.records
    if isinstance(source, GitSource):
        record = records.find(git_key(source, source.ref))
        uri = source.shown + (f"#{source.ref}" if source.ref else "")
        return {"uri": uri, **({"digest": {"sha1": record.value["commit"]}} if record is not None else {})}
    record = records.find(web_key(source, road.request.secrets))
    digests = dict(one.split(":", 1) for one in record.value["digests"]) if record is not None else {}
    return {"uri": source.shown, **({"digest": dict(sorted(digests.items()))} if digests else {})}


def dependencies(road: Road, graph: BuildGraph) -> tuple[list[dict[str, Any]], bool]:
    """What was fetched, and whether that is all that went in: not if files of this machine did."""
    found: dict[str, dict[str, Any]] = {}
    places = road.request.contexts.values()
    complete = road.request.context is None and not any(isinstance(one, Directory | LayoutImage) for one in places)
    for source in (road.request.source, road.dated_by):
        if source is not None:
            own = material(road, source)
            found[own["uri"]] = own
    for step in graph.steps:
        if isinstance(step.op, Base) and step.op.image is not None:
            image = step.op.image
            query = f"?platform={str(step.platform).replace('/', '%2F')}"
            uri = purl(image.reference) + query
            digest = image.target.digest
            found[uri] = {"uri": uri, "digest": {digest.algorithm: digest.hex}}
        elif isinstance(step.op, Fetch):
            one = material(road, step.op.source)
            found[one["uri"]] = one
    return [found[uri] for uri in sorted(found)], complete


def locations(graph: BuildGraph) -> dict[str, Any]:
    """Where in the Dockerfile each step comes from."""
    found: dict[str, Any] = {}
    names = names_of(graph)
    for step in graph.steps:
        lines = {"start": {"line": step.span.line}, "end": {"line": step.span.end_line}}
        found[names[step.id]] = {"locations": [{"ranges": [lines]}]} if step.span.place else {}
    return found


def layers(made: Built) -> dict[str, Any]:
    """The layers of the image that each step ends in, for those whose result the image stands on."""
    whole, names, found = made.image.config.diff_ids, names_of(made.graph), {}
    for step in made.graph.steps:
        result = made.execution.made.get(step.id)
        diff_ids = () if result is None else result.chain.diff_ids
        if diff_ids and diff_ids == whole[: len(diff_ids)]:
            entries = [layer.to_json() for layer in made.image.manifest.layers[: len(diff_ids)]]
            found[f"{names[step.id]}:0"] = [entries]
    return found


def names_of(graph: BuildGraph) -> dict[int, str]:
    """What each step is called, by its id."""
    return {step.id: f"step{number}" for number, step in enumerate(graph.steps)}


def told(step: Step, made: Built) -> dict[str, Any]:
    """A step: what it did, over which others, and the layer it made."""
    names = names_of(made.graph)
    value: dict[str, Any] = {"id": names[step.id], "title": step.title}
    if step.span.place:
        value["location"] = str(step.span.place)
    if step.needs:
        value["inputs"] = [f"{names[one]}:0" for one in step.needs]
    result = made.execution.made.get(step.id)
    if result is not None and not isinstance(step.op, Base) and result.chain.diff_ids:
        value["layer"] = str(result.chain.diff_ids[-1])
    return value
