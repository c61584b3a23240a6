#!/bin/sh
# Everything a person or a machine does with this tree, on Debian with python3:
#
#   ./do demo     build, run, inspect, push and pull back a real example
#   ./do test     all tests; ends with pytest's summary line
#   ./do vm       those of a Debian kernel with cgroup v2 alone, in a virtual machine
#   ./do bench    the benchmark against BuildKit, buildah, podman, skopeo, umoci
#   ./do check    formatter, linter, types, floors, spelling: the gate before a commit
#   ./do setup    only what the others need: Debian packages and .venv
#
# Run it as root: namespaces, overlayfs and cgroups need it, and so does apt-get.
# Further words go to the tool: ./do test -k history
set -eu
cd "$(dirname "$0")"

# What `demo` cannot do without; then what the tests compare us with.
BASE="ca-certificates python3-venv busybox-static mmdebstrap nftables docker-registry skopeo"
PEERS="iproute2 util-linux slirp4netns gcc libc6-dev qemu-system-x86 umoci runc buildah docker.io apache2-utils curl git openssh-client strace uidmap e2fsprogs"

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

# Install the Debian packages of the arguments that are missing.
packages() {
    missing=
    for name in "$@"; do
        case "$(dpkg-query -W -f '${Status}' "$name" 2>/dev/null)" in
            *" installed") ;;
            *) missing="$missing $name" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    say "apt-get install$missing"
    # Packages may not start their daemons: the tests start their own, on ports of their own.
    policy=/usr/sbin/policy-rc.d
    (
        if [ ! -e $policy ]; then
            printf '#!/bin/sh\nexit 101\n' >$policy
            chmod 755 $policy
            trap 'rm -f $policy' EXIT
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        # shellcheck disable=SC2086
        apt-get -qq install -y --no-install-recommends $missing
    ) </dev/null >&2
}

# Debian's own Python if it is new enough: python3-venv belongs to it, and it starts faster than one that was built here.
python() {
    if /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo /usr/bin/python3
    else
        echo python3
    fi
}

# Make .venv when it is missing, older than pyproject.toml or incomplete.
venv() {
    stamp=.venv/.pybuild-ready
    if [ ! -e $stamp ] || [ pyproject.toml -nt $stamp ]; then
        say "python environment in .venv"
        [ -x .venv/bin/python ] || "$(python)" -m venv .venv
        .venv/bin/python -m pip install -q --upgrade 'pip>=25.1' </dev/null >&2
        .venv/bin/python -m pip install -q --editable . --group dev </dev/null >&2
        # Nobody here needs it, and until Python 3.12 it is part of every start; where it is not there, that is said.
        .venv/bin/python -m pip uninstall -q -y setuptools </dev/null >/dev/null 2>&1
        touch $stamp
    fi
    # pip compiles what it installs, but not an editable tree; without this every start would compile it again.
    .venv/bin/python -m compileall -q builder layers registry runner pybuild
    .venv/bin/python -m layers.compiling
    PATH="$PWD/.venv/bin:$PATH"
    export PATH
}

root() {
    [ "$(id -u)" = 0 ] || { say "run this as root: sudo ./do $1"; exit 1; }
}

task=${1:-help}
[ $# = 0 ] || shift
case $task in
    setup)
        root setup
        # shellcheck disable=SC2086
        packages $BASE $PEERS
        venv
        ;;
    demo)
        root demo
        # shellcheck disable=SC2086
        packages $BASE
        venv
        exec sh examples/demo "$@"
        ;;
    test)
        root test
        # shellcheck disable=SC2086
        packages $BASE $PEERS
        venv
        exec python -m pytest -n 2 --dist loadgroup "$@" </dev/null
        ;;
    vm)
        exec "$0" test -n 0 tests/integration/runner/test_guest.py "$@"
        ;;
    bench)
        root bench
        # shellcheck disable=SC2086
        packages $BASE $PEERS podman
        venv
        exec python -m bench "$@" </dev/null
        ;;
    check)
        venv
        ruff format --check .
        ruff check .
        mypy
        lint-imports
        codespell
        ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
        [ "$task" = help ] || exit 2
        ;;
esac
