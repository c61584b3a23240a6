"""registries.conf: what its tables mean, which file counts, and what is wrong in it."""

from pathlib import Path

import pytest

from layers import Reference, ReferenceInvalid
from registry.errors import RegistriesInvalid
from registry.registries import Registries


def read(tmp_path: Path, text: str) -> Registries:
    """The settings of one file."""
    file = tmp_path / "registries.conf"
    file.write_text(text)
    return Registries().with_file(file)


def places(settings: Registries, name: str) -> list[str]:
    """Where a name is pulled from, in order."""
    reference = Reference.parse(name)
    rule = settings.rule(reference)
    return [str(there) for _, there in rule.places(reference)] if rule else [str(reference)]


D = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("a.example/x:1", "b.example/x:1"),
        ("a.example/team/x:1", "c.example/y/x:1"),
        ("a.example/team", "c.example/y:latest"),
        ("a.example/teams/x:1", "b.example/teams/x:1"),
        ("a.example/one:special", "d.example/one:2"),
        ("a.example/one:specials", "b.example/one:specials"),
        (f"a.example/team/x@{D}", f"c.example/y/x@{D}"),
        ("a.example:5000/x:1", "a.example:5000/x:1"),
        ("aa.example/x:1", "aa.example/x:1"),
        ("x.wild.example/app:1", "tame.example/app:1"),
        ("x.y.wild.example:443/app:1", "tame.example:443/app:1"),
        ("wild.example/app:1", "wild.example/app:1"),
        ("evil.example/x.wild.example/app:1", "evil.example/x.wild.example/app:1"),
        ("alpine", "hub.example/mirror/alpine:latest"),
    ],
)
def test_the_longest_prefix_is_rewritten(tmp_path: Path, name: str, where: str) -> None:
    settings = read(
        tmp_path,
        """
        [[registry]]
        location = "b.example"
        prefix = "a.example"
        [[registry]]
        prefix = "a.example/team"
        location = "c.example/y/"
        [[registry]]
        prefix = "a.example/one:special"
        location = "d.example/one:2"
        [[registry]]
        prefix = "*.wild.example"
        location = "tame.example"
        [[registry]]
        prefix = "docker.io/library"
        location = "hub.example/mirror"
        """,
    )
    assert places(settings, name) == [where]


MIRRORS = """
[[registry]]
location = "a.example"
[[registry.mirror]]
location = "all.example/a"
[[registry.mirror]]
location = "digests.example"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "tags.example"
pull-from-mirror = "tag-only"
insecure = true
"""


def test_mirrors_come_first_in_their_order(tmp_path: Path) -> None:
    settings = read(tmp_path, MIRRORS)
    assert places(settings, "a.example/x:1") == ["all.example/a/x:1", "tags.example/x:1", "a.example/x:1"]
    assert places(settings, f"a.example/x@{D}") == [
        f"{host}/x@{D}" for host in ("all.example/a", "digests.example", "a.example")
    ]
    rule = settings.rule(Reference.parse("a.example/x"))
    assert rule is not None and [mirror.insecure for mirror in rule.mirrors] == [False, False, True]


def test_mirrors_by_digest_only(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        '[[registry]]\nlocation = "a.example"\nmirror-by-digest-only = true\n'
        '[[registry.mirror]]\nlocation = "m.example"',
    )
    assert places(settings, "a.example/x:1") == ["a.example/x:1"]
    assert places(settings, f"a.example/x@{D}") == [f"m.example/x@{D}", f"a.example/x@{D}"]


def test_a_wildcard_without_location_leaves_the_name(tmp_path: Path) -> None:
    settings = read(tmp_path, '[[registry]]\nprefix = "*.example"\nblocked = true')
    rule = settings.rule(Reference.parse("a.example/x"))
    assert rule is not None and rule.blocked
    assert places(settings, "a.example/x:1") == ["a.example/x:1"]


def test_a_mirror_that_flags_name(tmp_path: Path) -> None:
    settings = Registries().with_mirror("https://m.example/").with_mirror("http://n.example:5000")
    assert places(settings, "alpine:3") == [
        "n.example:5000/library/alpine:3",
        "m.example/library/alpine:3",
        "docker.io/library/alpine:3",
    ]
    assert places(settings, "a.example/x:1") == ["a.example/x:1"]


def test_short_names(tmp_path: Path) -> None:
    assert list(map(str, Registries().meanings("app:1"))) == ["docker.io/library/app:1"]
    settings = read(
        tmp_path,
        'unqualified-search-registries = ["one.example", "docker.io"]\n'
        '[aliases]\n"fedora" = "f.example/fedora"\n"team/tool" = "t.example/x/tool"',
    )
    assert list(map(str, settings.meanings("app:1"))) == ["one.example/app:1", "docker.io/library/app:1"]
    assert list(map(str, settings.meanings("team/app"))) == ["one.example/team/app:latest", "docker.io/team/app:latest"]
    assert list(map(str, settings.meanings("fedora:40"))) == ["f.example/fedora:40"]
    assert list(map(str, settings.meanings(f"fedora@{D}"))) == [f"f.example/fedora@{D}"]
    assert list(map(str, settings.meanings("team/tool"))) == ["t.example/x/tool:latest"]
    assert list(map(str, settings.meanings("localhost/app"))) == ["localhost/app:latest"]
    assert list(map(str, settings.meanings("docker.io/fedora"))) == ["docker.io/library/fedora:latest"]
    with pytest.raises(ReferenceInvalid):
        settings.meanings("UPPER")


def test_which_files_count(tmp_path: Path) -> None:
    def write(path: str, search: str, more: str = "") -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'unqualified-search-registries = ["{search}"]\n{more}')

    home = {"HOME": str(tmp_path / "home")}
    system = tmp_path / "etc"
    assert Registries.load(home, system) == Registries()
    write("etc/registries.conf", "system", '[aliases]\na = "x.example/a"\nb = "x.example/b"')
    assert Registries.load(home, system).search == ("system",)
    write("etc/registries.conf.d/9.conf", "nine", '[[registry]]\nlocation = "a.example"\n[aliases]\na = ""')
    write("etc/registries.conf.d/10.conf", "ten", '[[registry]]\nlocation = "a.example"\nblocked = true')
    write("etc/registries.conf.d/ignored", "x", "no toml [")
    found = Registries.load(home, system)
    assert found.search == ("nine",), "the last file in the order of names"
    assert not found.rules["a.example"].blocked, "and its table replaces the other"
    assert found.aliases == {"b": "x.example/b"}, "an empty alias takes one away"
    write("home/.config/containers/registries.conf.d/1.conf", "mine")
    assert Registries.load(home, system).search == ("mine",), "the user's come after the system's"
    write("home/.config/containers/registries.conf", "user")
    found = Registries.load(home, system)
    assert (found.search, found.rules, found.aliases) == (("mine",), {}, {}), "and with a file of his own alone"
    write("named.conf", "named")
    (tmp_path / "home/.config/containers/registries.conf.d/1.conf").unlink()
    named = {**home, "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "named.conf")}
    assert Registries.load(named, system).search == ("nine",), "drop-ins count beside a named file"
    with pytest.raises(RegistriesInvalid, match=r"gone\.conf: is not there"):
        Registries.load({"CONTAINERS_REGISTRIES_CONF": "/gone.conf"}, system)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no toml [", "cannot be read"),
        ("[registries.search]\nregistries = []", "version 1"),
        ("[[registry]]\nblocked = true", "neither prefix nor location"),
        ('[[registry]]\nprefix = "a.example"', "has no location"),
        ('[[registry]]\nlocation = "https://a.example"', "without a scheme"),
        ('[[registry]]\nlocation = "a"\ninsecure = "yes"', "insecure must be a bool"),
        ('[[registry]]\nlocation = "a"\n[[registry.mirror]]\ninsecure = true', "mirror of a has no location"),
        ('[[registry]]\nlocation = "a"\n[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "no"', "not one of"),
        (
            '[[registry]]\nlocation = "a"\nmirror-by-digest-only = true\n'
            '[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "all"',
            "exclude each other",
        ),
        ('registry = ["a"]', "must be tables"),
        ('[registry]\nlocation = "a"', "registry must be a list"),
        ("unqualified-search-registries = 1", "must be a list"),
    ],
)
def test_what_is_wrong_is_said_and_where(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(RegistriesInvalid, match=rf"registries\.conf: .*{why}"):
        read(tmp_path, text)


def test_an_alias_that_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(RegistriesInvalid, match="alias 'a'"):
        read(tmp_path, '[aliases]\na = "no name"').meanings("a")
