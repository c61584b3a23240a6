"""Stores of every version that ever was are brought up to date whole or not at all; all others are left as they are."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from layers import Store, StoreFormat
from layers.home import db, schema
from layers.home.check import check
from tests.support.stored import new_image, new_layer

SCHEMAS = Path(__file__).parent / "schemas"


def tables(path: Path) -> dict[str, str]:
    """What a database is made of: names of tables and indexes, and their columns."""
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
        shapes = {
            name: str(
                connection.execute(f"PRAGMA {'table_xinfo' if kind == 'table' else 'index_xinfo'}({name})").fetchall()
            )
            for name, kind in found
        }
    connection.close()
    return shapes


def of_version(root: Path, version: int) -> Path:
    """A store with an image "one:1", made by the tables that `version` had."""
    with Store.open(root) as store:
        new_image(store, [new_layer(store, {"a": b"a"})], "one:1")
        store.records.keep("key", {})
        rows = {
            name: store.db.rows(f"SELECT {columns} FROM {name}")
            for name, columns in {
                "ref": "name, digest, media_type, size",
                "document": "digest, media_type, size",
                "image": "manifest, config, added",
                "edge": "parent, child",
                "record": "key, value, made, used",
            }.items()
        }
    (root / "db.sqlite").unlink()
    connection = sqlite3.connect(root / "db.sqlite")
    connection.executescript((SCHEMAS / f"{version}.sql").read_text(encoding="utf-8"))
    for name, lines in rows.items():
        for line in lines:
            columns = [column for _, column, *_ in connection.execute(f"PRAGMA table_info({name})")][: len(line)]
            marks = ",".join("?" * len(line))
            connection.execute(f"INSERT INTO {name} ({','.join(columns)}) VALUES ({marks})", line)
    connection.commit()
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    return root


def content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


@pytest.mark.parametrize("version", range(1, db.VERSION + 1))
def test_a_store_of_each_version_becomes_one_of_this(tmp_path: Path, version: int) -> None:
    root = of_version(tmp_path / "store", version)
    with Store.open(root) as store:
        image = store.images.get("one:1")
        assert [found.id for found in store.images.list()] == [image.id]
        assert store.records.find("key") is not None
        assert store.db.row("PRAGMA user_version") == (db.VERSION,)
        added, used = store.db.rows("SELECT added, used FROM image")[0]
        assert used >= added > 0
    Store.open(tmp_path / "fresh").close()
    assert tables(root / "db.sqlite") == tables(tmp_path / "fresh/db.sqlite")


def test_a_store_that_has_a_table_before_its_version_keeps_it(tmp_path: Path) -> None:
    root = of_version(tmp_path / "store", 1)
    connection = sqlite3.connect(root / "db.sqlite")
    connection.execute(
        "CREATE TABLE served (repository TEXT NOT NULL, digest TEXT NOT NULL, subject TEXT, "
        "PRIMARY KEY (repository, digest)) WITHOUT ROWID"
    )
    connection.execute("INSERT INTO served VALUES ('app', 'sha256:0', NULL)")
    connection.commit()
    connection.close()
    with Store.open(root) as store:
        assert store.db.rows("SELECT repository FROM served") == [("app",)]


def test_the_tables_of_this_version_are_written_down(tmp_path: Path) -> None:
    assert len(schema.STEPS) == db.VERSION
    connection = sqlite3.connect(tmp_path / "written")
    connection.executescript((SCHEMAS / f"{db.VERSION}.sql").read_text(encoding="utf-8"))
    connection.close()
    Store.open(tmp_path / "store").close()
    assert tables(tmp_path / "written") == tables(tmp_path / "store/db.sqlite")


def test_a_step_that_fails_leaves_the_version_that_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = of_version(tmp_path / "store", 1)
    before = tables(root / "db.sqlite")

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (done TEXT)")
        raise RuntimeError("the power went")

    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, broken))
    monkeypatch.setattr(db, "VERSION", len(schema.STEPS))
    with pytest.raises(RuntimeError):
        Store.open(root)
    assert tables(root / "db.sqlite") == before
    monkeypatch.undo()
    with Store.open(root) as store:
        assert store.images.get("one:1")


def test_processes_that_meet_an_old_store_at_once_bring_it_up_to_date_once(tmp_path: Path) -> None:
    root = of_version(tmp_path / "store", 1)
    script = (
        "import sys; from pathlib import Path; from layers import Store\n"
        "with Store.open(Path(sys.argv[1])) as store: store.images.get('one:1')"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, root], stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in started:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("PRAGMA user_version=99", "version 99.*nothing was changed"),
        ("PRAGMA application_id=1", "another program"),
        ("PRAGMA application_id=0", "another program"),
    ],
)
def test_a_later_store_and_a_stranger_are_refused_and_not_written(tmp_path: Path, statement: str, told: str) -> None:
    root = of_version(tmp_path / "store", db.VERSION)
    connection = sqlite3.connect(root / "db.sqlite")
    connection.execute(statement)
    connection.close()
    before = content(root)
    with pytest.raises(StoreFormat, match=told):
        Store.open(root)
    assert content(root) == before


def test_a_file_that_is_no_database_is_refused_and_not_written(tmp_path: Path) -> None:
    root = of_version(tmp_path / "store", 1)
    (root / "db.sqlite").write_bytes(b"once upon a time" * 100)
    before = content(root)
    with pytest.raises(StoreFormat, match="no database"):
        Store.open(root)
    assert content(root) == before


def test_a_database_that_was_never_laid_out_is_laid_out(tmp_path: Path) -> None:
    root = of_version(tmp_path / "store", 1)
    (root / "db.sqlite").write_bytes(b"")
    with Store.open(root) as store:
        assert store.images.list() == ()
    shutil.rmtree(root)


def test_containers_of_three_files_become_rows(tmp_path: Path) -> None:
    root = of_version(tmp_path / "store", 3)
    for name, texts in {
        "a" * 64: {"config.json": '{"name": "whole", "created": "2026"}', "pins": "sha256:1\nsha256:2\n"},
        "b" * 64: {"config.json": '{"name": "ended", "created": "2025"}', "pins": "", "state.json": '{"status": "x"}'},
        "c" * 64: {"config.json": "{", "pins": ""},
    }.items():
        (root / "containers" / name).mkdir()
        for file, text in texts.items():
            (root / "containers" / name / file).write_text(text)
    with Store.open(root) as store:
        assert store.db.rows("SELECT id, name, created, pins, state FROM container ORDER BY id") == [
            ("a" * 64, "whole", "2026", "sha256:1\nsha256:2", ""),
            ("b" * 64, "ended", "2025", "", '{"status": "x"}'),
        ]
        assert (
            "1 containers that were half made or half removed: pybuild prune, an hour later" in check(store).leftovers
        )


def test_many_at_once_make_one_new_store(tmp_path: Path) -> None:
    """Each of them finds no database, or one that another is just laying out."""
    for number in range(12):
        root = tmp_path / str(number)
        gate, opener = os.pipe()
        children = []
        for _ in range(12):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    os.close(opener)
                    os.read(gate, 1)  # until all are here
                    with Store.open(root):
                        code = 0
                finally:
                    os._exit(code)
            children.append(child)
        os.close(opener)
        os.close(gate)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 12
