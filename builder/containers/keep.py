"""A failed RUN leaves its file system as a container, so that `diff`, `commit`, `cp` and `logs` work on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.containers import journal
from builder.containers.book import Containers
from builder.containers.container import now
from builder.containers.settings import Settings
from builder.containers.state import State, Status
from builder.networks.wish import ALONE, Wish
from runner import remap

if TYPE_CHECKING:
    from builder.graph import Run
    from layers import Store, Workspace
    from runner import Device, Exit, Ids


def keep_failed(  # noqa: PLR0917 what a container is made of
    store: Store,
    work: Workspace,
    op: Run,
    title: str,
    exit: Exit,
    userns: Ids | None,
    *,
    output: bytes,
    platform: str = "",
    devices: tuple[Device, ...] = (),
) -> str:
    """Make an exited container of a prepared workspace; its name, such as `failed-3fa2c1`.

    `output` is what the step said last: the container's log.
    """
    identity = os.urandom(32).hex()
    moment = now()
    settings = Settings(
        id=identity,
        name=f"failed-{identity[:6]}",
        created=moment,
        image="",
        image_name="",
        diff_ids=tuple(str(diff_id) for diff_id in work.base.diff_ids),
        path=op.args[0],
        args=op.args[1:],
        env=op.env,
        cwd=op.cwd,
        user=op.user,
        hostname=identity[:12],
        cmd=op.args,
        labels={"pybuild.step": title},
        network=op.network,
        networks=() if op.network in ALONE else (Wish(network=op.network),),
        userns=remap.standing() or userns,
        platform=platform,
        devices=devices,
    )
    container = Containers(store).create(settings)
    work.keep(container.folder)
    log = journal.Writer(container.log)
    log(1, output)
    log.close()
    container.record(
        State(
            status=Status.EXITED,
            started=moment,
            finished=moment,
            exit_code=exit.code,
            oom_killed=exit.oom_killed,
            error=f"the step failed: {title}",
        )
    )
    return settings.name
