"""What a build has to show for one platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.executing.execution import Execution
    from builder.graph import BuildGraph
    from layers import Image


@dataclass(frozen=True, slots=True)
class Built:
    """An image with all that it was made of. `inputs` as in `builder.builds`."""

    graph: BuildGraph
    execution: Execution
    image: Image
    inputs: Mapping[str, Any]
