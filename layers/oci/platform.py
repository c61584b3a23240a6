"""What a machine is: operating system, architecture, variant (OCI image-spec, image-index.md, "platform").

`Platform.parse` normalises the names people type (x86_64, aarch64, armhf) to GOOS/GOARCH words, so
two equal platforms compare equal. An empty arm variant means v7, an empty arm64 variant v8.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from layers.errors import DocumentInvalid
from layers.quick import dataclass

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

ARCHITECTURES = {
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "amd64": ("amd64", None),
    "i386": ("386", None),
    "i486": ("386", None),
    "i586": ("386", None),
    "i686": ("386", None),
    "aarch64": ("arm64", None),
    "arm64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv5l": ("arm", "v5"),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v8"),
    "loongarch64": ("loong64", None),
}
KNOWN = frozenset(
    "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x sparc64 wasm".split()
)
"""Architectures that may stand alone, without a system."""
SYSTEMS = {"macos": "darwin"}
WORD = r"[A-Za-z0-9_.-]+\Z"
LADDER = {"arm": ("v8", "v7", "v6", "v5"), "amd64": ("v4", "v3", "v2", "v1")}


@dataclass(frozen=True)
class Platform:
    """One platform; variants that mean the default are dropped (amd64 v1, arm64 v8)."""

    os: str
    architecture: str
    variant: str | None = None
    os_version: str | None = None
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `os/arch[/variant]`, `arch`, `os` or `local`, as `--platform` takes it; raises DocumentInvalid."""
        import re

        parts = text.strip().split("/")
        if not 1 <= len(parts) <= 3 or not all(re.match(WORD, part) for part in parts):
            raise DocumentInvalid(f"platform {text!r}", "expected OS/ARCH[/VARIANT], for example linux/arm64/v8")
        if len(parts) == 1:
            word = parts[0].lower()
            if word in ("linux", "windows", "darwin", "macos", "freebsd"):
                return cls.of(SYSTEMS.get(word, word), cls.host().architecture, cls.host().variant)
            if word == "local":
                return cls.host()
            found = cls.of("linux", word)
            if found.architecture not in KNOWN:
                raise DocumentInvalid(f"platform {text!r}", "that is no operating system and no architecture")
            return found
        system = parts[0].lower()
        return cls.of(SYSTEMS.get(system, system), parts[1].lower(), parts[2].lower() if len(parts) == 3 else None)

    @classmethod
    def of(cls, system: str, architecture: str, variant: str | None = None) -> Platform:
        """A platform from words of any dialect, normalised."""
        name, implied = ARCHITECTURES.get(architecture, (architecture, None))
        variant = variant or implied
        if variant and variant.isdigit():
            variant = f"v{variant}"
        if name == "arm" and variant is None:
            variant = "v7"
        if (name, variant) in (("arm64", "v8"), ("amd64", "v1")):
            variant = None
        return cls(system, name, variant)

    @classmethod
    def host(cls) -> Platform:
        """The platform that this process runs on."""
        return cls.of("linux", os.uname().machine)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Platform:
        """Read the platform object of an index entry or the same fields of a config."""
        found = cls.of(
            str(value.get("os", "")), str(value.get("architecture", "")), str(value.get("variant") or "") or None
        )
        return cls(
            found.os,
            found.architecture,
            found.variant,
            str(value.get("os.version") or "") or None,
            tuple(map(str, features)) if isinstance(features := value.get("os.features"), list) else (),
        )

    def to_json(self) -> dict[str, Any]:
        """The platform object of an index entry."""
        value: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            value["os.version"] = self.os_version
        if self.os_features:
            value["os.features"] = list(self.os_features)
        if self.variant:
            value["variant"] = self.variant
        return value

    def candidates(self) -> tuple[Platform, ...]:
        """What this platform can run, best first: itself, then the lower variants of its ladder."""
        ladder = LADDER.get(self.architecture)
        if ladder is None:
            return (self,)
        top = self.variant or ladder[-1]
        start = ladder.index(top) if top in ladder else 0
        lower = tuple(Platform.of(self.os, self.architecture, variant) for variant in ladder[start:])
        bare = Platform(self.os, self.architecture)
        return lower if bare in lower else (*lower, bare)

    def accepts(self, other: Platform) -> bool:
        """True if an image for `other` runs on this platform."""
        return Platform(other.os, other.architecture, other.variant) in self.candidates()

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
