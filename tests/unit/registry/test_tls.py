"""Hosts that prove who they are, and hosts that cannot."""

import datetime
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from layers import Reference
from registry.errors import CertificatesInvalid, ProtocolViolation, Unauthorized, Unavailable, Untrusted
from registry.remote import RemoteRepository
from registry.trust import Trust
from tests.support.quick import named, noise, quick
from tests.support.rude import FOREVER, Reply, Rude, rude

DATA = noise(5000)
NAME = "registry.test"
EXPIRED = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """registry.test, which is no loopback name, is 127.0.0.1."""
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **yet: real("127.0.0.1" if host == NAME else host, *more, **yet)
    )


def serving(certificate: trustme.LeafCert, clients: trustme.CA | None = None) -> ssl.SSLContext:
    """How a server shows a certificate, and asks for one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Rude]:
    with rude(serving(authority.issue_cert(NAME, "127.0.0.1"))) as server:
        server.blob(DATA)
        yield server


def at(server: Rude) -> str:
    return server.host.replace("127.0.0.1", NAME)


def remote(host: str, trust: Trust) -> RemoteRepository:
    return RemoteRepository(Reference(host, "some/app"), quick(trust=trust))


def trusting(folder: Path, host: str, authority: trustme.CA) -> Path:
    """A folder of settings whose certs.d has the authority for a host."""
    own = folder / "containers/certs.d" / host
    own.mkdir(parents=True, exist_ok=True)
    authority.cert_pem.write_to_path(str(own / "ca.crt"))
    return own


def test_an_authority_of_certs_d(server: Rude, tmp_path: Path, authority: trustme.CA) -> None:
    trusting(tmp_path, at(server), authority)
    trust = Trust(environment={"XDG_CONFIG_HOME": str(tmp_path)})
    assert remote(at(server), trust).open(named(DATA)).read() == DATA
    assert remote(server.host.replace("127.0.0.1", "localhost"), Trust(environment={}, everyone=True)).has(named(DATA))


def test_a_stranger_is_refused_with_a_way_out_and_never_without_tls(server: Rude) -> None:
    with pytest.raises(Untrusted, match=r"TLS failed: .*certs\.d/HOST/ca\.crt.*--tls-verify=false"):
        remote(at(server), Trust(environment={})).has(named(DATA))
    assert server.seen == []
    assert server.connections == 1, "not tried again"


def test_what_was_named_insecure_is_not_verified(server: Rude) -> None:
    for trust in (Trust(frozenset({at(server)}), environment={}), Trust(everyone=True, environment={})):
        assert remote(at(server), trust).has(named(DATA))


def test_an_expired_certificate_and_another_name(tmp_path: Path, authority: trustme.CA) -> None:
    for number, certificate in enumerate(
        (authority.issue_cert(NAME, not_after=EXPIRED), authority.issue_cert("another.test"))
    ):
        with rude(serving(certificate)) as server:
            trusting(tmp_path, at(server), authority)
            with pytest.raises(Untrusted, match=("expired", "not valid for 'registry.test'|Hostname mismatch")[number]):
                remote(at(server), Trust(environment={"XDG_CONFIG_HOME": str(tmp_path)})).has(named(DATA))


def test_a_client_certificate(tmp_path: Path, authority: trustme.CA) -> None:
    with rude(serving(authority.issue_cert(NAME), clients=authority)) as server:
        server.blob(DATA)
        own = trusting(tmp_path, at(server), authority)
        trust = Trust(environment={"XDG_CONFIG_HOME": str(tmp_path)})
        with pytest.raises((Untrusted, Unavailable)):  # the alert, or a reset that was quicker
            remote(at(server), trust).has(named(DATA))
        mine = authority.issue_cert("ada@example.org")
        mine.private_key_and_cert_chain_pem.write_to_path(str(own / "client.cert"))
        mine.private_key_pem.write_to_path(str(own / "client.key"))
        assert remote(at(server), trust).has(named(DATA))


def test_plain_http_behind_a_name_that_should_speak_tls() -> None:
    with rude() as server:
        with pytest.raises(Untrusted, match=r"seems to speak plain HTTP.*--tls-verify=false"):
            remote(at(server), Trust(environment={})).has(named(DATA))
        assert server.seen == []
        server.blob(DATA)
        assert remote(at(server), Trust(frozenset({at(server)}), environment={})).has(named(DATA)), "if that is wanted"


def test_from_https_to_http_nothing_is_fetched(server: Rude) -> None:
    with rude() as storage:
        server.rule("GET", "/blobs/", Reply(307, {"Location": f"{storage.url}/x"}), FOREVER)
        server.rule("POST", "/blobs/", Reply(202, {"Location": f"{storage.url}/x"}), FOREVER)
        source = remote(at(server), Trust(frozenset({at(server)}), environment={}))
        with pytest.raises(ProtocolViolation, match="from https to plain http"):
            source.open(named(DATA))
        with pytest.raises(ProtocolViolation, match="from https to plain http"):
            source.put(named(DATA), __import__("io").BytesIO(DATA))
        assert storage.seen == []


def test_a_token_server_without_tls_learns_nothing(server: Rude) -> None:
    from registry.credentials import Credential, Credentials

    with rude() as tokens:
        realm = f"http://{NAME}:{tokens.host.rpartition(':')[2]}/token"
        server.rule(".*", "^/v2/", Reply(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'}), FOREVER)
        client = quick(
            trust=Trust(frozenset({at(server)}), environment={}),
            credentials=Credentials(Credential("ada", "secret"), environment={}),
        )
        with pytest.raises((ProtocolViolation, Unauthorized), match="plain HTTP; no credentials were sent"):
            RemoteRepository(Reference(at(server), "x"), client).has(named(DATA))
        assert tokens.seen == []


def test_a_connection_that_ends_without_a_word_proves_nothing_and_is_tried_again(
    server: Rude, tmp_path: Path, authority: trustme.CA
) -> None:
    trusting(tmp_path, at(server), authority)
    server.rule("GET", "/blobs/", Reply(silent=True))
    trust = Trust(environment={"XDG_CONFIG_HOME": str(tmp_path)})
    assert remote(at(server), trust).open(named(DATA)).read() == DATA


def test_a_folder_of_certificates_that_was_named(server: Rude, tmp_path: Path, authority: trustme.CA) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    trust = Trust(environment={"XDG_CONFIG_HOME": str(tmp_path)}, folder=str(folder))
    with pytest.raises(Untrusted):
        remote(at(server), trust).has(named(DATA))
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    assert remote(at(server), trust).has(named(DATA))
    others = quick(trust=trust).variant(given=False)
    assert others.trust.folder == "", "hosts that were not named do not see a client's certificate"
    with pytest.raises(CertificatesInvalid, match=r"absent cannot be used: .*name a directory"):
        remote(at(server), Trust(environment={}, folder=str(tmp_path / "absent"))).has(named(DATA))
