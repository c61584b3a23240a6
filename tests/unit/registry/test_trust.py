"""Certificates that the settings of a machine name: used, or refused by name."""

import subprocess
from pathlib import Path

import pytest

from registry.errors import CertificatesInvalid
from registry.trust import Trust

HOST = "registry.test:5000"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    certificate, key = tmp_path / "made.pem", tmp_path / "made.key"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=registry.test", "-days", "2"]
    subprocess.run([*words, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate, key


def trust(tmp_path: Path, **environment: str) -> Trust:
    """Settings that look only where the test says."""
    return Trust(environment={"XDG_CONFIG_HOME": str(tmp_path / "config"), **environment})


def own(tmp_path: Path) -> Path:
    """The folder of one host's certificates."""
    folder = tmp_path / "config/containers/certs.d" / HOST
    folder.mkdir(parents=True)
    return folder


def test_a_bundle_may_be_a_file_or_a_folder(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    before = len(trust(tmp_path).context(HOST).get_ca_certs())
    found = trust(tmp_path, REQUESTS_CA_BUNDLE=str(pair[0])).context(HOST).get_ca_certs()
    assert len(found) == before + 1
    assert trust(tmp_path, REQUESTS_CA_BUNDLE=str(pair[0].parent)).context(HOST)  # its files are read when needed


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_that_is_not_there_is_named_and_so_is_its_variable(tmp_path: Path, variable: str) -> None:
    with pytest.raises(CertificatesInvalid, match=f"/nowhere.pem cannot be used: No such file.*unset {variable}"):
        trust(tmp_path, **{variable: "/nowhere.pem"}).context(HOST)


def test_a_client_certificate_without_its_key_is_named(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    folder = own(tmp_path)
    (folder / "client.cert").write_bytes(pair[0].read_bytes())
    with pytest.raises(CertificatesInvalid, match=r"client\.cert cannot be used: .*its key must be .*client\.key"):
        trust(tmp_path).context(HOST)
    (folder / "client.key").write_bytes(pair[1].read_bytes())
    assert trust(tmp_path).context(HOST)


def test_an_authority_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (own(tmp_path) / "ca.crt").write_text("no certificate")
    with pytest.raises(CertificatesInvalid, match=r"ca\.crt cannot be used: .*PEM"):
        trust(tmp_path).context(HOST)


def test_only_that_host_has_them(tmp_path: Path) -> None:
    (own(tmp_path) / "ca.crt").write_text("no certificate")
    assert trust(tmp_path).context("another.test")
