"""Bearer tokens of a real registry: it challenges, checks signatures and scopes; the token server is ours."""

import base64
import datetime
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from layers import Reference
from layers.moving.repository import Mounts
from registry.errors import Denied, RegistryError, Unauthorized
from registry.remote import RemoteRepository
from tests.support.peers import need
from tests.support.quick import named, noise, quick, stream
from tests.support.registry import RegistryServer, registry_server
from tests.support.rude import FOREVER, Ask, Reply, Rude, rude

DATA = noise(100_000)


def text(data: bytes) -> str:
    """URL-safe base64 without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """Signs tokens of the docker registry's kind: RS256 with the certificate in the header (x5c)."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
        now = datetime.datetime.now(datetime.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(self.key, SHA256())
        )
        self.life = 300
        self.deny: set[str] = set()

    def token(self, scopes: list[str]) -> str:
        """A token for these scopes, without those that are denied."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            if name not in self.deny:
                access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {"iss": "us", "sub": "", "aud": "here", "exp": now + self.life, "nbf": now - 600, "iat": now - 600}
        chain = [base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode()]
        parts = ({"typ": "JWT", "alg": "RS256", "x5c": chain}, {**claims, "jti": "1", "access": access})
        signed = ".".join(text(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{text(self.key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    def answer(self, ask: Ask) -> Reply:
        """What the token server says."""
        return Reply(body=json.dumps({"token": self.token(ask.parameters.get("scope", []))}).encode())


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture
def tokens(signer: Signer) -> Iterator[Rude]:
    with rude() as server:
        server.rule("GET", "^/token$", signer.answer, FOREVER)
        yield server


@pytest.fixture
def real(tokens: Rude, signer: Signer, tmp_path: Path) -> Iterator[RegistryServer]:
    need("docker-registry")
    (tmp_path / "root.pem").write_bytes(signer.certificate.public_bytes(Encoding.PEM))
    words = {
        "realm": f"{tokens.url}/token",
        "service": "here",
        "issuer": "us",
        "rootcertbundle": f"{tmp_path}/root.pem",
    }
    auth = f"auth: {json.dumps({'token': words})}\n"
    with registry_server(tmp_path / "registry", auth=auth) as server:
        yield server


def test_push_mount_and_pull_with_a_token_for_each_scope(real: RegistryServer, tokens: Rude) -> None:
    client = quick()
    first, second = (RemoteRepository(Reference(real.host, path), client) for path in ("one", "two"))
    for _ in range(3):
        first.put(named(DATA), stream(DATA))
        assert first.has(named(DATA))
    assert isinstance(second, Mounts)
    assert second.mount(named(DATA), first), "both repositories in one token"
    assert second.open(named(DATA)).read() == DATA
    assert [ask.parameters.get("scope") for ask in tokens.asked("GET", "/token")] == [
        ["repository:one:pull,push"],
        ["repository:one:pull"],
        ["repository:one:pull", "repository:two:pull,push"],
        ["repository:two:pull"],
    ]


def test_what_the_token_server_does_not_grant(real: RegistryServer, signer: Signer) -> None:
    signer.deny = {"secret"}
    try:
        with pytest.raises((Unauthorized, Denied)):
            RemoteRepository(Reference(real.host, "secret"), quick()).put(named(DATA), stream(DATA))
    finally:
        signer.deny = set()


def test_a_token_that_ends_in_mid_run(real: RegistryServer, signer: Signer, tokens: Rude) -> None:
    """The registry's clock decides: the token lives shorter than its answer said."""
    remote = RemoteRepository(Reference(real.host, "short"), quick())
    signer.life = -200  # the registry is lenient for a minute
    try:
        with pytest.raises(RegistryError):
            remote.put(named(DATA), stream(DATA))
        assert len(tokens.asked("GET", "/token")) == 2, "no more than two for one request"
    finally:
        signer.life = 300
    remote.put(named(DATA), stream(DATA))
    assert remote.has(named(DATA))
