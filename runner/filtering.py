"""Writes `runner.filters`: the filters that most processes have, so that nobody computes them at each start.

`python -m runner.filtering` writes it anew, after `runner.seccomp`, its tables or the usual capabilities have changed.
"""

from pathlib import Path
from textwrap import wrap

from runner.sandbox import DEFAULT_CAPABILITIES
from runner.seccomp import program

MACHINES = ("x86_64", "aarch64")
PLACE = Path(__file__).with_name("filters.py")
TEXT = '''"""System-call filters of processes with the usual capabilities, by machine; written by `runner.filtering`."""

USUAL = {{
{filters}}}
'''


def text() -> str:
    """What that module says."""
    filters = ""
    for machine in MACHINES:
        lines = "\n".join(wrap(program(DEFAULT_CAPABILITIES, machine).hex(), 112))
        filters += f'    "{machine}": bytes.fromhex(\n        """\n{lines}\n"""\n    ),\n'
    return TEXT.format(filters=filters)


if __name__ == "__main__":
    PLACE.write_text(text(), encoding="utf-8")
