"""Which failures deserve another try, and after how long.

A lost connection, and the statuses that say "not now", are tried again with growing pauses; a server
that says when to come back is believed, up to a minute. Everything else is final at once.
"""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from layers.quick import dataclass, field
from registry.errors import Unavailable
from registry.transport import Response

AGAIN = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Retry:
    """How patient we are. Times are seconds; `budget` bounds the trying of what never answers.

    A body that brings fewer than `slowest` bytes a second for the length of `window` counts as cut.
    """

    tries: int = 4
    first: float = 0.5
    budget: float = 12.0
    longest: float = LONGEST_WAIT
    slowest: int = 1 << 10
    window: float = 60.0
    stop: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def times(cls, count: int, stop: threading.Event | None = None) -> Retry:
        """So often again after the first try, with as much more time as that takes."""
        tries = count + 1
        return cls(tries=tries, budget=cls().budget * max(1.0, tries / cls().tries), stop=stop or threading.Event())

    def again(self, failure: Response | Unavailable, *, tried: int, since: float) -> bool:
        """True after a pause if another try makes sense; `tried` counts those made, `since` is their start."""
        asked: float | None = None
        if isinstance(failure, Response):
            if failure.status not in AGAIN:
                return False
            asked = retry_after(failure.headers.get("retry-after", ""))
        if tried >= self.tries or self.stop.is_set():
            return False
        pause = self._pause(tried)
        if asked is not None:
            pause = min(max(asked, pause), self.longest)
        else:
            spent = time.monotonic() - since
            if spent + pause + spent / tried > self.budget:  # the next try will take as long as the others did
                return False
        return not self.stop.wait(pause)

    def rest(self, tried: int) -> bool:
        """True after a pause if something that was broken off, now for the `tried`th time, should go on."""
        return tried < self.tries and not self.stop.wait(self._pause(tried))

    def _pause(self, tried: int) -> float:
        return self.first * 2.0 ** (tried - 1) * random.uniform(0.8, 1.2)


def retry_after(text: str, *, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as a date (RFC 9110, 10.2.3); None if it is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
