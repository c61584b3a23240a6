"""What this runtime can do, in the form of the runtime-spec's features.md."""

from pathlib import Path
from typing import Any

from runner.oci import options
from runner.oci.bundle import HOOKS, VERSION
from runner.oci.namespaces import NAMESPACES
from runner.oci.process import LSM
from runner.profile import ACTIONS, OPERATIONS
from runner.sandbox import CAPABILITIES


def features() -> dict[str, Any]:
    """For this machine."""
    attributes = [*options.ATTRIBUTES, *("r" + word for word in options.ATTRIBUTES)]
    words = {
        *attributes,
        *options.PROPAGATION,
        *options.FLAGS,
        *options.NOTHING,
        "bind",
        "rbind",
        "tmpcopyup",
        "idmap",
        "ridmap",
    }
    try:
        modules = LSM.read_text().strip().split(",")
    except OSError:
        modules = []
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": list(HOOKS),
        "mountOptions": sorted(words),
        "linux": {
            "namespaces": sorted(name for name in NAMESPACES if Path("/proc/self/ns", _file(name)).exists()),
            "capabilities": [f"CAP_{name}" for name in CAPABILITIES],
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(ACTIONS),
                "operators": sorted(f"SCMP_CMP_{name}" for name in OPERATIONS),
                "archs": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_X86_64"],
            },
            "apparmor": {"enabled": "apparmor" in modules},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
        },
        "annotations": {},
        "potentiallyUnsafeConfigAnnotations": [],
    }


def _file(name: str) -> str:
    return {"mount": "mnt", "network": "net"}.get(name, name)
