"""Programs and files around us: emulators, networks, ids of users, registries and their credentials."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pybuild.doctor.finding import Finding, Lacking, apart, examine
from pybuild.doctor.kernel import tun
from runner import linux
from runner.emulators import lent, sandboxed
from runner.programs import MACHINES, NATIVE, runs
from runner.rootless import PLACES, owner, subordinate, taken

FIRST, USUAL = 100_000, 65_536
"""Where useradd(8) begins to give subordinate ids, and how many."""
EMULATORS = "apt-get install qemu-user-static binfmt-support"


def findings() -> Iterator[Finding]:
    """All of them."""
    native = NATIVE.get(os.uname().machine)
    for platform in MACHINES:
        needed = platform == native
        fix = "" if needed else EMULATORS
        yield examine(platform, _platform(platform), serves=f"RUN for {platform}", fix=fix, needed=needed)
    yield examine("newuidmap", _helper("newuidmap"), serves="use without root", fix="apt-get install uidmap")
    yield examine("subordinate ids", _subordinate, serves="use without root")
    yield examine("nftables", apart(_nft), serves="bridges, published ports", fix="apt-get install nftables")
    yield examine("/dev/net/tun", tun, serves="networks without root")
    yield examine("slirp4netns", _slirp, serves="networks without root", fix="apt-get install slirp4netns")
    yield examine("git", _program("git"), serves="contexts and ADD from git", fix="apt-get install git")
    yield examine("registries.conf", _registries, serves="mirrors, aliases", fix="man 5 containers-registries.conf")
    yield examine("credentials", _credentials, serves="pull and push with a login")


def _platform(platform: str) -> Callable[[], str]:
    def probe() -> str:
        with tempfile.TemporaryDirectory(prefix="pybuild-doctor-") as folder:
            if runs(platform, Path(folder)):
                return "a program ran"
        emulator = lent(platform)
        if emulator is None or not sandboxed():
            raise Lacking("its programs do not run here")
        return f"{emulator.path} is lent to whoever needs it"

    return probe


def _program(name: str) -> Callable[[], str]:
    def probe() -> str:
        path = shutil.which(name)
        if path is None:
            raise Lacking("is not installed")
        told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        return (told.stdout or told.stderr).partition("\n")[0] or path

    return probe


def _helper(name: str) -> Callable[[], str]:
    def probe() -> str:
        path = shutil.which(name)
        if path is None:
            raise Lacking("is not installed")
        if not os.stat(path).st_mode & 0o4000 and b"security.capability" not in map(os.fsencode, os.listxattr(path)):
            raise Lacking(f"{path} has neither the setuid bit nor capabilities", f"chmod u+s {path}")
        return path

    return probe


def _subordinate() -> str:
    import pwd

    uid = owner()
    if uid is None:
        uid = int(os.environ.get("SUDO_UID", "0"))
    if uid == 0:
        return "root needs none; other users see theirs when they ask"
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError as error:
        raise Lacking(f"user {uid} has no name", f"useradd --uid {uid} builder") from error
    few, flags, first = [], [], FIRST
    for place, kind in zip(PLACES, ("uid", "gid"), strict=True):
        text = place.read_text(errors="replace") if place.exists() else ""
        first = max([first, *(end for _, end in taken(text))])
        if sum(count for _, count in subordinate(text, name, uid)) < USUAL:
            few.append(f"{place} gives {name} no {USUAL} {kind}s")
            flags.append(f"--add-sub{kind}s")
    if few:
        free = f"{first}-{first + USUAL - 1}"  # what is anybody's already would be shared with them
        raise Lacking("; ".join(few), " ".join(["usermod", *(f"{flag} {free}" for flag in flags), name]))
    return f"{name} has {USUAL} or more of users and groups"


def _nft() -> str:
    path = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise Lacking("nft is not installed")
    linux.unshare(linux.CLONE_NEWNET)  # the rule is nobody's but this process's
    rule = b"table ip doctor { chain out { type nat hook postrouting priority 100; masquerade; }; }\n"
    done = subprocess.run([path, "-f", "-"], input=rule, capture_output=True, check=False)
    if done.returncode:
        why = done.stderr.decode(errors="replace").partition("\n")[0]
        raise Lacking(f"a rule for NAT is refused: {why}", "modprobe -a nf_tables nft_chain_nat nft_masq")
    return "a rule for NAT is taken"


def _slirp() -> str:
    if (path := shutil.which("slirp4netns")) is None:
        raise Lacking("slirp4netns is not installed")
    return path


def _registries() -> str:
    from registry.errors import RegistryError
    from registry.registries import Registries

    try:
        found = Registries.load()
    except RegistryError as error:
        raise Lacking(str(error)) from error
    search = ", ".join(found.search) or "docker.io"
    return f"{len(found.rules)} rules, {len(found.aliases)} aliases, short names are looked for in {search}"


def _credentials() -> str:
    from registry.credentials import Credentials
    from registry.errors import RegistryError

    files, helpers = 0, set()
    try:
        for _, config in Credentials().configs():
            files += bool(config)
            helpers |= {str(one) for one in (config.get("credHelpers") or {}).values()}
            helpers |= {str(config["credsStore"])} if config.get("credsStore") else set()
    except RegistryError as error:
        raise Lacking(str(error)) from error
    for helper in sorted(helpers):
        program = f"docker-credential-{helper}"
        path = shutil.which(program)
        if path is None:
            raise Lacking(f"a config names {program}, which is not installed", f"apt-get install {_package(helper)}")
        done = subprocess.run([path, "list"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
        if done.returncode:
            raise Lacking(f"{program} list fails: {done.stdout.decode(errors='replace').strip()}", f"{program} list")
    return f"{files} files, {'helpers that answer: ' + ', '.join(sorted(helpers)) if helpers else 'no helpers'}"


def _package(helper: str) -> str:
    return "golang-docker-credential-helpers" if helper in ("secretservice", "pass") else f"docker-credential-{helper}"
