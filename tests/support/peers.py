"""Other people's tools, where this machine has them."""

import os
import shutil

import pytest


def need(program: str, package: str | None = None) -> str:
    """The path of a program of the host, or a skip that names the Debian package."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{program} is missing: apt-get install {package or program}")
    return found
