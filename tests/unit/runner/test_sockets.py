"""Sockets that keep messages apart, and descriptors in their messages."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Timer

import pytest

from runner.sockets import Socket


def test_messages_stay_apart_and_carry_descriptors() -> None:
    one, other = Socket.pair()
    with one, other:
        assert not os.get_inheritable(one.fileno()) and not os.get_inheritable(other.fileno())
        reader, writer = os.pipe()
        one.send_with(b"first", [reader, writer])
        one.send_with(b"second", [])
        os.close(reader)
        os.close(writer)
        message, given = other.receive_with(100, 2)
        assert (message, len(given)) == (b"first", 2)
        assert not any(map(os.get_inheritable, given))
        os.write(given[1], b"through")
        assert os.read(given[0], 10) == b"through"
        for descriptor in given:
            os.close(descriptor)
        assert other.receive_with(100, 2) == (b"second", [])
        one.close()
        assert other.receive_with(100, 2) == (b"", [])
    assert (one.fileno(), other.fileno()) == (-1, -1)


def test_who_calls_is_answered(tmp_path: Path) -> None:
    with Socket.new() as line, Socket.new() as caller:
        line.bind(str(tmp_path / "line"))
        line.listen(1)
        line.setblocking(False)
        with pytest.raises(BlockingIOError):
            line.accept()
        caller.connect(str(tmp_path / "line"))
        with line.accept() as answering:
            assert isinstance(answering, Socket) and not os.get_inheritable(answering.fileno())
            caller.send(b"hello")
            assert answering.recv(10) == b"hello"


def test_who_calls_waits_while_others_are_let_in(tmp_path: Path) -> None:
    with Socket.listening(tmp_path, "line") as line:
        callers: list[Socket] = []
        with pytest.raises(TimeoutError, match="so many others"):
            while caller := Socket.calling(tmp_path, "line", 0.2):
                callers.append(caller)
        assert len(callers) > 10
        soon = Timer(0.2, lambda: line.accept().close())
        soon.start()
        late = Socket.calling(tmp_path, "line", 60)
        assert late is not None
        soon.join()
        for one in (late, *callers):
            one.close()
