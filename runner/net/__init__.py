"""The kernel's networks: links and addresses by rtnetlink, rules by nft, a netns of a process wired to bridges."""

import os

PLACES = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin"


def rules_program() -> str | None:
    """nft(8), which lies where an ordinary user's PATH does not look; asked for before anything of it is loaded."""
    places = f"{os.environ.get('PATH', '')}:{PLACES}".split(":")
    return next((path for place in places if place and os.access(path := f"{place}/nft", os.X_OK)), None)
