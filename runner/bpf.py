"""An assembler for system-call filters: a verdict for each number becomes classic BPF (seccomp(2), bpf(4)).

A verdict is code that ends in returns. The program looks at the machine word first, refuses numbers of the x32 ABI,
and finds the verdict by a binary search over ranges of numbers that share one.
"""

import errno
import struct
from collections.abc import Mapping

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "i686": 0x40000003}
KILL_PROCESS, KILL_THREAD, TRAP, ERRNO = 0x80000000, 0x00000000, 0x00030000, 0x00050000
TRACE, LOG, ALLOW = 0x7FF00000, 0x7FFC0000, 0x7FFF0000
LOAD, AND, RET = 0x20, 0x54, 0x06  # BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_RET|K
JA, JEQ, JGT, JGE, JSET = 0x05, 0x15, 0x25, 0x35, 0x45  # BPF_JMP|…|K
NUMBER, ARCH, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little-endian low word
X32 = 0x40000000
LONGEST = 4096  # BPF_MAXINSNS

STEP = struct.Struct("=HBBI")
Code = list[tuple[int, int, int, int]]
REFUSE: Code = [(RET, 0, 0, ERRNO | errno.EPERM)]
UNKNOWN: Code = [(RET, 0, 0, ERRNO | errno.ENOSYS)]
PASS: Code = [(RET, 0, 0, ALLOW)]


def assembled(verdicts: Mapping[int, Code], otherwise: Code, machine: str) -> bytes:
    """The program, as an array of struct sock_filter. Raises ValueError if the kernel would not take it."""
    ranges: list[tuple[int, Code]] = []
    for number in range(max(verdicts, default=0) + 2):
        verdict = verdicts.get(number, otherwise)
        if not ranges or ranges[-1][1] != verdict:
            ranges.append((number, verdict))
    code: Code = [
        (LOAD, 0, 0, ARCH),
        (JEQ, 1, 0, AUDIT_ARCH[machine]),
        (RET, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER),
        (JGE, 0, 1, X32),
        *UNKNOWN,
        *search(ranges),
    ]
    if len(code) > LONGEST:
        raise ValueError(
            f"it makes a filter of {len(code)} instructions, more than the {LONGEST} that the kernel takes"
        )
    return b"".join(STEP.pack(*step) for step in code)


def either(first: bytes, second: bytes) -> bytes:
    """Two programs for two machines as one: the second judges what is of another machine than the first's."""
    steps = len(first) // STEP.size
    return first[: 2 * STEP.size] + STEP.pack(JA, 0, 0, steps - 3) + first[3 * STEP.size :] + second


def search(ranges: list[tuple[int, Code]]) -> Code:
    """A binary search for the last range that begins at or below the number."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    low, high = search(ranges[:middle]), search(ranges[middle:])
    if len(low) <= 255:
        return [(JGE, len(low), 0, ranges[middle][0]), *low, *high]
    return [(JGE, 0, 1, ranges[middle][0]), (JA, 0, 0, len(low)), *low, *high]
