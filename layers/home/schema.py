"""The tables of a store, as the steps that made them: one function for each version, never changed once released.

A new store takes all the steps, an older one those that it lacks, in one transaction: so there is one road, and a table
is written down once. To change a table or add one, append a function to STEPS, count it in `layers.home.db` (and put
into tests/unit/layers/schemas the text that `.schema` printed before, which proves the step).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from layers.home.db import APPLICATION
from layers.quickjson import loads

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from sqlite3 import Connection


def tables(db: Connection) -> None:
    """Version 1."""
    for statement in """
CREATE TABLE ref (name TEXT PRIMARY KEY, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE INDEX ref_digest ON ref (digest);
CREATE TABLE document (digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE image (manifest TEXT PRIMARY KEY, config TEXT NOT NULL, added REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX image_config ON image (config);
CREATE TABLE edge (parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (parent, child)) WITHOUT ROWID;
CREATE INDEX edge_child ON edge (child);
CREATE TABLE variant (digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL, codec TEXT NOT NULL, level INTEGER,
    size INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX variant_diff_id ON variant (diff_id, codec, level);
CREATE TABLE record (key TEXT PRIMARY KEY, value TEXT NOT NULL, made REAL NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE lease (session TEXT NOT NULL, holder INTEGER NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (session, holder, digest)) WITHOUT ROWID;
CREATE TABLE snapshot (chain TEXT PRIMARY KEY, parent TEXT, diff_id TEXT NOT NULL, boot_id TEXT NOT NULL) WITHOUT ROWID;
""".split(";"):
        db.execute(statement)


def use_of_images(db: Connection) -> None:
    """Version 2: when an image was last used, in seconds since the epoch, for prune's `unused-for`."""
    db.execute("ALTER TABLE image ADD COLUMN used REAL NOT NULL DEFAULT 0")
    db.execute("UPDATE image SET used = added")


def what_was_served(db: Connection) -> None:
    """Version 3: which repository of ours a document was pushed to, and about which other one it says something.

    Some stores of version 1 have the table already.
    """
    db.execute(
        "CREATE TABLE IF NOT EXISTS served (repository TEXT NOT NULL, digest TEXT NOT NULL, subject TEXT, "
        "PRIMARY KEY (repository, digest)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX IF NOT EXISTS served_digest ON served (digest)")
    db.execute("CREATE INDEX IF NOT EXISTS served_subject ON served (subject)")


def containers(db: Connection) -> None:
    """Version 4: containers, which had three files each before; `pins` are the digests that they need.

    What cannot be read stays a folder without a row: the check of the store tells it.
    """
    db.execute(
        "CREATE TABLE container (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created TEXT NOT NULL, "
        "pins TEXT NOT NULL, settings TEXT NOT NULL, state TEXT NOT NULL)"
    )
    file = db.execute("PRAGMA database_list").fetchone()[2]
    for config in sorted(Path(file).parent.glob("containers/[0-9a-f]*/config.json")) if file else ():
        state = config.with_name("state.json")
        try:
            text = config.read_text()
            words = loads(text)
            pins = config.with_name("pins").read_text(encoding="ascii").strip()
            row = (config.parent.name, words["name"], words["created"], pins, text)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        db.execute(
            "INSERT OR IGNORE INTO container VALUES (?, ?, ?, ?, ?, ?)",
            (*row, state.read_text() if state.exists() else ""),
        )


STEPS: tuple[Callable[[Connection], None], ...] = (tables, use_of_images, what_was_served, containers)
"""Step N makes a store of version N - 1 one of version N; version 0 is an empty file."""


def upgrade(db: Connection, version: int) -> None:
    """Take the steps that a store of `version` lacks, inside a transaction of the caller."""
    for step in STEPS[version:]:
        step(db)
    db.execute(f"PRAGMA application_id={APPLICATION}")
    db.execute(f"PRAGMA user_version={len(STEPS)}")
