"""How fast pybuild is beside the tools that Debian has: `python -m bench --help`."""
