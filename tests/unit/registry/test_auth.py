"""Challenges, tokens and credentials: who is asked, with what, how often, and who never learns of it."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.auth import merged, parse_challenges, read_token
from registry.credentials import Credential, Credentials
from registry.errors import CredentialsInvalid, Denied, ProtocolViolation, Unauthorized
from registry.session import Client
from registry.transport import Response, Stored
from registry.trust import Trust
from tests.support.quick import named, noise, quick, repository
from tests.support.rude import FOREVER, Ask, Doorman, Reply, Rude, mistake, rude

DATA = noise(5000)
SECRET = "pass:wörd"


@pytest.fixture
def server() -> Iterator[Rude]:
    with rude() as server:
        server.blob(DATA)
        yield server


def known(host: str, **entry: str) -> Client:
    """A client that has an entry of `auths` for a host."""
    return quick(environment={"DOCKER_AUTH_CONFIG": json.dumps({"auths": {host: entry}})})


def packed(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


# -- challenges ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://a/t",scope="x"', [("bearer", {"realm": "https://a/t", "scope": "x"})]),
        ('Basic realm="r", Bearer realm="https://a/t"', [("basic", {"realm": "r"}), ("bearer", {"realm": "https://a/t"})]),
        ("Bearer realm=https://a/t,service=s", [("bearer", {"realm": "https://a/t", "service": "s"})]),
        ('Bearer realm="https://a/t",service=""', [("bearer", {"realm": "https://a/t", "service": ""})]),
        (r'BEARER Realm = "a\"b\\c" , scope="x y"', [("bearer", {"realm": 'a"b\\c', "scope": "x y"})]),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("NTLM TlRMTVNTUAAB, Bearer realm=x", [("ntlm", {}), ("bearer", {"realm": "x"})]),
        ('Bearer realm="a,b=c",error="no"', [("bearer", {"realm": "a,b=c", "error": "no"})]),
        ("", []),
        (",,, ;;;", []),
    ],
)  # fmt: skip
def test_challenges(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, dict(one.parameters)) for one in parse_challenges(header)] == expected


@given(st.text(max_size=300))
def test_any_header_can_be_read(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()


def test_a_header_that_is_made_to_be_slow() -> None:
    began = time.process_time()
    parse_challenges('a="' * 100_000)
    parse_challenges("a " * 100_000)
    parse_challenges('Bearer realm="' + "\\" * 100_000)
    assert time.process_time() - began < 2


# -- tokens --------------------------------------------------------------------------------------


def test_one_token_for_eight_threads(server: Rude) -> None:
    door = Doorman(server)
    remote = repository(server)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            assert remote.open(named(DATA)).read() == DATA
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(door.asked) == 1
    assert door.asked[0].parameters == {"service": ["rude"], "scope": ["repository:some/app:pull"]}


def test_a_token_for_each_scope_and_repository(server: Rude) -> None:
    door = Doorman(server)
    client = quick()
    for path in ("one", "two"):
        remote = repository(server, client, path=path)
        remote.put(named(DATA), io.BytesIO(DATA))
        assert remote.has(named(DATA))
        remote.put(named(b"more"), io.BytesIO(b"more"))
    assert [ask.parameters["scope"] for ask in door.asked] == [
        ["repository:one:pull,push"],
        ["repository:one:pull"],
        ["repository:two:pull,push"],
        ["repository:two:pull"],
    ]


def test_a_token_that_is_gone_in_mid_run_is_renewed_once_and_the_body_is_sent_again(server: Rude) -> None:
    door = Doorman(server)
    remote = repository(server)
    remote.put(named(DATA), io.BytesIO(DATA))
    door.tokens.clear()
    remote.put(named(b"more"), io.BytesIO(b"more"))
    assert len(door.asked) == 2
    assert server.blobs[str(named(b"more").digest)] == b"more"


def test_a_registry_that_names_what_it_wants_in_any_order(server: Rude, monkeypatch: pytest.MonkeyPatch) -> None:
    """docker's does: what was refused once is not tried again because the next challenge is worded otherwise."""
    door = Doorman(server)
    needed = door.needed

    def shuffled(ask: Ask) -> frozenset[str]:
        return frozenset(scope.replace("pull,push", "push,pull") for scope in needed(ask))

    def refusing(ask: Ask) -> Reply:
        reply = door.token(ask)
        door.tokens.update(dict.fromkeys(door.tokens, frozenset()))
        return reply

    monkeypatch.setattr(door, "needed", shuffled)
    server.rules[0].act = refusing
    remote = repository(server)
    with pytest.raises(Unauthorized):
        remote.put(named(DATA), io.BytesIO(DATA))
    assert len(door.asked) == 2
    server.rules[0].act = door.token
    monkeypatch.setattr(door, "needed", needed)
    remote.put(named(DATA), io.BytesIO(DATA))
    assert [ask.parameters["scope"] for ask in door.asked] == [["repository:some/app:pull,push"]] * 3


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ({"repository:a:push,pull", "repository:a:pull"}, {"repository:a:pull,push"}),
        ({"repository:h:5000/a:pull", "repository:a:pull"}, {"repository:h:5000/a:pull", "repository:a:pull"}),
        ({"registry:catalog:*", "odd", "other"}, {"registry:catalog:*", "odd", "other"}),
        (set(), set()),
    ],
)
def test_scopes_of_one_resource_are_one(scopes: set[str], expected: set[str]) -> None:
    assert merged(scopes) == expected


def test_a_token_is_renewed_before_it_is_too_old(server: Rude, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Doorman(server)
    door.life = {"expires_in": 120, "issued_at": "2999-01-01T00:00:00Z"}
    remote = repository(server)
    assert remote.has(named(DATA))
    now = time.monotonic()
    monkeypatch.setattr("registry.auth.time.monotonic", lambda: now + 100)
    assert remote.has(named(DATA))
    assert len(door.asked) == 1
    monkeypatch.setattr("registry.auth.time.monotonic", lambda: now + 111)
    assert remote.has(named(DATA))
    assert len(door.asked) == 2


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"access_token": "t"}, 60),
        ({"token": "t", "expires_in": 0}, 60),
        ({"token": "t", "expires_in": -1}, 60),
        ({"token": "t", "expires_in": "300"}, 60),
        ({"token": "t", "expires_in": None}, 60),
        ({"token": "t", "expires_in": 300, "issued_at": "2999-01-01T00:00:00Z"}, 300),
        ({"token": "", "access_token": "t", "expires_in": 300.5}, 300.5),
        ({"token": "t", "expires_in": 10**400}, 86400),
        ({"token": "t", "expires_in": float("nan")}, 60),
    ],
)
def test_what_a_token_server_may_answer(body: dict[str, object], seconds: float) -> None:
    reply = Response(200, {}, "https://a/t", Stored(json.dumps(body).encode()))
    token = read_token("a", reply, None)
    assert token.value == "t"
    assert token.until - time.monotonic() == pytest.approx(seconds - 10, abs=2)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'"t"', b"{}", b'{"token": 1}', b'{"token": "a b"}', b'{"token": "a\\nb"}', b"[" * 100_000],
)
def test_what_it_may_not_answer(body: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="token server a sent no"):
        read_token("a", Response(200, {}, "https://a/t", Stored(body)), None)


def test_a_token_reply_without_end() -> None:
    with pytest.raises(ProtocolViolation, match="larger than"):
        read_token("a", Response(200, {}, "https://a/t", Stored(b"x" * (2 << 20))), None)


def test_a_wrong_password_is_one_request_and_named_without_the_secret(server: Rude, tmp_path: Path) -> None:
    door = Doorman(server, user="ada", password="right")
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"auths": {server.host: {"auth": packed("ada", SECRET)}}}))
    client = quick(credentials=Credentials(authfile=file, environment={}))
    with pytest.raises(Unauthorized, match=rf"{server.host}: does not accept user 'ada' from {file}") as failed:
        repository(server, client).has(named(DATA))
    assert len(door.asked) == 1
    assert SECRET not in str(failed.value) + repr(client.credentials)
    assert packed("ada", SECRET) not in str(failed.value)


def test_a_wrong_password_for_basic_is_sent_once(server: Rude) -> None:
    server.rule(".*", "^/v2/", Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}), FOREVER)
    with pytest.raises(Unauthorized, match="does not accept user 'ada'"):
        repository(server, known(server.host, username="ada", password="x")).has(named(DATA))
    assert sum("authorization" in ask.headers for ask in server.seen) == 1


def test_basic_is_sent_ahead(server: Rude) -> None:
    right = f"Basic {packed('ada', SECRET)}"

    def door(ask: Ask) -> Reply:
        if ask.headers.get("authorization") == right:
            return server.honest(ask)
        return Reply(401, {"WWW-Authenticate": "Basic realm=x"})

    server.rule(".*", "^/v2/", door, FOREVER)
    repository(server, known(server.host, auth=packed("ada", SECRET))).put(named(b"x"), io.BytesIO(b"x"))
    assert [(ask.method, "authorization" in ask.headers) for ask in server.seen] == [
        ("GET", False),
        ("POST", True),
        ("PUT", True),
    ]


def test_401_for_ever_ends_after_two_tokens(server: Rude) -> None:
    door = Doorman(server)
    door.needed = lambda ask: frozenset({"repository:never:pull"}) if ask.path != "/v2/" else frozenset()  # type: ignore[method-assign]
    door.tokens = Forgetful()
    with pytest.raises(Unauthorized, match="HTTP 401"):
        repository(server).has(named(DATA))
    assert len(door.asked) == 2


class Forgetful(dict[str, frozenset[str]]):
    """Knows no token."""

    def get(self, *_: object) -> None:  # type: ignore[override]
        """Never heard of it."""
        return


def test_insufficient_scope_adds_what_is_missing_and_remembers_it(server: Rude) -> None:
    door = Doorman(server)
    door.needed = lambda ask: frozenset(  # type: ignore[method-assign]
        {"repository:some/app:pull", "repository:shared/base:pull"} if "/blobs/" in ask.path else ()
    )
    remote = repository(server)
    assert remote.has(named(DATA))
    assert [ask.parameters["scope"] for ask in door.asked] == [
        ["repository:some/app:pull"],
        ["repository:shared/base:pull", "repository:some/app:pull"],
    ], "two scopes in one challenge are sent apart"
    before = len(server.seen)
    assert remote.has(named(DATA))
    assert len(server.seen) == before + 1, "the next request asks for both at once"


def test_a_mount_asks_for_both_repositories(server: Rude) -> None:
    door = Doorman(server)
    assert repository(server).mount_from(named(DATA), "other")
    assert door.asked[0].parameters["scope"] == ["repository:other:pull", "repository:some/app:pull,push"]


def test_denied_is_final(server: Rude) -> None:
    server.rule("HEAD", "/blobs/", mistake(403, "DENIED"), FOREVER)
    with pytest.raises(Denied):
        repository(server, known(server.host, username="ada", password="x")).has(named(DATA))
    assert len(server.asked()) == 1


def test_both_schemes_in_one_header(server: Rude) -> None:
    door = Doorman(server, user="ada", password="x")
    server.rules.insert(0, server.rules.pop())
    server.rule("GET", "^/v2/$", Reply(200))
    challenge = f'Basic realm="old", Bearer realm={door.realm},service="",scope="repository:some/app:pull"'
    server.rules.insert(0, server.rules.pop())
    server.rule("HEAD", "/blobs/", Reply(401, {"WWW-Authenticate": challenge}))
    server.rules.insert(0, server.rules.pop())
    assert repository(server, known(server.host, username="ada", password="x")).has(named(DATA))
    assert door.asked[0].parameters == {"scope": ["repository:some/app:pull"], "account": ["ada"]}


def test_challenges_in_two_headers(server: Rude) -> None:
    door = Doorman(server)
    server.rule("GET", "^/v2/$", Reply(401, {"WWW-Authenticate": f"Negotiate\nBearer realm={door.realm}"}))
    server.rules.insert(0, server.rules.pop())
    assert repository(server).has(named(DATA))
    assert len(door.asked) == 1


# -- identity tokens -----------------------------------------------------------------------------


def test_an_identity_token_is_posted(server: Rude) -> None:
    door = Doorman(server, identity="very secret")
    remote = repository(server, known(server.host, identitytoken="very secret"))
    assert remote.has(named(DATA))
    assert [ask.method for ask in door.asked] == ["POST"]
    assert parse_qs(door.asked[0].body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["very secret"],
        "client_id": ["pybuild"],
        "service": ["rude"],
        "scope": ["repository:some/app:pull"],
    }


def test_a_token_server_that_takes_no_post_is_asked_by_get(server: Rude) -> None:
    door = Doorman(server, identity="x")
    door.post = False
    assert repository(server, known(server.host, identitytoken="x")).has(named(DATA))
    assert [ask.method for ask in door.asked] == ["POST", "GET"]
    assert "x" not in door.asked[1].query


def test_a_new_identity_token_is_used_from_then_on(server: Rude) -> None:
    door = Doorman(server, identity="first")
    door.life = {"refresh_token": "second"}
    client = known(server.host, identitytoken="first")
    assert repository(server, client).has(named(DATA))
    door.identity = "second"
    assert repository(server, client, path="another").has(named(DATA))
    assert len(door.asked) == 2


# -- who may learn of a credential ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("registry", "realm", "why"),
    [
        ("registry.example.org", "http://auth.example.org/token", "speaks plain HTTP; no credentials were sent"),
        ("registry.example.org", "https://169.254.169.254/token", "an inner address"),
        ("registry.example.org", "https://10.1.2.3/token", "an inner address"),
        ("registry.example.org", "https://localhost/token", "an inner address"),
        ("10.0.0.1:5000", "https://127.0.0.1/token", "an inner address"),
        ("registry.example.org", "ftp://auth.example.org/", "no usable URL"),
        ("registry.example.org", "https://user:word@auth.example.org/", "no usable URL"),
        ("registry.example.org", "", "no usable URL"),
        ("registry.example.org", "/token", "no usable URL"),
    ],
)
def test_token_servers_that_get_nothing(registry: str, realm: str, why: str) -> None:
    from registry.auth import Authenticator, Challenge

    def never(request: object) -> Response:
        raise AssertionError("nothing may be sent")

    who = Credentials(given=Credential("ada", SECRET), environment={})
    door = Authenticator(who, Trust(environment={}), never)
    with pytest.raises(ProtocolViolation, match=why) as failed:
        door.answer(registry, "x", Challenge("bearer", {"realm": realm}), frozenset(), refused=None)
    assert SECRET not in str(failed.value)


def test_a_credential_goes_to_its_own_host_only(server: Rude) -> None:
    with rude() as other:
        other.blob(DATA)
        for one in (server, other):
            Doorman(one)
        client = known(server.host, username="ada", password=SECRET)
        assert repository(server, client).has(named(DATA))
        assert repository(other, client).has(named(DATA))
        assert any(ask.headers.get("authorization", "").startswith("Basic") for ask in server.seen)
        assert all(not ask.headers.get("authorization", "").startswith("Basic") for ask in other.seen)


def test_netrc_has_no_say(server: Rude, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password x\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert repository(server).has(named(DATA))
    assert all("authorization" not in ask.headers for ask in server.seen)


# -- credential files and helpers ----------------------------------------------------------------


def files(home: Path, **entries: object) -> dict[str, str]:
    """An environment whose files have these entries: docker, runtime, settings, old, explicit."""
    places = {
        "docker": home / ".docker/config.json",
        "runtime": home / "run/containers/auth.json",
        "settings": home / ".config/containers/auth.json",
        "old": home / ".dockercfg",
        "explicit": home / "explicit.json",
    }
    for name, value in entries.items():
        places[name].parent.mkdir(parents=True, exist_ok=True)
        places[name].write_text(json.dumps(value))
    return {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}


def entry(user: str) -> dict[str, object]:
    return {"auths": {"a.example": {"username": user, "password": "x"}}}


def test_the_order_of_files(tmp_path: Path) -> None:
    environment = files(
        tmp_path,
        docker=entry("docker"),
        runtime=entry("runtime"),
        settings=entry("settings"),
        old=entry("old")["auths"],
        explicit=entry("explicit"),
    )
    for name, gone in (("docker", ".docker/config.json"), ("runtime", "run/containers/auth.json"),
                       ("settings", ".config/containers/auth.json"), ("old", ".dockercfg")):  # fmt: skip
        found = Credentials(environment=environment).find("a.example")
        assert found is not None and found.username == name, name
        (tmp_path / gone).unlink()
    assert Credentials(environment=environment).find("a.example") is None
    inline = {**environment, "DOCKER_AUTH_CONFIG": json.dumps(entry("inline"))}
    assert Credentials(environment=inline).find("a.example").username == "inline"  # type: ignore[union-attr]
    explicit = {**inline, "REGISTRY_AUTH_FILE": str(tmp_path / "explicit.json")}
    assert Credentials(environment=explicit).find("a.example").username == "explicit"  # type: ignore[union-attr]
    assert Credentials(environment=explicit).find("b.example") is None, "the explicit file alone counts"
    given = Credentials(Credential("given"), environment=explicit)
    assert given.find("a.example").username == "given"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("key", "host", "path", "fits"),
    [
        ("a.example", "a.example", "x", True),
        ("a.example/team", "a.example", "team/app", True),
        ("a.example/team", "a.example", "teams/app", False),
        ("a.example/team/app", "a.example", "team/app", True),
        ("https://a.example/v1/", "a.example", "x", True),
        ("http://a.example/v2/", "a.example", "x", True),
        ("https://a.example:5000", "a.example:5000", "x", True),
        ("a.example:5000", "a.example", "x", False),
        ("https://index.docker.io/v1/", "docker.io", "library/x", True),
        ("docker.io", "registry-1.docker.io", "library/x", True),
        ("b.example", "a.example", "x", False),
    ],
)
def test_keys_of_auths(tmp_path: Path, key: str, host: str, path: str, fits: bool) -> None:
    environment = files(tmp_path, docker={"auths": {key: {"auth": packed("ada", SECRET)}}})
    found = Credentials(environment=environment).find(host, path)
    assert (found is not None) == fits
    if found is not None:
        assert (found.username, found.password) == ("ada", SECRET)


def test_the_longest_path_wins(tmp_path: Path) -> None:
    auths = {place: {"username": place, "password": "x"} for place in ("a.example", "a.example/t", "a.example/t/app")}
    who = Credentials(environment=files(tmp_path, docker={"auths": auths}))
    assert who.find("a.example", "t/app").username == "a.example/t/app"  # type: ignore[union-attr]
    assert who.find("a.example", "t/other").username == "a.example/t"  # type: ignore[union-attr]
    assert who.find("a.example", "z").username == "a.example"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "value", ["[]", "{", '{"auths": []}', '{"auths": {"a.example": {"auth": "bm9jb2xvbg=="}}}', "\x00"]
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, value: str) -> None:
    environment = files(tmp_path, docker={})
    (tmp_path / ".docker/config.json").write_text(value)
    with pytest.raises(CredentialsInvalid, match=r"config\.json"):
        Credentials(environment=environment).find("a.example")


def test_trailing_nuls_are_cut(tmp_path: Path) -> None:
    value = base64.b64encode(b"ada:secret\0\0\0").decode()
    environment = files(tmp_path, docker={"auths": {"a.example": {"auth": value}}})
    assert Credentials(environment=environment).find("a.example").password == "secret"  # type: ignore[union-attr]


HELPER = """#!/bin/sh
echo "$1" >>"$LOG"
host=$(cat)
echo "$host" >>"$LOG"
case $host in
    token*) echo '{"ServerURL": "x", "Username": "<token>", "Secret": "identity"}' ;;
    none*) echo "credentials not found in native keychain"; exit 1 ;;
    broken*) echo "the keychain is locked" >&2; echo "a secret"; exit 1 ;;
    odd*) echo '[]' ;;
    *) echo '{"ServerURL": "x", "Username": "ada", "Secret": "from the helper"}' ;;
esac
"""


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """docker-credential-made on the PATH; its log."""
    program = tmp_path / "bin/docker-credential-made"
    program.parent.mkdir()
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def test_helpers(tmp_path: Path, helper: Path) -> None:
    config = {
        "credHelpers": {
            "h.example": "made",
            "token.example": "made",
            "none.example": "made",
            "other.example": "absent",
        },
        "auths": {"store.example": {}, "plain.example": {"username": "bob", "password": "x"}},
        "credsStore": "made",
    }
    who = Credentials(environment=files(tmp_path, docker=config))
    assert who.find("h.example").password == "from the helper"  # type: ignore[union-attr]
    assert who.find("token.example").identity_token == "identity"  # type: ignore[union-attr]
    assert who.find("none.example") is None, "it knows nothing: anonymous"
    assert who.find("store.example").username == "ada", "an empty entry means: look in the store"  # type: ignore[union-attr]
    asked = ["h.example", "token.example", "none.example", "store.example"]
    assert helper.read_text().split() == [word for host in asked for word in ("get", host)]
    assert who.find("plain.example").username == "bob"  # type: ignore[union-attr]
    assert who.find("docker.io").username == "ada"  # type: ignore[union-attr]
    assert helper.read_text().split()[-1] == "https://index.docker.io/v1/"
    with pytest.raises(CredentialsInvalid, match="the keychain is locked") as failed:
        who.find("broken.example")
    assert "a secret" not in str(failed.value)
    with pytest.raises(CredentialsInvalid, match="not a credential"):
        who.find("odd.example")
    with pytest.raises(CredentialsInvalid, match="docker-credential-absent: is not on the PATH"):
        who.find("other.example")


def test_a_helper_is_a_name_and_no_path(tmp_path: Path) -> None:
    who = Credentials(environment=files(tmp_path, docker={"credsStore": "../../tmp/evil"}))
    with pytest.raises(CredentialsInvalid, match="without a directory"):
        who.find("a.example")


def test_a_helpers_identity_token_at_work(server: Rude, tmp_path: Path, helper: Path) -> None:
    door = Doorman(server, identity="identity")
    config = {"credHelpers": {server.host: "made"}}
    helper.parent.joinpath("bin/docker-credential-made").write_text(HELPER.replace("token*", "127*"))
    client = quick(environment={**files(tmp_path, docker=config)})
    assert repository(server, client).has(named(DATA))
    assert door.asked[0].method == "POST"


def test_login_and_logout_keep_all_else_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "new/folder")}
    who = Credentials(environment=environment)
    file = tmp_path / "new/folder/config.json"
    assert who.login("a.example", "ada", SECRET) == str(file)
    config = json.loads(file.read_text())
    config["psFormat"] = "mine"
    file.write_text(json.dumps(config))
    file.chmod(0o644)
    who.login("docker.io", "bob", "x")
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()) == {
        "auths": {
            "a.example": {"auth": packed("ada", SECRET)},
            "https://index.docker.io/v1/": {"auth": packed("bob", "x")},
        },
        "psFormat": "mine",
    }
    assert who.find("a.example").password == SECRET  # type: ignore[union-attr]
    assert who.logout("docker.io")
    assert not who.logout("docker.io")
    assert list(json.loads(file.read_text())["auths"]) == ["a.example"]
    assert [path.name for path in file.parent.iterdir()] == ["config.json"], "nothing is left over"


def test_many_logins_at_once_lose_none(tmp_path: Path) -> None:
    who = Credentials(environment={"DOCKER_CONFIG": str(tmp_path)})
    hosts = [f"h{number}.example" for number in range(24)]
    threads = [threading.Thread(target=who.login, args=(host, "ada", "x")) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(json.loads((tmp_path / "config.json").read_text())["auths"]) == sorted(hosts)


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/config.json").write_text("{}")
    (tmp_path / "config.json").symlink_to(tmp_path / "real/config.json")
    Credentials(environment={"DOCKER_CONFIG": str(tmp_path)}).login("a.example", "ada", "x")
    assert (tmp_path / "config.json").is_symlink()
    assert "a.example" in (tmp_path / "real/config.json").read_text()
