"""Retries, redirects, waits and errors of one exchange."""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from registry.errors import Denied, NotFound, ProtocolViolation, RateLimited, RegistryError, Unauthorized, Unavailable
from registry.retry import Retry, retry_after
from registry.session import Client, origin_of
from registry.transport import Request, Response, Stored
from tests.support.quick import named, noise, quick, repository
from tests.support.rude import FOREVER, Reply, Rude, mistake, rude

DATA = noise(5000)
BLOB = "/blobs/sha256:"


@pytest.fixture
def server() -> Iterator[Rude]:
    with rude() as server:
        server.blob(DATA)
        yield server


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_failure_that_passes_costs_one_request(server: Rude, status: int) -> None:
    server.rule("GET", BLOB, mistake(status, "UNKNOWN"))
    assert repository(server).open(named(DATA)).read() == DATA
    assert len(server.asked()) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 501])
def test_a_failure_that_stays_is_not_tried_again(server: Rude, status: int) -> None:
    server.rule("GET", BLOB, mistake(status, "SOME_CODE", "in its own words"))
    with pytest.raises(RegistryError, match=rf"in its own words \(SOME_CODE, HTTP {status}\)"):
        repository(server).open(named(DATA))
    assert len(server.asked()) == 1


def test_500_for_ever_ends_with_the_servers_own_words(server: Rude) -> None:
    server.rule("GET", BLOB, mistake(500, "UNKNOWN", "the disk is on fire"), FOREVER)
    with pytest.raises(Unavailable, match=r"the disk is on fire \(UNKNOWN, HTTP 500\)"):
        repository(server).open(named(DATA))
    assert len(server.asked()) == 4
    assert sum(0.5 * 2**tried * 1.2 for tried in range(3)) < 15, "seconds that the real pauses take at most"


def test_no_answer_at_all_is_tried_again(server: Rude) -> None:
    server.rule("GET", BLOB, Reply(silent=True), 3)
    assert repository(server).open(named(DATA)).read() == DATA


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>gateway</body></html>",
        b"\xff\xfe\x00",
        b"[]",
        b'{"errors": []}',
        b'{"errors": [[]]}',
        b"x" * 99999,
    ],
)
def test_the_body_of_an_error_may_be_anything(server: Rude, body: bytes) -> None:
    server.rule("GET", BLOB, Reply(403, body=body))
    with pytest.raises(Denied) as failed:
        repository(server).open(named(DATA))
    assert str(failed.value).isprintable()
    assert len(str(failed.value)) < 700
    assert "<" not in str(failed.value)


def test_the_query_of_a_url_and_control_letters_are_never_shown(server: Rude) -> None:
    server.rule("GET", BLOB, mistake(403, "DENIED", "colour \x1b[31m bell \x07"))
    with pytest.raises(Denied) as failed:
        repository(server).open(named(DATA))
    assert str(failed.value).isprintable()
    place = "https://example.invalid/x?X-Amz-Signature=secret"
    server.rule("GET", BLOB, Reply(307, {"Location": place.replace("https:", "gopher:")}))
    with pytest.raises(ProtocolViolation) as failed_again:
        repository(server).open(named(DATA))
    assert "secret" not in str(failed_again.value)


# -- Retry-After ---------------------------------------------------------------------------------


class Slept(threading.Event):
    """A stop event that notes for how long it was waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Note it."""
        self.waits.append(timeout or 0.0)
        return self.is_set()


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("86400", 60, 60),
        ("99999999999999999999", 60, 60),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.4, 0.6),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 60, 60),
        ("soon", 0.4, 0.6),
        ("-5", 0.4, 0.6),
        ("", 0.4, 0.6),
        ("\u0663", 0.4, 0.6),
    ],
)
def test_how_long_is_waited(server: Rude, header: str, least: float, most: float) -> None:
    stop = Slept()
    retry = Retry(stop=stop)
    answer = Response(429, {"retry-after": header}, "http://x/", Stored(b""))
    assert retry.again(answer, tried=1, since=time.monotonic())
    assert least <= stop.waits[0] <= most


@pytest.mark.parametrize("text", ["", "x", "1.5", "0x10", "²", "Thu, 99 Foo 2015"])
def test_garbage_is_no_time(text: str) -> None:
    assert retry_after(text) is None


def test_a_date_is_a_time_from_now() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert retry_after("Thu, 01 Jan 2026 12:00:07 GMT", now=now) == 7
    assert retry_after("Thu, 01 Jan 2026 11:00:00 GMT", now=now) == 0
    assert retry_after("Thu, 01 Jan 2026 12:00:07", now=now) == 7, "without a zone it is taken for GMT"


def test_a_rate_limit_says_what_to_do(server: Rude) -> None:
    server.rule("GET", BLOB, Reply(429, {"Retry-After": "86400"}), FOREVER)
    with pytest.raises(RateLimited, match=r"HTTP 429.*rate limit: wait, or log in") as failed:
        repository(server, quick(longest=0.01)).open(named(DATA))
    assert len(server.asked()) == 4
    assert "\n" not in str(failed.value)


def test_a_stop_ends_the_waiting(server: Rude) -> None:
    stop = threading.Event()
    server.rule("GET", BLOB, Reply(429, {"Retry-After": "50"}), FOREVER)
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(RateLimited):
        repository(server, quick(stop=stop)).open(named(DATA))
    assert time.monotonic() - began < 20


# -- redirects -----------------------------------------------------------------------------------


def test_redirects_are_followed_ten_times(server: Rude) -> None:
    for hop in range(10):
        server.rule("GET", BLOB if hop == 0 else f"^/hop{hop}$", Reply(302, {"Location": f"/hop{hop + 1}"}))
    server.rule("GET", "^/hop10$", Reply(body=DATA))
    assert repository(server).open(named(DATA)).read() == DATA
    server.rule("GET", ".*", Reply(302, {"Location": "/again"}), FOREVER)
    with pytest.raises(ProtocolViolation, match="more than 10 redirects"):
        repository(server, quick()).open(named(DATA))


@pytest.mark.parametrize(
    "place",
    ["", "data:,x", "file:///etc/passwd", "//user:word@127.0.0.1/x", "http://169.254.169.254/latest/meta-data"],
)
def test_redirects_that_are_not_followed(server: Rude, place: str) -> None:
    server.rule("GET", BLOB, Reply(307, {"Location": place}), 12)
    with pytest.raises(ProtocolViolation):
        repository(server).open(named(DATA))


def test_from_https_to_http_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match=r"from https to plain http at storage\.example\.org; refused"):
        Client().check_place("example.org", "https://example.org/v2/", "http://storage.example.org/x")


@pytest.mark.parametrize(
    ("origin", "place", "fine"),
    [
        ("https://example.org/", "https://storage.example.org/", True),
        ("https://example.org/", "https://10.0.0.1/", False),
        ("https://example.org/", "https://192.168.1.1/", False),
        ("https://example.org/", "https://[fe80::1]/", False),
        ("https://example.org/", "https://127.0.0.1/", False),
        ("https://example.org/", "https://localhost/", False),
        ("https://example.org/", "https://[::ffff:169.254.169.254]/", False),
        ("https://10.0.0.1/", "https://10.0.0.2/", True),
        ("https://10.0.0.1/", "https://169.254.169.254/", False),
        ("http://127.0.0.1:5000/", "http://localhost:6000/", True),
        ("https://example.org/", "https://example.org:8443/", True),
    ],
)
def test_where_a_registry_may_send_us(origin: str, place: str, fine: bool) -> None:
    client = Client()
    if fine:
        client.check_place("registry", origin, place)
    else:
        with pytest.raises(ProtocolViolation, match="inner address"):
            client.check_place("registry", origin, place)


def test_a_write_is_not_redirected_as_a_read(server: Rude) -> None:
    server.rule("POST", "/blobs/uploads/", Reply(302, {"Location": "/elsewhere"}))
    with pytest.raises(ProtocolViolation, match="a POST was redirected"):
        repository(server).put(named(b"x"), __import__("io").BytesIO(b"x"))


# -- hosts that do not answer --------------------------------------------------------------------


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(Unavailable, match=rf"^{host}: no answer to GET: Connection refused$"):
        quick().base(host)


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(Unavailable, match=r"^registry\.invalid: no answer to GET: .*[Nn]ame") as failed:
        quick().base("registry.invalid")
    assert "\n" not in str(failed.value)


def test_a_host_that_takes_no_connection_costs_one_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue of connections looks like a firewall that drops: the connect hangs."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        began = time.monotonic()
        with pytest.raises(Unavailable, match="no answer to GET"):
            quick(connect_seconds=0.3, budget=0.5).base(f"127.0.0.1:{full.getsockname()[1]}")
        assert time.monotonic() - began < 5
        for one in waiting:
            one.close()


def test_another_try_that_would_take_too_long_is_not_made() -> None:
    retry = Retry(stop=Slept())
    error = Unavailable("x", "no answer")
    assert retry.again(error, tried=1, since=time.monotonic() - 1)
    assert not retry.again(error, tried=1, since=time.monotonic() - 10), "a connect that hung for its 10 s"


def test_it_is_no_registry(server: Rude) -> None:
    server.rule("GET", "^/v2/$", Reply(404, body=b"<html>nothing here</html>"))
    with pytest.raises(ProtocolViolation, match="is no OCI registry"):
        quick().base(server.host)


def test_what_servers_want_to_be_shown_is_shown_once(server: Rude) -> None:
    told: list[str] = []
    server.rule("GET", BLOB, Reply(headers={"Warning": '299 - "old and slow"'}, body=DATA), 2)
    server.rule("GET", BLOB, Reply(headers={"Warning": '299 - "\x1b[2Jgone"'}, body=DATA))
    server.rule("GET", BLOB, Reply(headers={"Warning": '110 - "stale"'}, body=DATA))
    client = quick(tell=told.append)
    for _ in range(4):
        repository(server, client).open(named(DATA)).read()
    assert told == [f"{server.host} says: old and slow"]


def test_connections_are_kept(server: Rude) -> None:
    remote = repository(server)
    for _ in range(5):
        assert remote.has(named(DATA))
        assert not remote.has(named(b"not there"))
        remote.open(named(DATA)).read()
    assert server.connections == 1


def test_a_401_that_says_nothing(server: Rude) -> None:
    server.rule("GET", BLOB, Reply(401), FOREVER)
    with pytest.raises(Unauthorized, match=rf"HTTP 401\); run: pybuild login {server.host}"):
        repository(server).open(named(DATA))
    assert len(server.asked()) == 1


def test_origins() -> None:
    assert origin_of("https://Example.org:443/x?y") == origin_of("https://example.org") == "https://example.org"
    assert origin_of("http://a:80/") == "http://a"
    assert origin_of("https://a:80/") == "https://a:80"


def test_answers_that_are_too_large(server: Rude) -> None:
    server.rule("GET", "/token", Reply(body=b"x" * (2 << 20)))
    with pytest.raises(ProtocolViolation, match="larger than 1048576 bytes"):
        quick().send(Request("GET", f"{server.url}/token"), host=server.host).body(1 << 20)
    with pytest.raises(NotFound):
        quick().send(Request("GET", f"{server.url}/nothing"), host=server.host)
