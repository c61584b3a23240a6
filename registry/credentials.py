"""Who we are at a registry: docker's and podman's credential files and helpers, read as they read them.

Sources, the first that knows the host wins: what the caller gave; an explicit file (--authfile,
REGISTRY_AUTH_FILE); DOCKER_AUTH_CONFIG; docker's config.json, which `login` writes too; podman's
auth.json. In each file: credHelpers for the host, then `auths` by the longest path, then credsStore.
Secrets are only ever in the fields of a Credential: no text, no repr shows them.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from layers.quick import dataclass, field
from registry.errors import CredentialsInvalid

HUB = "https://index.docker.io/v1/"
HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
HELPER_SECONDS = 30
NO_CREDENTIALS = "credentials not found"
IDENTITY = "<token>"
"""A helper's user name that makes its secret an identity token."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and password, or a token that stands for them; `source` says where it was found."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    source: str = "the command line"

    @property
    def basic(self) -> str:
        """The value of a Basic Authorization header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def server_of(host: str) -> str:
    """The key under which docker and its helpers keep a host."""
    return HUB if host in HUB_NAMES else host


@dataclass(frozen=True, slots=True)
class Credentials:
    """All sources of one run. `given` beats them all; who is `anonymous` asks none of them."""

    given: Credential | None = None
    authfile: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    anonymous: bool = False

    def find(self, host: str, path: str = "") -> Credential | None:
        """The credential for a repository. Raises CredentialsInvalid for a file or helper that is broken."""
        if self.given is not None or self.anonymous:
            return self.given
        for name, config in self.configs():
            if (found := look_up(config, name, host, path)) is not None:
                return found
        return None

    def login(self, host: str, username: str, password: str) -> str:
        """Keep a credential; returns the file or helper that has it now. Raises CredentialsInvalid."""
        file = self.writable
        with changing(file) as config:
            if helper := helper_for(config, host):
                secret = {"ServerURL": server_of(host), "Username": username, "Secret": password}
                run_helper(helper, "store", json.dumps(secret))
                config.setdefault("auths", {})[server_of(host)] = {}
            else:
                token = base64.b64encode(f"{username}:{password}".encode()).decode()
                config.setdefault("auths", {})[server_of(host)] = {"auth": token}
            write_config(file, config)
        return f"docker-credential-{helper}" if helper else str(file)

    def logout(self, host: str) -> bool:
        """Forget a credential; False if there was none. Raises CredentialsInvalid."""
        file = self.writable
        if not file.exists():
            return False
        with changing(file) as config:
            if helper := helper_for(config, host):
                with suppress(NoSuchCredential):
                    run_helper(helper, "erase", server_of(host))
            gone = [key for key in config.get("auths", {}) if key_matches(key, host)]
            for key in gone:
                del config["auths"][key]
            if gone:
                write_config(file, config)
            return bool(gone)

    def hosts(self) -> tuple[str, ...]:
        """The hosts, or repositories, that the file which `login` changes knows. Raises CredentialsInvalid."""
        file = self.writable
        if not file.exists():
            return ()
        with changing(file) as config:
            return tuple(dict.fromkeys(map(bare, config.get("auths", {}))))

    @property
    def writable(self) -> Path:
        """The file that `login` and `logout` change."""
        explicit = self.authfile or self.environment.get("REGISTRY_AUTH_FILE")
        return Path(explicit) if explicit else self._docker / "config.json"

    @property
    def _docker(self) -> Path:
        return Path(self.environment.get("DOCKER_CONFIG") or self._home / ".docker")

    @property
    def _home(self) -> Path:
        return Path(self.environment.get("HOME") or "/root")

    def configs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The configs that are asked, in order, each with the name of its file. Raises CredentialsInvalid."""
        if explicit := self.authfile or self.environment.get("REGISTRY_AUTH_FILE"):
            yield str(explicit), read_config(Path(explicit))
            return
        if text := self.environment.get("DOCKER_AUTH_CONFIG"):
            yield "DOCKER_AUTH_CONFIG", parse_config(text, "DOCKER_AUTH_CONFIG")
        uid = self.environment.get("PYBUILD_ROOTLESS_UID") or os.getuid()  # root, but in a user namespace only
        runtime = self.environment.get("XDG_RUNTIME_DIR") or f"/run/containers/{uid}"
        settings = self.environment.get("XDG_CONFIG_HOME") or self._home / ".config"
        for file in (
            self._docker / "config.json",
            Path(runtime, "containers/auth.json"),
            Path(f"/run/containers/{uid}/auth.json"),
            Path(settings, "containers/auth.json"),
        ):
            yield str(file), read_config(file)
        old = self._home / ".dockercfg"
        yield str(old), {"auths": read_config(old)}


class NoSuchCredential(CredentialsInvalid):
    """A helper that works, but knows nothing of the host."""


def parse_config(text: str, name: str) -> dict[str, Any]:
    """A credential file's JSON. Raises CredentialsInvalid."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CredentialsInvalid(name, "not a JSON document") from error
    if not isinstance(value, dict) or not all(isinstance(value.get(key, {}), dict) for key in ("auths", "credHelpers")):
        raise CredentialsInvalid(name, "not a credential file: auths and credHelpers must be objects")
    return value


def read_config(file: Path) -> dict[str, Any]:
    """A credential file; empty if it is not there, as far as we may look. Raises CredentialsInvalid."""
    try:
        return parse_config(file.read_text(encoding="utf-8"), str(file))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError) and not os.path.exists(file.parent):
            return {}  # /run/containers is root's alone once root has used podman
        raise CredentialsInvalid(str(file), f"cannot be read: {error}") from error


@contextmanager
def changing(file: Path) -> Iterator[dict[str, Any]]:
    """A credential file that nobody else of us changes meanwhile. Raises CredentialsInvalid."""
    folder = file.resolve().parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise CredentialsInvalid(str(file), f"cannot be written: {error}") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield read_config(file)
    finally:
        os.close(held)


def write_config(file: Path, config: Mapping[str, Any]) -> None:
    """Replace a credential file, readable by its owner only, in one step; symlinks are followed, not replaced."""
    file = file.resolve()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # made with mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(config, out, indent="\t")
                out.flush()
                os.fsync(handle)
            os.replace(name, file)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise CredentialsInvalid(str(file), f"cannot be written: {error}") from error


def bare(key: str) -> str:
    """The host, or repository, that a key of `auths` is, in whichever of the ways that tools write it."""
    found = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    for version in ("/v1", "/v2"):
        found = found.removesuffix(version)
    return found


def key_matches(key: str, host: str) -> bool:
    """True if a key of `auths` is the host itself."""
    return bare(key) == host or (bare(key) in HUB_NAMES and host in HUB_NAMES)


def helper_for(config: Mapping[str, Any], host: str) -> str:
    """The suffix of the helper program that this file names for the host, or nothing."""
    for key, helper in config.get("credHelpers", {}).items():
        if key_matches(key, host):
            return str(helper)
    return str(config.get("credsStore") or "")


def look_up(config: Mapping[str, Any], name: str, host: str, path: str) -> Credential | None:
    """What one file knows of a repository."""
    for key, helper in config.get("credHelpers", {}).items():
        if key_matches(key, host):
            return ask_helper(str(helper), host)
    auths = config.get("auths", {})
    words = path.split("/") if path else []
    for count in range(len(words), 0, -1):
        if entry := read_entry(auths.get("/".join((host, *words[:count]))), name, host):
            return entry
    for key in (host, *(key for key in auths if key_matches(key, host))):
        if entry := read_entry(auths.get(key), name, host):
            return entry
    if store := config.get("credsStore"):
        return ask_helper(str(store), host)
    return None


def read_entry(entry: object, name: str, host: str) -> Credential | None:
    """One value of `auths`; the empty one means that a helper has it."""
    if not isinstance(entry, dict) or not entry:
        return None
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if packed := entry.get("auth"):
        try:
            plain = base64.b64decode(str(packed), validate=False).decode().rstrip("\0")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise CredentialsInvalid(name, f"the auth entry of {host} is not base64 text") from error
        username, colon, password = plain.partition(":")
        if not colon:
            raise CredentialsInvalid(name, f"the auth entry of {host} is not USER:PASSWORD")
    identity, token = str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
    if not (username or identity or token):
        return None
    return Credential(username, password, identity, token, name)


def ask_helper(helper: str, host: str) -> Credential | None:
    """What a helper knows of the host; None if nothing."""
    try:
        answer = run_helper(helper, "get", server_of(host))
    except NoSuchCredential:
        return None
    try:
        value = json.loads(answer)
        username, secret = str(value["Username"]), str(value["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise CredentialsInvalid(f"docker-credential-{helper}", "its answer is not a credential") from error
    if username == IDENTITY:
        return Credential(identity_token=secret, source=f"docker-credential-{helper}")
    return Credential(username, secret, source=f"docker-credential-{helper}")


def run_helper(helper: str, verb: str, text: str) -> str:
    """Run `docker-credential-HELPER VERB` (docker's credential helper protocol). Raises CredentialsInvalid."""
    program = f"docker-credential-{helper}"
    if "/" in helper:
        raise CredentialsInvalid(program, "a helper is named without a directory")
    try:
        done = subprocess.run(
            [program, verb], input=text, capture_output=True, text=True, timeout=HELPER_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise CredentialsInvalid(
            program, "is not on the PATH", help="install it, or edit the credential file"
        ) from error
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise CredentialsInvalid(program, f"{verb} failed: {type(error).__name__}") from error
    if done.returncode != 0:
        if NO_CREDENTIALS in done.stdout or NO_CREDENTIALS in done.stderr:
            raise NoSuchCredential(program, "knows nothing of the host")
        raise CredentialsInvalid(program, f"{verb} ended with {done.returncode}: {done.stderr.strip()[:500]}")
    return done.stdout
