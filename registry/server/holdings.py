"""What each repository holds: rows of the store, and nothing beside them.

A tag is a name of the store. A manifest that was pushed, or has been sent in answer to a tag, is in its repository by
a row of `served`; a manifest that was built here and not asked for yet is in it because a tag leads there. Bytes belong
to the store as a whole, so every repository has every blob. All that changes rows does it in one durable transaction,
after the bytes that they name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from sqlite3 import Connection

from layers import Descriptor, Digest, Reference, Store
from layers.home.images import forget, point
from layers.home.rows import pins
from registry.server.faults import Fault

ABOVE = """
WITH RECURSIVE up (digest) AS (VALUES (?) UNION SELECT e.parent FROM edge e JOIN up ON e.child = up.digest)
SELECT 1 FROM up JOIN ref ON ref.digest = up.digest WHERE ref.name >= ? AND ref.name < ?
AND NOT EXISTS (SELECT 1 FROM served s WHERE s.repository = ? AND s.digest = up.digest) LIMIT 1
"""
"""Does a tag of the repository, whose target has not been sent yet, lead to this document?"""

BELOW = """
WITH RECURSIVE down (digest) AS (VALUES (?) UNION SELECT e.child FROM edge e JOIN down ON e.parent = down.digest)
INSERT OR IGNORE INTO served SELECT ?, down.digest, NULL FROM down JOIN document USING (digest)
"""
"""A document and all documents under it are in the repository."""

HELD = """
SELECT 1 FROM ref WHERE digest = :digest UNION ALL SELECT 1 FROM served WHERE digest = :digest
UNION ALL SELECT 1 FROM edge JOIN document ON document.digest = edge.parent WHERE child = :digest
UNION ALL SELECT 1 FROM lease WHERE digest = :digest AND session <> :session LIMIT 1
"""
"""Does anything but this server need a document?"""


class InUse(Exception):
    """Something that is still needed; the text says by whom."""


class Holdings:
    """The repositories of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._db = store.db

    # -- looking ---------------------------------------------------------------------------------

    def repositories(self) -> list[Reference]:
        """Every repository that holds something, without tags."""
        rows = self._db.rows("SELECT name FROM ref UNION SELECT repository FROM served")
        names = (Reference.parse(name, default_tag=False) for (name,) in rows)
        return sorted({Reference(name.host, name.path) for name in names}, key=str)

    def known(self, repository: Reference) -> bool:
        """True if the repository holds something."""
        held = (
            "SELECT 1 FROM ref WHERE name >= ? AND name < ? UNION ALL SELECT 1 FROM served WHERE repository = ? LIMIT 1"
        )
        return self._db.row(held, *span(repository), str(repository)) is not None

    def tags(self, repository: Reference) -> list[str]:
        """The tags of a repository, sorted by their bytes."""
        rows = self._db.rows("SELECT name FROM ref WHERE name >= ? AND name < ? ORDER BY name", *span(repository))
        skip = len(span(repository)[0])
        return [name[skip:] for (name,) in rows]

    def has(self, repository: Reference, digest: Digest) -> bool:
        """True if a document was pushed to this repository, or sent from it."""
        return bool(
            self._db.row("SELECT 1 FROM served WHERE repository = ? AND digest = ?", str(repository), str(digest))
        )

    def travelled(self, digest: Digest) -> bool:
        """True if a document was pushed to some repository, or sent from one: its bytes are known elsewhere."""
        return bool(self._db.row("SELECT 1 FROM served WHERE digest = ? LIMIT 1", str(digest)))

    def document(self, repository: Reference, digest: Digest) -> Descriptor | None:
        """A manifest or index of a repository, claimed for this process; None if it is not there."""
        found = self._store.images.document(digest)
        if found is None or self.has(repository, digest):
            return found
        return found if self._db.row(ABOVE, str(digest), *span(repository), str(repository)) else None

    def referrers(self, repository: Reference, subject: Digest) -> list[Descriptor]:
        """The documents of a repository whose subject this digest is."""
        rows = self._db.rows(
            "SELECT d.media_type, d.digest, d.size FROM served s JOIN document d USING (digest) "
            "WHERE s.subject = ? AND s.repository = ? ORDER BY d.digest",
            str(subject),
            str(repository),
        )
        return [Descriptor(kind, Digest.parse(digest), size) for kind, digest, size in rows]

    # -- changing --------------------------------------------------------------------------------

    def keep(
        self,
        repository: Reference,
        target: Descriptor,
        *,
        needed: Sequence[Digest],
        subject: Digest | None,
        tags: Sequence[str],
    ) -> None:
        """Take a document that is here into a repository, under these tags.

        Raises Fault MANIFEST_BLOB_UNKNOWN if some of `needed` has gone since it was looked for.
        """
        text = str(repository)
        self._store.images.learn(target, needed)  # from here on nobody may delete them
        with self._db.write(durable=True) as db:
            for digest in needed:
                if not self._store.blobs.has(digest):
                    raise Fault("MANIFEST_BLOB_UNKNOWN", f"{digest} is not here")
            db.execute(BELOW, (str(target.digest), text))
            db.execute(
                "UPDATE served SET subject = ? WHERE repository = ? AND digest = ?",
                (str(subject) if subject else None, text, str(target.digest)),
            )
            for tag in tags:
                point(db, repository.with_tag(tag), target)

    def send(self, name: Reference, before: Descriptor, target: Descriptor) -> bool:
        """Let a tag that points to `before` point to `target`, which goes out; False if it points elsewhere by now."""
        row = (str(target.digest), target.media_type, target.size, str(name), str(before.digest))
        with self._db.write(durable=True) as db:
            done = db.execute("UPDATE ref SET digest = ?, media_type = ?, size = ? WHERE name = ? AND digest = ?", row)
            if done.rowcount:
                db.execute(BELOW, (str(target.digest), name.repository))
            return bool(done.rowcount)

    def untag(self, name: Reference) -> bool:
        """Drop a tag and nothing else; False if there is none."""
        return self._store.images.untag(name) is not None

    def drop(self, repository: Reference, digest: Digest) -> bool:
        """Take a document out of a repository with all its tags there; False if it was not there.

        It leaves the store as well if no name, repository, container or other process needs it. Raises InUse for a part
        of an index that was built here: it came with the index, and goes with it.
        """
        if self.document(repository, digest) is None:
            return False
        text, below, session = str(digest), span(repository), self._store.session.id
        with self._db.write(durable=True) as db:
            gone = db.execute("DELETE FROM ref WHERE digest = ? AND name >= ? AND name < ?", (text, *below)).rowcount
            gone += db.execute(
                "DELETE FROM served WHERE repository = ? AND digest = ?", (str(repository), text)
            ).rowcount
            if not gone:
                raise InUse(f"{digest} is needed by an index")
            if not self._held(db, text, session):
                forget(db, text)
        return True

    def discard(self, digest: Digest) -> bool:
        """Remove a blob that nothing needs; False if it is not here. Raises InUse."""
        text, session = str(digest), self._store.session.id
        with self._store.scratch() as trash, self._db.write(durable=True) as db:
            if not self._store.blobs.has(digest):
                return False
            if db.execute("SELECT 1 FROM document WHERE digest = ?", (text,)).fetchone():
                raise InUse(f"{digest} is a manifest")
            if user := db.execute("SELECT parent FROM edge WHERE child = ? LIMIT 1", (text,)).fetchone():
                raise InUse(f"{digest} is needed by {user[0]}")
            if self._held(db, text, session):
                raise InUse(f"{digest} is needed by a container or by another process")
            os.rename(self._store.blobs.path(digest), trash / digest.hex)
        return True

    def _held(self, db: Connection, text: str, session: str) -> bool:
        if db.execute(HELD, {"digest": text, "session": session}).fetchone():
            return True
        row = db.execute("SELECT config FROM image WHERE manifest = ?", (text,)).fetchone()
        return not {text, *(row or ())}.isdisjoint(pins(db))


def span(repository: Reference) -> tuple[str, str]:
    """The names of the tags of a repository: from the first text on, below the second."""
    return f"{repository}:", f"{repository};"
