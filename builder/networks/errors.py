"""What can go wrong with a network."""

from builder.errors import BuildError


class NetworkError(BuildError):
    """Root of the errors about networks."""


class NetworkMissing(NetworkError):
    """No network has that name or id."""

    def __init__(self, text: str, near: tuple[str, ...] = ()) -> None:
        guess = f"; did you mean {' or '.join(near)}?" if near else f"; make it with: pybuild network create {text}"
        super().__init__(f"network {text} not found{guess}")
        self.text = text


class NetworkInUse(NetworkError):
    """A network has containers."""

    def __init__(self, name: str, users: tuple[str, ...]) -> None:
        who = ", ".join(users)
        super().__init__(f"network {name} has active endpoints ({who}): stop or disconnect these first")
        self.name = name
        self.users = users
