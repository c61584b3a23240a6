"""Which steps do not want what the cache has: by stage, by pattern, by age."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.graph import Step
    from builder.request import BuildRequest


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Results older than `seconds` do not count; of the steps that fit `pattern`, "" for all."""

    seconds: float
    pattern: str = ""


def refusal(request: BuildRequest, step: Step) -> str:
    """Why a step is made anew whatever the cache has; "" if it is not."""
    if request.no_cache:
        return "--no-cache"
    if step.stage.lower() in {name.lower() for name in request.no_cache_filter}:
        return f"--no-cache-filter {step.stage}"
    pattern = next((pattern for pattern in request.always if fits(step, pattern)), None)
    return "" if pattern is None else f"--always {pattern}"


def expiry(request: BuildRequest, step: Step, age: float) -> str:
    """Why a result of an age in seconds is too old for a step; "" if it is not. What names the step counts first."""
    chosen = next((one for one in request.lifetimes if one.pattern and fits(step, one.pattern)), None)
    chosen = chosen or next((one for one in request.lifetimes if not one.pattern), None)
    if chosen is None or age <= chosen.seconds:
        return ""
    return f"--cache-ttl: it was made {age:.0f} seconds ago, and may be {chosen.seconds:.0f} old"


def fits(step: Step, pattern: str) -> bool:
    """True if a pattern means a step: `stage/3`, or its words as the shell matches names (`RUN apt-get *`)."""
    words = " ".join(step.title.split())
    return pattern == f"{step.stage}/{step.position}" or fnmatchcase(words, pattern)
