"""Options and commands of other tools that are not here, each with the reason, and what does the same."""

from collections.abc import Mapping

CREATING: Mapping[str, str] = {
    "--annotation": "no runtime is called that would be told; --label is kept with the container",
    "--cgroup-parent": "its control groups are made below those of this command; start it in the ones you want",
    "--cpu-rt-period": "Linux gives real-time shares to groups of version 1 only, and distributions leave that out",
    "--cpu-rt-runtime": "Linux gives real-time shares to groups of version 1 only, and distributions leave that out",
    "--cpu-count": "it is for Windows; --cpus does it",
    "--cpu-percent": "it is for Windows; --cpus does it",
    "--disable-content-trust": "Docker Content Trust is over; leave it out",
    "--gpus": "the devices of a vendor are described in CDI files: --device nvidia.com/gpu=all",
    "--io-maxbandwidth": "it is for Windows; --device-read-bps and --device-write-bps do it",
    "--io-maxiops": "it is for Windows; --device-read-iops and --device-write-iops do it",
    "--isolation": "it is for Windows; leave it out",
    "--kernel-memory": "Linux has no such limit any more; --memory counts the kernel's, too",
    "--link": "docker keeps it for old times; containers of a network that was made know each other by name: "
    "pybuild network create NET, then run --network NET --name NAME",
    "--link-local-ip": "addresses of 169.254.0.0/16 are shut off from containers; --ip gives one of the network",
    "--runtime": "containers are run by pybuild itself; it is a runtime for others: pybuild oci",
    "--storage-opt": "what it writes lies on the disk of the store, which has no quotas; --tmpfs PATH:size=64m has one",
    "--use-api-socket": "there is no daemon and no socket of one",
    **dict.fromkeys(("--arch", "--os", "--variant"), "--platform linux/arm64/v8 says all three"),
    **dict.fromkeys(
        ("--authfile", "--creds", "--tls-verify"), "'pybuild pull' has it; run takes the image from the store"
    ),
    "--cgroups": "a container always has control groups of its own: its limits are theirs",
    "--conmon-pidfile": "'pybuild inspect -f {{.State.Pid}}' tells its first process, whose parent's parent stays",
    "--env-host": "-e NAME takes one variable of ours; env >FILE and --env-file FILE take all of them",
    "--hooks-dir": "no hooks of runtimes are run",
    "--http-proxy": "variables of a proxy are not handed on unless -e HTTP_PROXY asks for it",
    "--image-volume": "VOLUMEs of the image get volumes without a name; --tmpfs PATH takes the place of one",
    "--init-path": "--init has a first process of its own",
    "--no-hostname": "-v FILE:/etc/hostname takes the place of ours",
    "--no-hosts": "-v FILE:/etc/hosts takes the place of ours",
    "--passwd": "/etc/passwd is the image's; nothing is written into it",
    "--personality": "programs choose it: setarch i386 COMMAND",
    "--pidfile": "'pybuild inspect -f {{.State.Pid}}' tells it",
    "--pod": "pods are not made; --network container:NAME and --pid container:NAME share what pods do",
    "--preserve-fds": "a command gets the three standard streams only",
    "--read-only-tmpfs": "--read-only leaves /dev/shm to be written; --tmpfs /run --tmpfs /tmp add those",
    "--requires": "no container waits for another; start the other one first",
    "--rmi": "'pybuild rmi IMAGE' removes it afterwards",
    "--rootfs": "'pybuild import' makes an image of a directory's tar; 'pybuild oci' runs bundles",
    "--sdnotify": "nobody tells systemd; let the unit be of Type=exec and 'pybuild run' its command in the foreground",
    "--secret": "nothing keeps secrets; -v FILE:/run/secrets/NAME:ro shows one",
    "--systemd": "control groups cannot be written from inside, as systemd would; run the service's own program",
    "--timeout": "put timeout(1) before it: timeout 60 pybuild run IMAGE",
    "--tz": "-e TZ=Europe/Berlin, or -v /etc/localtime:/etc/localtime:ro",
    "--umask": "sh -c 'umask 077; exec COMMAND' sets it",
    "--unsetenv": "-e NAME= empties a variable; env -u NAME COMMAND takes it away",
    "--unsetenv-all": "env -i COMMAND begins without any",
}
"""Of docker's run and create, and of podman's."""
SIGNING = "images are not signed here; 'cosign' does that, and 'pybuild artifact attach' keeps what it makes"
SECRET = "layers are neither encrypted nor decrypted here"
MOVING: Mapping[str, str] = {
    "--decryption-key": SECRET,
    "--dest-daemon-host": "no daemon is spoken to; copy to docker-archive:FILE, then 'docker load'",
    "--dest-shared-blob-dir": "a layout has its own blobs here; --dest-shared-blob-dir is for several that share them",
    "--encrypt-layer": SECRET,
    "--encryption-key": SECRET,
    "--sign-by": SIGNING,
    "--sign-by-sigstore-private-key": SIGNING,
    "--sign-identity": SIGNING,
    "--sign-passphrase-file": SIGNING,
    "--src-daemon-host": "no daemon is spoken to; use 'docker save', then docker-archive:FILE",
    "--src-shared-blob-dir": "a layout is read with its own blobs only; link the shared ones into its blobs/sha256",
}
"""Of skopeo's copy and sync, and of buildah's push and pull."""
RUNS = "RUN has docker's rights in a user namespace of its own; RUN --security=insecure with --allow has more"
HOSTS = "RUN has the host's resolv.conf; --add-host names single hosts"
CONFIG = "say it in the Dockerfile, or change the image that comes of it: pybuild mutate"
USERS = "--userns says which numbers users have"
BUILDING: Mapping[str, str] = {
    "--all-platforms": "write --platform with those that are wanted",
    "--builder": "there is no builder to choose: builds run here",
    "--cap-add": RUNS,
    "--cap-drop": RUNS,
    "--cgroup-parent": CREATING["--cgroup-parent"],
    "--compress": "nothing is sent to a daemon; --compression says how layers leave the store",
    "--cpp-flag": "Dockerfiles are not preprocessed; run cpp yourself and build its output with -f -",
    "--decryption-key": SECRET,
    "--disable-content-trust": CREATING["--disable-content-trust"],
    "--dns": HOSTS,
    "--dns-option": HOSTS,
    "--dns-search": HOSTS,
    "--env": CONFIG,
    "--from": "write FROM $BASE below an ARG BASE, and --build-arg BASE=IMAGE; or --build-context NAME=docker-image://IMAGE",
    "--hooks-dir": "no hooks of runtimes are run",
    "--ipc": RUNS,
    "--isolation": "RUN is always in a sandbox; leave it out",
    "--logfile": "redirect standard error: 2> FILE",
    "--manifest": "several of --platform make a list of that name; 'pybuild manifest add' puts images into another one",
    "--pid": RUNS,
    "--runtime": CREATING["--runtime"],
    "--security-opt": RUNS,
    "--sign-by": SIGNING,
    "--stdin": "RUN reads nothing from standard input; RUN --mount=type=secret and here-documents bring what it needs",
    "--unsetenv": CONFIG,
    "--userns-gid-map": USERS,
    "--userns-uid-map": USERS,
    "--uts": RUNS,
    "--volume": "RUN --mount=type=bind shows directories of the context or of a --build-context",
    "-v": "RUN --mount=type=bind shows directories of the context or of a --build-context",
}
"""Of docker's and buildah's build."""
NETWORK: Mapping[str, str] = {
    "--aux-address": "no address is set aside; --ip-range says which part of the subnet containers get",
    "--config-from": "a network has its whole configuration itself; say --subnet, --opt and the rest of it here",
    "--config-only": "a network has its whole configuration itself; say --subnet, --opt and the rest of it to each",
    "--ingress": "there is no cluster whose ports it would spread; run --publish opens those of this machine",
    "--ipam-opt": "nothing here draws addresses by options; --subnet and --ip-range say which containers get",
}
"""Of docker's network create."""
CONNECT: Mapping[str, str] = {
    "--driver-opt": "an interface has no settings of its own; exec with --privileged can change those in /proc/sys/net",
    "--link": CREATING["--link"],
    "--link-local-ip": CREATING["--link-local-ip"],
}
"""Of docker's network connect."""
OPTIONS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("run", "create"), CREATING),
    "build": BUILDING,
    "network connect": CONNECT,
    "network create": NETWORK,
    **dict.fromkeys(("copy", "sync", "push", "pull", "inspect", "delete"), MOVING),
}
"""By the name of the command, or of its group and its own."""

UNITS = "units are written by hand: Restart=always and ExecStart=pybuild run --rm --replace --name NAME IMAGE"
SEEN = "'pybuild export IMAGE' and 'pybuild cp' take files out; 'pybuild explore' and diff look without mounting"
KUBE = "nothing is made of, or for, Kubernetes; push the image, and say the rest in its own files"
CLUSTER = "there is no cluster: containers run on this machine"
HERE = "there are no builders to make, choose or start: builds run here, and bake and build need none"
COMMANDS: Mapping[str, str] = {
    "buildx create": HERE,
    "buildx use": HERE,
    "buildx ls": HERE,
    "buildx inspect": HERE,
    "buildx rm": HERE,
    "buildx stop": HERE,
    "buildx history": "'pybuild debug', 'pybuild cache explain' and 'pybuild history --usage' tell of past builds",
    "buildx debug": "'pybuild build --debug-on-fail' and 'pybuild debug' open a shell in a build",
    "buildx dial-stdio": HERE,
    "checkpoint": "the state of processes is not kept; pause and unpause stop and go on",
    "compose": "'pybuild bake' builds what a compose file speaks of; its services are not run",
    "config": CLUSTER,
    "container checkpoint": "the state of processes is not kept; pause and unpause stop and go on",
    "auto-update": "'pybuild pull' says whether there is something new; run --replace takes it",
    "container clone": "'pybuild commit' and run make another one of it",
    "container restore": "the state of processes is not kept; pause and unpause stop and go on",
    "farm": HERE,
    "generate": UNITS,
    "healthcheck": "checks run by themselves: 'pybuild inspect -f {{json .State.Health}}' tells what came of them",
    "init": "'pybuild start' makes it ready and begins it",
    "kube": KUBE,
    "play": KUBE,
    "quadlet": UNITS,
    "untag": "'pybuild rmi NAME' takes a name away, and the image if it was the last one",
    "from": "'pybuild create' makes a container; cp, exec and 'commit -c' do what buildah's add, run and config do",
    "machine": "containers run on this kernel; there is no virtual machine",
    "mount": SEEN,
    "umount": SEEN,
    "unmount": SEEN,
    "image mount": SEEN,
    "image tree": "'pybuild history' and 'pybuild explore' show its layers",
    "image diff": "'pybuild diff A B' compares any two",
    "image scp": "'pybuild save IMAGE | ssh HOST pybuild load' does it",
    "image sign": SIGNING,
    "image trust": SIGNING,
    "node": CLUSTER,
    "plugin": "there are no plugins",
    "pod": "'pybuild run --network container:NAME' shares a network; pods are not made",
    "search": "it asks the web site of Docker Hub; 'pybuild tags docker://NAME' asks the registry itself",
    "secret": CLUSTER,
    "service": CLUSTER,
    "stack": CLUSTER,
    "standalone-sign": SIGNING,
    "standalone-verify": SIGNING,
    "swarm": CLUSTER,
    "trust": SIGNING,
    "unshare": "every command is root in a user namespace of its own where it has to be",
}
"""Of docker, podman, buildah and skopeo, by the words that call them."""
