"""Which programs are whose: magic numbers as Debian's package registers them, and what makes an emulator fit."""

import re
from pathlib import Path

import pytest

from runner.emulators import QEMU, Emulator, is_static, pattern
from runner.programs import MACHINES
from tests.support import emulator


@pytest.mark.parametrize("platform", sorted(MACHINES))
def test_a_machine_is_known_by_what_debian_registers(platform: str) -> None:
    file = emulator.folder().parent / f"lib/binfmt.d/qemu-{QEMU[platform]}.conf"
    if not file.exists():  # none for the package's own machine
        assert platform in ("linux/amd64", "linux/386")
        return
    fields = next(line for line in file.read_text().splitlines() if line.startswith(":")).split(":")
    magic, mask = (bytes.fromhex(re.sub(r"\\x", "", text)) for text in fields[4:6])
    ours, masked = pattern(MACHINES[platform])
    assert ours == magic, "so that a handler of Debian's is recognised"
    assert len(masked) == len(mask)


def test_only_what_needs_no_loader_is_lent() -> None:
    assert is_static(emulator.folder() / "qemu-s390x-static")
    assert not is_static(Path("/bin/sh"))
    assert not is_static(Path(__file__))
    assert Emulator("linux/arm64", Path("/q")).line.startswith(rb":aarch64:M::\x7f\x45\x4c\x46\x02")
