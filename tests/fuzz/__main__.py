"""Feed the front half until the time is over: `python -m tests.fuzz [--minutes N] [--seed N]`.

The exit code is 1 if it breaks. Every input that breaks something new is written to `fuzz-N.Dockerfile` in the
working directory.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.front import feed
from tests.fuzz.mutate import Mutator


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    inputs = Mutator(options.seed)
    seen: set[str] = set()
    count = 0
    while time.monotonic() < end:
        data = inputs.next()
        count += 1
        try:
            feed(data)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{type(error).__name__} {where.filename}:{where.lineno}"
            if key not in seen:
                seen.add(key)
                path = Path(f"fuzz-{len(seen)}.Dockerfile")
                path.write_bytes(data)
                print(f"{path}: {key}: {str(error)[:200]!r}", flush=True)
    print(f"seed {options.seed}: {count} inputs, {len(seen)} ways to break", flush=True)
    return 1 if seen else 0


if __name__ == "__main__":
    sys.exit(main())
