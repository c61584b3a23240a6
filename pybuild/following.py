"""A command that is run here: our streams are its streams until it ends, and signals to us are for it."""

from __future__ import annotations

from collections.abc import Callable

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers.foreground import Foreground
    from builder.containers.switchboard import Switchboard
    from builder.containers.terminal import Streams
    from runner.running import Running


def follow(
    running: Running,
    streams: Streams,
    foreground: Foreground,
    *,
    begin: Callable[[], object] = lambda: None,
    passed: Callable[[int], None] | None = None,
    detached: Callable[[Switchboard, int], None] = lambda board, code: None,
) -> int:
    """Let a command `begin` that waits for that, and stay to its end; its exit code. Closes `streams`.

    `passed` is done with signals to us, which otherwise are the command's; `detached` when we leave it, with our
    exit code: keys say so, or nobody reads us any more.
    """
    from builder.containers.loop import Loop
    from builder.containers.switchboard import Switchboard
    from builder.containers.terminal import LINGER, forwarding, unless_lost

    loop = Loop()
    board = Switchboard(loop, foreground.show, input_ends=True)
    over = False

    def ended() -> None:
        nonlocal over
        over = True
        loop.forget(running.fileno())
        board.drain()

    try:
        streams.started()
        with forwarding(passed or running.signal):
            begin()
            foreground.take(running, board, lambda code: detached(board, code))
            board.plug(running, streams)
            loop.watch(running.fileno(), ended)
            loop.run(lambda: over)
            loop.run(lambda: board.silent, seconds=LINGER)
    finally:
        foreground.release()
        board.unplug()
        streams.close()
        loop.close()
    return unless_lost(running.wait().code)
