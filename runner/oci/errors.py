"""What can go wrong with a bundle or a container of one. The words that callers look for are runc's."""

from layers.quick import dataclass
from runner.errors import RunnerError


@dataclass(eq=False)
class BundleInvalid(RunnerError):
    """config.json breaks its specification, or asks for what cannot be given: `where` in it, and `why`."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"config.json: {self.where}: {self.why}"


@dataclass(eq=False)
class ContainerError(RunnerError):
    """A command does not fit the state that the container is in, or there is no such container."""

    why: str

    def __str__(self) -> str:
        return self.why


@dataclass(eq=False)
class StartFailed(RunnerError):
    """The container's first process could not begin."""

    why: str

    def __str__(self) -> str:
        return f"unable to start container process: {self.why}"


MISSING = "container does not exist"
NOT_RUNNING = "container not running"
