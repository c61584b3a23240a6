"""A table of what is installed."""

from importlib.metadata import distributions

from columns import columns


def main() -> None:
    """Print it."""
    print(columns(sorted((one.name, one.version) for one in distributions(path=[__file__.rpartition("/")[0]]))))
