"""What is installed in an image, from the databases that package managers leave: nothing is unpacked or run.

dpkg, apk, rpm (sqlite), Python's `*.dist-info` and `*.egg-info`, npm's `node_modules/*/package.json`. All of it was
written by others: what cannot be read is told of and left out.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from email.parser import HeaderParser
from typing import Any
from urllib.parse import quote

from layers.quick import dataclass
from layers.views.tree import Tree

LARGEST = 64 << 20
"""Bytes of one database that are read."""
SMALL = 4 << 20
DPKG = ("var/lib/dpkg/status", "var/lib/dpkg/status.d")
APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
RPM = ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm")
UNREADABLE_RPM = ("Packages.db", "Packages")
"""rpm's other databases: ndb and Berkeley DB."""


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package. `kind` is that of its package URL; `source` is the file that tells of it."""

    kind: str
    name: str
    version: str
    arch: str = ""
    namespace: str = ""
    license: str = ""
    origin: str = ""
    supplier: str = ""
    distro: str = ""
    source: str = ""

    @property
    def purl(self) -> str:
        """Its package URL (package-url/purl-spec)."""
        path = "/".join(quote(part, safe="") for part in (*self.namespace.split("/"), self.name) if part)
        words = {"arch": self.arch, "distro": self.distro, "upstream": self.origin}
        query = "&".join(f"{key}={quote(word, safe='.+:~')}" for key, word in sorted(words.items()) if word)
        return f"pkg:{self.kind}/{path}@{quote(self.version, safe='.:~')}" + (f"?{query}" if query else "")


def packages(tree: Tree, warn: Callable[[str], None]) -> list[Package]:
    """All that is found, each once, sorted. `warn` is told what could not be read."""
    system = release(tree)
    found = [*dpkg(tree, system), *apk(tree, system), *rpm(tree, system, warn), *languages(tree)]
    return sorted({(one.purl, one.source): one for one in found}.values())


def release(tree: Tree) -> Mapping[str, str]:
    """The words of os-release."""
    raw = tree.read("etc/os-release", SMALL) or tree.read("usr/lib/os-release", SMALL) or b""
    pairs = (line.partition("=") for line in raw.decode("utf-8", "replace").splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def distro(system: Mapping[str, str]) -> str:
    """`debian-12`."""
    return "-".join(word for word in (system.get("ID", ""), system.get("VERSION_ID", "")) if word)


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Blocks of `Key: value` lines, as dpkg writes them."""
    block: dict[str, str] = {}
    last = ""
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if block:
                yield block
            block, last = {}, ""
        elif line[0] in " \t":
            if last:
                block[last] += "\n" + line[1:]
        else:
            key, colon, value = line.partition(":")
            if colon:
                last = key
                block[key] = value.strip()


def dpkg(tree: Tree, system: Mapping[str, str]) -> Iterator[Package]:
    """Debian's packages; distroless images have a file for each."""
    files = [DPKG[0], *(f"{DPKG[1]}/{name}" for name in tree.children(DPKG[1]) if not name.endswith(".md5sums"))]
    for path in files:
        raw = tree.read(path, LARGEST)
        for block in stanzas((raw or b"").decode("utf-8", "replace")):
            installed = block.get("Status", "install ok installed").split()[-1:] == ["installed"]
            if not installed or not block.get("Package") or not block.get("Version"):
                continue
            origin, _, version = block.get("Source", "").partition(" ")
            version = version.strip("() ")
            yield Package(
                "deb",
                block["Package"],
                block["Version"],
                block.get("Architecture", ""),
                system.get("ID", "debian"),
                origin=f"{origin}@{version}" if version else origin,
                supplier=block.get("Maintainer", ""),
                distro=distro(system),
                source=path,
            )


def apk(tree: Tree, system: Mapping[str, str]) -> Iterator[Package]:
    """Alpine's packages."""
    for path in APK:
        raw = tree.read(path, LARGEST)
        for block in stanzas((raw or b"").decode("utf-8", "replace")):
            if block.get("P") and block.get("V"):
                yield Package(
                    "apk",
                    block["P"],
                    block["V"],
                    block.get("A", ""),
                    system.get("ID", "alpine"),
                    block.get("L", ""),
                    block.get("o", "") if block.get("o") != block["P"] else "",
                    block.get("m", ""),
                    distro(system),
                    path,
                )


def rpm(tree: Tree, system: Mapping[str, str], warn: Callable[[str], None]) -> Iterator[Package]:
    """Packages of an rpm database of sqlite; others are told of."""
    from builder.attest.rpmdb import headers

    for folder in RPM:
        path = f"{folder}/rpmdb.sqlite"
        raw = tree.read(path, LARGEST)
        if raw is None:
            for name in UNREADABLE_RPM:
                if tree.holds(f"{folder}/{name}"):
                    warn(f"the packages in /{folder}/{name} are not in the SBOM: only rpm's sqlite databases are read")
            continue
        try:
            found = list(headers(raw))
        except ValueError as error:
            warn(f"the packages in /{path} are not in the SBOM: {error}")
            continue
        for header in found:
            if header.get("name") == "gpg-pubkey":
                continue
            yield Package(
                "rpm",
                header.get("name", ""),
                f"{header.get('version', '')}-{header.get('release', '')}",
                header.get("arch", ""),
                system.get("ID", ""),
                header.get("license", ""),
                header.get("sourcerpm", ""),
                header.get("vendor", ""),
                distro(system),
                path,
            )


def languages(tree: Tree) -> Iterator[Package]:
    """What Python and npm have put anywhere."""
    for entry in tree.walk():
        folder, name = posixpath.split(entry.path)
        above = posixpath.basename(folder)
        if (name == "METADATA" and above.endswith(".dist-info")) or (
            name == "PKG-INFO" and above.endswith(".egg-info")
        ):
            yield from python(tree, entry.path)
        elif name == "package.json" and is_module(folder):
            yield from npm(tree, entry.path)


def is_module(folder: str) -> bool:
    """True for `…/node_modules/NAME` and `…/node_modules/@SCOPE/NAME`."""
    parts = folder.split("/")
    return parts[-2:-1] == ["node_modules"] or (parts[-3:-2] == ["node_modules"] and parts[-2].startswith("@"))


def python(tree: Tree, path: str) -> Iterator[Package]:
    """A distribution of Python (Core metadata specifications)."""
    raw = tree.read(path, SMALL)
    if raw is None:
        return
    told = HeaderParser().parsestr(raw.decode("utf-8", "replace"))
    name, version = str(told.get("Name", "")), str(told.get("Version", ""))
    if name and version:
        license = str(told.get("License-Expression") or told.get("License") or "").split("\n")[0]
        normal = "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)
        yield Package("pypi", normal, version, license=license, supplier=str(told.get("Author", "")), source=path)


def npm(tree: Tree, path: str) -> Iterator[Package]:
    """A module of npm."""
    try:
        told = json.loads(tree.read(path, SMALL) or b"")
    except (ValueError, RecursionError):
        return
    if not isinstance(told, dict):
        return
    name, version, license = (text(told.get(key)) for key in ("name", "version", "license"))
    if name and version:
        scope, _, own = name.rpartition("/")
        yield Package("npm", own, version, namespace=scope, license=license, source=path)


def text(value: Any) -> str:
    """A word of somebody's JSON, or nothing."""
    return value if isinstance(value, str) else ""
