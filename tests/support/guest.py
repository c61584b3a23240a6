"""A small virtual machine with Debian's own kernel and cgroup v2, for what this host cannot show.

Controllers that version 2 does not have (net_cls) are left to version 1, where a test may mount them.

The guest sees this host's root read-only (9p) under a throw-away overlay, so the tree and its .venv are where they are
here. /tmp and /var/tmp are fresh tmpfs but for the tree, if it lies there. Its processors are emulated (nested KVM does
not run stock kernels everywhere), so it is slow, but it runs everywhere. The kernel is Debian's package, unpacked once
into the cache of the benchmark's peers.
"""

import fcntl
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.peers import need

MODULES = (  # in the order of what they need
    "virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci netfs fscache 9pnet 9pnet_virtio 9p "
    "overlay loop crc32c_generic libcrc32c erofs crc16 mbcache jbd2 ext4"
).split()
LEGACY = "cgroup_no_v1=cpuset,cpu,cpuacct,io,memory,devices,freezer,perf_event,hugetlb,pids,rdma,misc"
"""What the guest's kernel is told; so it is known there, too."""
_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /host /new /mem
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module.ko; done
share="-t 9p -o trans=virtio,version=9p2000.L,msize=1048576"
/bin/busybox mount $share,ro,cache=loose host /host
/bin/busybox mount -t tmpfs mem /mem
/bin/busybox mkdir -p /mem/upper /mem/work
/bin/busybox mount -t overlay -o lowerdir=/host,upperdir=/mem/upper,workdir=/mem/work root /new
for place in proc sys dev; do /bin/busybox mount -o move /$place /new/$place; done
/bin/busybox mount -t tmpfs tmp /new/tmp
/bin/busybox mkdir -p /new/var/tmp /new/dev/pts /new/dev/shm /new/sys/fs/cgroup
/bin/busybox mount -t tmpfs tmp /new/var/tmp
case "TREE" in
    /tmp/*|/var/tmp/*) /bin/busybox mkdir -p "/newTREE"; /bin/busybox mount -o bind "/hostTREE" "/newTREE";;
esac
/bin/busybox mount -t devpts pts /new/dev/pts
/bin/busybox mount -t tmpfs shm /new/dev/shm
/bin/busybox mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
/bin/busybox mkdir -p /new/tmp/talk
/bin/busybox mount $share,cache=none talk /new/tmp/talk
/bin/busybox ip link set lo up
exec /bin/busybox switch_root /new /bin/sh -c '
    cd /; /bin/sh /tmp/talk/command >/tmp/talk/output 2>&1 </dev/null
    echo $? >/tmp/talk/status; sync; echo b >/proc/sysrq-trigger; sleep 9'
"""


def is_guest() -> bool:
    """Whether this is such a machine."""
    return LEGACY in Path("/proc/cmdline").read_text()


def run_in_guest(command: Sequence[str], folder: Path, *, cwd: Path, timeout: float = 300) -> tuple[int, str]:
    """Run a command in a fresh guest: its exit code and all that it said. Skips where there is no qemu."""
    qemu = need("qemu-system-x86_64", "qemu-system-x86")
    kernel, modules = _kernel()
    talk = folder / "talk"
    talk.mkdir(parents=True)
    (talk / "command").write_text(f"cd {shlex.quote(str(cwd))}\nexec {shlex.join(command)}\n")
    machine = [
        qemu,
        "-M",
        "q35",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "3G",
        "-nographic",
        "-no-reboot",
        "-nodefaults",
    ]
    machine += [
        "-kernel",
        str(kernel),
        "-initrd",
        str(_initrd(folder, modules, cwd)),
        "-serial",
        f"file:{folder}/console",
    ]
    machine += ["-append", f"console=ttyS0 quiet panic=-1 reboot=t {LEGACY}"]
    for tag, path, more in (("host", "/", ",readonly=on"), ("talk", talk, "")):
        share = f"local,id={tag},path={path},security_model=none,multidevs=remap{more}"
        machine += ["-fsdev", share, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    done = subprocess.run(
        machine, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False, text=True
    )
    output = (talk / "output").read_text(errors="replace") if (talk / "output").exists() else ""
    if not (talk / "status").exists():
        console = (folder / "console").read_text(errors="replace")[-3000:]
        raise RuntimeError(f"the guest did not finish:\n{output}\n{done.stderr}\n{console}")
    return int((talk / "status").read_text()), output


def _kernel() -> tuple[Path, Path]:
    """Debian's kernel and the folder of its modules, unpacked once a machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pybuild-peers"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / "kernel"
    with (cache / "kernel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            part = cache / "kernel.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            depends = subprocess.run(
                ["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=True
            ).stdout
            package = next(line.split()[1] for line in depends.splitlines() if "Depends:" in line)
            subprocess.run(["apt-get", "download", "-qq", package], cwd=part, capture_output=True, check=True)
            (deb,) = part.glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", deb, part], check=True)
            deb.unlink()
            part.rename(place)
    (kernel,) = (place / "boot").glob("vmlinuz-*")
    (modules,) = (place / "lib/modules").iterdir()
    return kernel, modules


def _initrd(folder: Path, modules: Path, tree: Path) -> Path:
    root = folder / "initrd"
    (root / "bin").mkdir(parents=True)
    (root / "modules").mkdir()
    shutil.copy(need("busybox", "busybox-static"), root / "bin/busybox")
    found = {file.stem: file for file in modules.rglob("*.ko")}
    order = [name for name in MODULES if name in found]
    for name in order:
        shutil.copy(found[name], root / "modules")
    (root / "modules/order").write_text("\n".join(order) + "\n")
    (root / "init").write_text(_INIT.replace("TREE", str(tree)))
    (root / "init").chmod(0o755)
    packed = folder / "initrd.cpio"
    with packed.open("wb") as out:
        subprocess.run(
            "find . | busybox cpio -o -H newc", shell=True, cwd=root, stdout=out, stderr=subprocess.DEVNULL, check=True
        )
    return packed
