"""RUN: a command with its mounts becomes a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from builder import metadata
from builder.dockerfile import Run, ShellForm, resolve
from builder.errors import DockerfileError
from builder.graph import Run as RunOp
from builder.graph import Script
from builder.mounts import BindMount, Mounted, SshMount, in_namespace, mounted
from builder.planning.arguments import PROXY_NAMES
from builder.request import HOST_NETWORK, INSECURE
from layers.quick import replace

if TYPE_CHECKING:
    from builder.planning.plan import Planner
    from builder.planning.state import State
    from builder.request import BuildRequest
    from runner.cdi import Described


def run(planner: Planner, instruction: Run, state: State) -> None:
    """The state after a RUN. Raises DockerfileError."""
    request = planner.request
    entitled(instruction, request)
    args, script = words(instruction, state)
    env = state.variables
    op = RunOp(
        tuple(args),
        env,
        state.cwd,
        state.user,
        request.network if instruction.network == "default" else instruction.network,
        request.add_hosts,
        script,
        proxies(request.build_args, env),
        request.shm_size,
        mounts(planner, instruction, state),
        tuple(state.arguments),
        instruction.security == "insecure",
        devices(planner, instruction),
    )
    title = instruction.text.strip() or f"RUN {' '.join(args)}"
    step = planner.draft.step(op, state.top, title, instruction.span, state.platform)
    declared = {name: env.get(name, "") for name in state.arguments}
    state.told(metadata.run_text(args, declared), step)


def words(instruction: Run, state: State) -> tuple[list[str], Script | None]:
    """The command line, and the program that it executes if a here-document is one."""
    command = instruction.command
    if not isinstance(command, ShellForm):
        return list(command.args), None
    if not command.shebang:
        return [*state.shell, command.script], None
    script = Script(command.heredocs[0].name, command.heredocs[0].text)
    return [*state.shell, f"/dev/pipes/{script.name}"], script


def proxies(build_args: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """What is added to a command's environment for build arguments that name proxies: each in both cases."""
    given = {name.upper(): value for name, value in build_args.items() if name in PROXY_NAMES}
    both = {spelt: value for name, value in given.items() for spelt in (name, name.lower())}
    return {name: value for name, value in both.items() if name not in env}


def devices(planner: Planner, instruction: Run) -> tuple[Described, ...]:
    """Those that are there of what it names."""
    if not instruction.devices:
        return ()
    from builder.devices import granted

    return granted(instruction.devices, planner.request, planner.warn)


def entitled(instruction: Run, request: BuildRequest) -> None:
    """What reaches out of the walls must have been allowed on the command line, as with BuildKit."""
    for wanted, flag, here in (
        (instruction.security == "insecure", "security=insecure", INSECURE),
        (instruction.network == "host" and request.network != "host", "network=host", HOST_NETWORK),
    ):
        if wanted and here not in request.allow:
            help = f"build with --allow {here} if you trust this Dockerfile, or take --{flag} away"
            raise DockerfileError(instruction.span, f"RUN --{flag}: {here} is not allowed", help=help)


def mounts(planner: Planner, instruction: Run, state: State) -> tuple[Mounted, ...]:
    """What its flags mount, in their order."""
    found: list[Mounted] = []
    for flag in instruction.mounts:
        wanted = resolve(flag, state.lookup)
        origin, context = planner.origin(wanted.from_, flag.span, state) if wanted.from_ else (None, "")
        if context and wanted.type != "bind":
            origin = planner.names.whole(context, planner.platform, flag.span)
        number = sum(isinstance(one, SshMount) for one in found)
        try:
            mount = mounted(wanted, state.cwd, origin, number)
            if isinstance(mount, BindMount):
                mount = replace(mount, context=context)
            found.append(in_namespace(mount, planner.request.build_args))
        except ValueError as error:
            raise DockerfileError(flag.span, str(error)) from error
    return tuple(found)
