"""Names for containers that were given none: two words that are easy to type and to tell apart."""

import os

FIRST = (
    "amber azure brave brisk calm clear crisp eager early fair fleet fresh gentle glad golden green happy honest "
    "humble ivory jolly keen kind light lively lucid lucky mellow merry mild modest neat nimble noble patient plain "
    "polite proud quick quiet rapid ready royal silent silver simple sleek smart solid steady still stout sunny swift "
    "tidy tranquil true upbeat vivid warm wise witty young"
).split()
SECOND = (
    "acorn anchor arch aspen badger basin beacon birch bridge brook canyon cedar cliff cloud coral cove crane creek "
    "dune eagle ember falcon fern field fjord forest fox garden glacier grove harbor hawk hazel heron hill island "
    "juniper lagoon lake lantern larch leaf linden lynx maple marsh meadow mesa moss oak orchard otter owl peak pebble "
    "pine plain pond quarry rapid raven reef ridge river robin sage shore sparrow spring spruce stone summit thicket "
    "tide trail valley willow wren"
).split()


def propose() -> str:
    """A name that is probably free; whoever takes it checks."""
    first, second = divmod(int.from_bytes(os.urandom(8)), len(SECOND))
    return f"{FIRST[first % len(FIRST)]}_{SECOND[second]}"


def is_name(text: str) -> bool:
    """Docker's rule: [a-zA-Z0-9][a-zA-Z0-9_.-]+."""
    ascii_words = text.isascii() and all(char.isalnum() or char in "_.-" for char in text)
    return len(text) > 1 and ascii_words and text[0].isalnum()
