"""A context looked at in two processes: the helper lists half of the directories, and reads half of what is unknown.

Where there is no helper, and for what it could not do, nothing is done here: it is done when it is asked for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from builder.contexts.hashing import of_files, of_many
from builder.contexts.listing import read_many, received
from builder.contexts.statcache import READ
from layers.errors import FileChanged
from layers.helper import Helper, lent

if TYPE_CHECKING:
    from builder.contexts.context import Context
    from layers.disk.stats import Stats

FOLDERS, FILES = 16, 1_000
"""What is worth the messages: directories to list, files to read."""


def foresee(context: Context, path: str) -> None:
    """List all that is below a directory, and read what is not known of it."""
    with lent() as helper:
        if helper is None:
            return
        unknown: list[tuple[str, list[str], Stats]] = []
        level = [path]
        while level:
            _list(context, level, helper)
            unknown += [(one, *found) for one in level if (found := context.unknown(one))[0]]
            level = [inner for one in level for inner in context.inner(one)]
        if sum(len(names) for _, names, _ in unknown) >= FILES:
            _read(context, unknown, helper)


def _list(context: Context, folders: list[str], helper: Helper) -> None:
    half = len(folders) // 2 if len(folders) >= FOLDERS else len(folders)
    if theirs := folders[half:]:
        helper.ask(read_many, theirs, [context.root.fd])
    for one in folders[:half]:
        context.listing(one)
    for one, found in zip(theirs, helper.answer() or (), strict=False):
        if found is not None:
            context.listings.setdefault(one, received(*found))


def _read(context: Context, unknown: list[tuple[str, list[str], Stats]], helper: Helper) -> None:
    weights = [len(names) + sum(stats.column("size")) // READ for _, names, stats in unknown]
    half, ours = sum(weights) // 2, 0
    while half > 0:
        half -= weights[ours]
        ours += 1
    began = time.time_ns()
    if theirs := unknown[ours:]:
        order = [(folder, names, stats.numbers.tobytes()) for folder, names, stats in theirs]
        helper.ask(of_many, order, [context.root.fd])
    try:
        for folder, names, stats in unknown[:ours]:
            context.ahead[folder] = began, of_files(context.root, folder, names, stats)
    except (FileChanged, OSError):  # met again, and told, when it is asked for
        pass
    for (folder, _, _), found in zip(theirs, helper.answer() or (), strict=False):
        if found is not None:
            context.ahead[folder] = began, found
