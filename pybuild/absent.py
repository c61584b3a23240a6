"""Options of docker's run and create that are not here, each with the reason, and what does the same."""

from collections.abc import Mapping

OPTIONS: Mapping[str, str] = {
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
}
