"""The default system-call filter.

What container engines agree on: a call that is in our table and harmless is allowed; one that reaches for the host
(mounts, namespaces, modules, keys, clocks, io_uring …) fails with EPERM unless the capability that governs it was
granted; a number that is not in our table, and clone3 whose flags lie in memory, fail with ENOSYS, so that a libc
falls back to older calls. A foreign machine word kills the process; 32-bit calls on a 64-bit machine do as well, unless
the image is of 32 bits: then both kinds are judged, each by its own table. See seccomp(2).
"""

from collections.abc import Iterable, Mapping
from functools import cache

from runner.bpf import FIRST_ARGUMENT, JEQ, JSET, LOAD, PASS, REFUSE, UNKNOWN, Code, assembled, either
from runner.syscalls import MACHINE, table

NEVER = frozenset(
    "_sysctl add_key afs_syscall create_module get_kernel_syms getpmsg io_uring_enter io_uring_register io_uring_setup "
    "kexec_file_load kexec_load keyctl listmount migrate_pages move_pages nfsservctl open_tree_attr pivot_root putpmsg "
    "query_module request_key security statmount swapoff swapon sysfs tuxcall uselib userfaultfd ustat "
    "vm86 vm86old vserver".split()
)
GOVERNED: Mapping[str, str] = {  # capability: the calls that it opens
    "SYS_ADMIN": "bpf clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr "
    "move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 "
    "unshare",
    "DAC_READ_SEARCH": "open_by_handle_at",
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module init_module finit_module",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "iopl ioperm",
    "SYS_TIME": "settimeofday clock_settime clock_settime64 stime",
    "SYS_TTY_CONFIG": "vhangup",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYSLOG": "syslog",
    "BPF": "bpf",
    "PERFMON": "perf_event_open",
}
PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, ADDR_COMPAT_LAYOUT, UNAME26, both, "tell me"
NAMESPACE_FLAGS = 0x7E020000  # CLONE_NEWNS … CLONE_NEWNET of clone(2)
AF_ALG, AF_VSOCK = 38, 40


def _unless(argument_is: int, values: Iterable[int], then: Code, otherwise: Code) -> Code:
    """Return `then` if the first argument equals (or for JSET shares bits with) one of `values`."""
    wanted = list(values)
    tests = [(argument_is, len(wanted) - 1 - place, 0, value) for place, value in enumerate(wanted)]
    tests[-1] = (argument_is, 0, len(then), wanted[-1])
    return [(LOAD, 0, 0, FIRST_ARGUMENT), *tests, *then, *otherwise]


@cache
def program(capabilities: frozenset[str], machine: str = MACHINE) -> bytes:
    """The filter for a process with `capabilities`, as an array of struct sock_filter."""
    numbers = table(machine)
    refused = NEVER | {call for cap, calls in GOVERNED.items() if cap not in capabilities for call in calls.split()}
    refused -= {call for cap, calls in GOVERNED.items() if cap in capabilities for call in calls.split()}
    verdicts: dict[int, Code] = {number: REFUSE if name in refused else PASS for name, number in numbers.items()}
    if "SYS_ADMIN" not in capabilities:
        verdicts[numbers["clone"]] = _unless(JSET, [NAMESPACE_FLAGS], REFUSE, PASS)
        verdicts[numbers["clone3"]] = UNKNOWN
    verdicts[numbers["socket"]] = _unless(JEQ, [AF_ALG, AF_VSOCK], REFUSE, PASS)
    verdicts[numbers["personality"]] = _unless(JEQ, PERSONALITIES, PASS, REFUSE)
    return assembled(verdicts, UNKNOWN, machine)


def of_386(capabilities: frozenset[str]) -> bytes:
    """The filter for 32-bit programs on x86_64; the call that becomes the first of them is still one of 64 bits."""
    return either(program(capabilities, "x86_64"), program(capabilities, "i686"))
