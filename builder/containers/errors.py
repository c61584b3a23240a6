"""What can go wrong with a container."""

from builder.errors import BuildError


class ContainerError(BuildError):
    """Root of the errors about containers."""


class ContainerMissing(ContainerError):
    """No container has that name or id."""

    def __init__(self, text: str, near: tuple[str, ...] = ()) -> None:
        guess = f"; did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"no such container: {text}{guess}")
        self.text = text


class NameTaken(ContainerError):
    """Names are unique in a store."""

    def __init__(self, name: str, owner: str) -> None:
        super().__init__(
            f"the name {name!r} is in use by container {owner[:12]}: remove it (pybuild rm {name}) or choose another"
        )
        self.name = name
        self.owner = owner


class ContainerState(ContainerError):
    """The container is not in a state in which that can be done."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"container {name}: {what}")
        self.name = name


class PathInvalid(ContainerError):
    """A path to copy from or to does not fit."""


class CommandRefused(ContainerError):
    """Its command could not be executed: `exit_code` is 127 if it was not found, else 126."""

    def __init__(self, name: str, why: str, code: int) -> None:
        super().__init__(f"container {name}: {why}")
        self.exit_code = code
