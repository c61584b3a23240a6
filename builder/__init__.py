"""The plan: from a Dockerfile and its files to an image, and containers to look at it.

This is the face of the package; what is costly to load is looked up when it is first used (PEP 562). The one thing
that is not here is `builder.build.build`: a function cannot share its name with its module.
"""

from __future__ import annotations

from layers.faces import lazily

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.build import BuildResult, StepReport
    from builder.caching.policy import Lifetime
    from builder.errors import (
        BuildError,
        Cancelled,
        ContextError,
        DockerfileError,
        DockerfileErrors,
        StageCycle,
        StageMissing,
        StepFailed,
    )
    from builder.request import Attest, BuildRequest, CacheSource, CacheTarget, Output
    from builder.secrets import Secret
    from builder.stages import Stage, Stages, platform_arguments
    from builder.workbench import Workbench

__getattr__ = lazily(
    __name__,
    {
        "build": ("BuildResult", "StepReport"),
        "errors": (
            "BuildError",
            "Cancelled",
            "ContextError",
            "DockerfileError",
            "DockerfileErrors",
            "StageCycle",
            "StageMissing",
            "StepFailed",
        ),
        "caching.policy": ("Lifetime",),
        "request": ("Attest", "BuildRequest", "CacheSource", "CacheTarget", "Output"),
        "secrets": ("Secret",),
        "stages": ("Stage", "Stages", "platform_arguments"),
        "workbench": ("Workbench",),
    },
)

__all__ = [
    "Attest",
    "BuildError",
    "BuildRequest",
    "BuildResult",
    "CacheSource",
    "CacheTarget",
    "Cancelled",
    "ContextError",
    "DockerfileError",
    "DockerfileErrors",
    "Lifetime",
    "Output",
    "Secret",
    "Stage",
    "StageCycle",
    "StageMissing",
    "Stages",
    "StepFailed",
    "StepReport",
    "Workbench",
    "platform_arguments",
]
