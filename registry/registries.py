"""What this machine says of registries: registries.conf(5) of version 2, with its drop-ins, read as podman reads it.

One file counts: the one of CONTAINERS_REGISTRIES_CONF, else the user's, else the system's; then the `.conf` files of
registries.conf.d, the system's before the user's, each replacing tables of the same prefix. A file that breaks the
rules is an error that names it: a mirror or a ban that is misread would be worse than no build.

One deviation: a prefix that is a host alone does not match that host with a port, which is another registry.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from layers import Reference, ReferenceInvalid
from layers.oci.reference import DEFAULT_HOST, looks_like_host
from layers.quick import dataclass, field, replace
from registry.errors import RegistriesInvalid

SYSTEM = Path("/etc/containers")
Use = Literal["all", "digest-only", "tag-only"]
USES = ("all", "digest-only", "tag-only")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the repositories of a prefix really are: `host[:port][/path]`; `use`: which pulls a mirror serves."""

    location: str
    insecure: bool = False
    use: Use = "all"


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[registry]]`. `prefix` is `host[:port][/path][:tag]` or `*.host`; `file` is where it stands."""

    prefix: str
    own: Place
    mirrors: tuple[Place, ...] = ()
    blocked: bool = False
    file: str = ""

    def matched(self, name: str) -> int:
        """How many letters of `host/path:tag@digest` the prefix covers; 0 if it does not match."""
        if self.prefix.startswith("*."):
            host = name.partition("/")[0].rpartition(":")[0] or name.partition("/")[0]
            return len(host) if host.endswith(self.prefix[1:]) and len(host) >= len(self.prefix) else 0
        follow = "/:@" if "/" in self.prefix else "/"
        whole = name.startswith(self.prefix) and (name[len(self.prefix) : len(self.prefix) + 1] or "/") in follow
        return len(self.prefix) if whole else 0

    def rewritten(self, reference: Reference, place: Place) -> Reference:
        """The reference as it is called at a place. Raises ReferenceInvalid."""
        name = str(reference)
        return Reference.parse(place.location + name[self.matched(name) :]) if place.location else reference

    def places(self, reference: Reference) -> Iterator[tuple[Place, Reference]]:
        """Where to pull a reference from, in order: the mirrors that serve it, then the registry."""
        unwanted = "tag-only" if reference.digest else "digest-only"
        for mirror in self.mirrors:
            if mirror.use != unwanted:
                yield mirror, self.rewritten(reference, mirror)
        yield self.own, self.rewritten(reference, self.own)


@dataclass(frozen=True, slots=True)
class Registries:
    """All of it. `search` are the hosts for names without one, `aliases` whole names for such names."""

    rules: Mapping[str, Rule] = field(default_factory=dict)
    search: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ, system: Path = SYSTEM) -> Registries:
        """Read the files of this machine and user; none at all are fine. Raises RegistriesInvalid."""
        home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME") or "/root", ".config"))
        user = Path(home, "containers")
        folders = [system / "registries.conf.d", user / "registries.conf.d"]
        if named := environment.get("CONTAINERS_REGISTRIES_CONF"):
            main = Path(named)
        elif (user / "registries.conf").exists():
            main = user / "registries.conf"
            folders = folders[1:]
        else:
            main = system / "registries.conf"
        files = [main, *(file for folder in folders for file in sorted(folder.glob("*.conf")))]
        found = cls()
        for file in files:
            found = found.with_file(file, needed=bool(named) and file == main)
        return found

    def with_file(self, file: Path, *, needed: bool = False) -> Registries:
        """These settings with those of a file over them. Raises RegistriesInvalid."""
        import tomllib

        try:
            value = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            if needed:
                raise RegistriesInvalid(str(file), "is not there", help="unset CONTAINERS_REGISTRIES_CONF") from error
            return self
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise RegistriesInvalid(str(file), f"cannot be read: {error}") from error
        if isinstance(value.get("registries"), dict):
            raise RegistriesInvalid(str(file), "is of version 1", help="write [[registry]] tables, registries.conf(5)")
        rules = dict(self.rules)
        for table in typed(file, value, "registry", list, []):
            if not isinstance(table, dict):
                raise RegistriesInvalid(str(file), "registry must be tables: [[registry]]")
            rule = read_rule(file, table)
            rules[rule.prefix] = rule
        search = self.search
        if "unqualified-search-registries" in value:
            search = tuple(map(str, typed(file, value, "unqualified-search-registries", list, [])))
        aliases = dict(self.aliases) | {
            str(name): str(whole) for name, whole in typed(file, value, "aliases", dict, {}).items()
        }
        return Registries(rules, search, {name: whole for name, whole in aliases.items() if whole})

    def with_mirror(self, location: str) -> Registries:
        """These settings with a mirror of docker.io before all others, as dockerd's `--registry-mirror` has it."""
        plain = location.startswith("http://")
        place = Place(location.removeprefix("http://").removeprefix("https://").rstrip("/"), insecure=plain)
        rule = self.rules.get(DEFAULT_HOST, Rule(DEFAULT_HOST, Place(DEFAULT_HOST)))
        return replace(self, rules={**self.rules, DEFAULT_HOST: replace(rule, mirrors=(place, *rule.mirrors))})

    def rule(self, reference: Reference) -> Rule | None:
        """The rule with the longest prefix that matches."""
        name = str(reference)
        return max(
            (rule for rule in self.rules.values() if rule.matched(name)),
            key=lambda rule: len(rule.prefix),
            default=None,
        )

    def meanings(self, text: str) -> tuple[Reference, ...]:
        """What a name may mean, in the order to try: one reference, or one for each search registry of a short name.

        Raises ReferenceInvalid, and RegistriesInvalid for an alias that is no name.
        """
        host, slash, _ = text.partition("/")
        if slash and looks_like_host(host):
            return (Reference.parse(text),)
        usual = Reference.parse(text)
        name = text.partition("@")[0]
        name = name[: name.rfind(":")] if name.rfind(":") > name.rfind("/") else name
        if whole := self.aliases.get(name):
            try:
                return (Reference.parse(whole + text[len(name) :]),)
            except ReferenceInvalid as error:
                raise RegistriesInvalid(f"alias {name!r}", f"in registries.conf is no name: {error.why}") from error
        return tuple(Reference.parse(f"{one}/{text}") for one in self.search) or (usual,)


def read_rule(file: Path, table: Mapping[str, Any]) -> Rule:
    """One `[[registry]]` table. Raises RegistriesInvalid."""
    location = read_location(file, table)
    prefix = typed(file, table, "prefix", str, "").rstrip("/") or location
    if not prefix:
        raise RegistriesInvalid(str(file), "a [[registry]] has neither prefix nor location")
    if not location and not prefix.startswith("*."):
        raise RegistriesInvalid(str(file), f"the registry {prefix} has no location")
    by_digest = typed(file, table, "mirror-by-digest-only", bool, False)
    mirrors = []
    for mirror in typed(file, table, "mirror", list, []):
        if not isinstance(mirror, dict) or not read_location(file, mirror):
            raise RegistriesInvalid(str(file), f"a mirror of {prefix} has no location")
        use = typed(file, mirror, "pull-from-mirror", str, "")
        if use and by_digest:
            raise RegistriesInvalid(
                str(file), f"{prefix}: mirror-by-digest-only and pull-from-mirror exclude each other"
            )
        if use not in ("", *USES):
            raise RegistriesInvalid(str(file), f"{prefix}: pull-from-mirror is {use!r}, not one of {', '.join(USES)}")
        place = Place(
            read_location(file, mirror),
            typed(file, mirror, "insecure", bool, False),
            cast(Use, use or ("digest-only" if by_digest else "all")),
        )
        mirrors.append(place)
    own = Place(location, typed(file, table, "insecure", bool, False))
    return Rule(prefix, own, tuple(mirrors), typed(file, table, "blocked", bool, False), str(file))


def read_location(file: Path, table: Mapping[str, Any]) -> str:
    """`location` of a table, without a slash at its end. Raises RegistriesInvalid."""
    location: str = typed(file, table, "location", str, "").rstrip("/")
    if "://" in location:
        raise RegistriesInvalid(str(file), f"location {location!r} must be HOST[:PORT][/PATH], without a scheme")
    return location


def typed(file: Path, table: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    """A value of a table, of the type that it must have. Raises RegistriesInvalid."""
    value = table.get(key, default)
    if not isinstance(value, kind):
        raise RegistriesInvalid(str(file), f"{key} must be a {kind.__name__}, not {value!r}")
    return value
