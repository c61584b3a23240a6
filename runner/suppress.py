"""`contextlib.suppress` for the spawner and its children, who do without all that `contextlib` loads."""

__all__ = ["suppress"]

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from contextlib import suppress
else:

    class suppress:
        """What is raised inside and is of these kinds ends the block, and no more."""

        def __init__(self, *kinds):
            self.kinds = kinds

        def __enter__(self):
            return None

        def __exit__(self, kind, value, trace):
            return kind is not None and issubclass(kind, self.kinds)
