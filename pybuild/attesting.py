"""`--provenance`, `--sbom` and `--attest`: what is told of images, in buildx's words."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pybuild.cacheflags import flag, nothing_left

if TYPE_CHECKING:
    from builder import Attest

KNOWN = {"true": "", "1": "", "false": "disabled=true", "0": "disabled=true", "min": "mode=min", "max": "mode=max"}


def attest(options: Mapping[str, Any]) -> Attest:
    """All three options as one value; the short ones have the last word. Raises ValueError."""
    from builder import Attest

    found = Attest()
    specs = [*options.get("attest", ())]
    for kind in ("provenance", "sbom"):
        for word in options.get(kind, ()):
            rest = KNOWN.get(word, word)
            specs.append(f"type={kind},{rest}" if rest else f"type={kind}")
    for spec in specs:
        found = _one(found, spec)
    return found


def _one(before: Attest, spec: str) -> Attest:
    from layers.quick import replace

    words: dict[str, str] = {}
    for item in next(csv.reader([spec]), []):
        key, equals, value = item.partition("=")
        if not equals and item in ("provenance", "sbom") and not words:
            key, value = "type", item
        elif not equals:
            raise ValueError(f"--attest {spec!r}: {item!r} is not KEY=VALUE")
        words[key.strip().lower()] = value
    kind = words.pop("type", "")
    disabled = flag("--attest", spec, words, "disabled", default=False)
    artifact = flag("--attest", spec, words, "referrers", default=before.artifact)
    words.pop("inline-only", None)  # there is no other place for them
    if kind == "sbom":
        if generator := words.pop("generator", ""):
            raise ValueError(f"--attest {spec!r}: generator={generator}: packages are found without one")
        nothing_left("--attest", spec, words)
        return replace(before, sbom=not disabled, artifact=artifact)
    if kind != "provenance":
        raise ValueError(f"--attest {spec!r}: type is one of provenance, sbom")
    mode = words.pop("mode", "min")
    if mode not in ("min", "max"):
        raise ValueError(f"--attest {spec!r}: mode is min or max")
    if (version := words.pop("version", "v1")) not in ("v1", "1"):
        raise ValueError(f"--attest {spec!r}: version={version}: only SLSA provenance v1 is written")
    builder = words.pop("builder-id", before.builder)
    reproducible = flag("--attest", spec, words, "reproducible", default=before.reproducible)
    nothing_left("--attest", spec, words)
    chosen: Any = "" if disabled else mode
    return replace(before, provenance=chosen, builder=builder, reproducible=reproducible, artifact=artifact)
