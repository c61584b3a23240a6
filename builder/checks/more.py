"""Rules beyond BuildKit's, as data: what costs users time, space or secrets. `aliases` are hadolint's codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from builder.checks import filerules as files
from builder.checks import shellrules as shell
from builder.checks.rule import Found, Rule, Severity
from builder.checks.shell import Command
from builder.checks.subject import Subject, Visit
from builder.dockerfile import User
from layers.quick import replace

WIKI = "https://github.com/hadolint/hadolint/wiki/"
Of = Callable[[Visit], Iterator[Found]]


def rule(name: str, alias: str, severity: Severity, description: str, on: str, of: Of) -> Rule:  # noqa: PLR0917 (a table reads better so)
    """One rule about instructions."""
    aliases = (alias,) if alias else ()
    url = f"{WIKI}{alias}" if alias else ""
    return Rule(name, description, url, severity, aliases, buildkit=False, on=tuple(on.split()), of=of)


def run(name: str, alias: str, severity: Severity, message: str, test: Callable[[Command], bool]) -> Rule:
    """One rule about a command of RUN."""
    return rule(name, alias, severity, message, "Run", shell.any_command(test, message))


def root_at_last(subject: Subject) -> Iterator[Found]:
    """The last USER of the last stage is root."""
    for stage in subject.stages.all[-1:]:
        users = [one for one in stage.instructions if isinstance(one, User)]
        if users and users[-1].user.text.partition(":")[0] in ("root", "0"):
            yield Found("Last USER should not be root", users[-1].span)


def installs(command: Command) -> bool:
    """`apt-get install`"""
    return shell.does(command, "apt-get", "install")


MORE: tuple[Rule, ...] = (
    rule(
        "DoubledLayer",
        "",
        "warning",
        "Files that were copied are stored a second time when their owner, mode or place changes",
        "Run",
        files.doubled_layer,
    ),
    rule(
        "SingleQuotedArray",
        "",
        "error",
        "An array in single quotes is a shell command",
        "Cmd Entrypoint Run",
        files.single_quoted_array,
    ),
    rule(
        "WildcardMatchesNothing",
        "",
        "warning",
        "A wildcard without a match copies nothing",
        "Copy Add",
        files.nothing_matches,
    ),
    rule("SecretFileCopied", "", "error", "A secret in a layer is a secret for nobody", "Copy Add", files.secret_file),
    rule("SecretValue", "", "error", "A value that looks like a key stays in the image", "Arg Env", files.secret_value),
    rule(
        "UntaggedBase",
        "DL3006",
        "warning",
        "A base image without a tag is another one tomorrow",
        "From",
        files.untagged_base,
    ),
    rule("LatestBase", "DL3007", "warning", "latest is another image tomorrow", "From", files.latest_base),
    rule(
        "AddInsteadOfCopy",
        "DL3020",
        "error",
        "ADD unpacks and downloads; COPY copies",
        "Add",
        files.add_instead_of_copy,
    ),
    rule("ManyToOneFile", "DL3021", "error", "Several sources want a directory", "Copy Add", files.many_to_a_file),
    rule("UnknownOrigin", "DL3022", "warning", "--from names no stage before it", "Copy", files.unknown_origin),
    rule(
        "RelativeDestination",
        "DL3045",
        "warning",
        "Below what is a relative destination?",
        "Copy",
        files.relative_destination,
    ),
    rule("SelfReference", "DL3044", "error", "ENV sees values from before its line", "Env", files.self_reference),
    Rule(
        "LastUserRoot",
        "A container should not be root without need",
        f"{WIKI}DL3002",
        aliases=("DL3002",),
        buildkit=False,
        of_file=root_at_last,
    ),
    run(
        "CdInsteadOfWorkdir", "DL3003", "warning", "Use WORKDIR to switch to a directory", lambda one: one.name == "cd"
    ),
    run(
        "Sudo",
        "DL3004",
        "error",
        "Do not use sudo as it leads to unpredictable behavior",
        lambda one: one.name == "sudo",
    ),
    run(
        "NeedlessCommand",
        "DL3001",
        "info",
        "For some POSIX commands it makes no sense running them in a Docker container",
        lambda one: one.name in shell.NEEDLESS,
    ),
    rule("AptWithoutUpdate", "", "warning", "update and install belong together", "Run", shell.apt_without_update),
    rule("AptListsKept", "DL3009", "info", "The lists of apt are of no use in an image", "Run", shell.apt_lists_kept),
    run(
        "AptAsks",
        "DL3014",
        "warning",
        "Use the `-y` switch to avoid manual input `apt-get -y install <package>`",
        lambda one: installs(one) and not one.has("-y", "--yes", "--assume-yes", "-qq") and not _quiet_twice(one),
    ),
    run(
        "AptRecommends",
        "DL3015",
        "info",
        "Avoid additional packages by specifying `--no-install-recommends`",
        lambda one: installs(one) and not one.has("--no-install-recommends"),
    ),
    run(
        "AptUnpinned",
        "DL3008",
        "info",
        "Pin versions in apt get install",
        shell.pinned("apt-get", "install"),
    ),
    run("ApkUnpinned", "DL3018", "info", "Pin versions in apk add", shell.pinned("apk", "add")),
    run("PipUnpinned", "DL3013", "info", "Pin versions in pip", shell.pinned("pip", "install")),
    rule("ApkCacheKept", "DL3019", "info", "What apk downloaded is of no use in an image", "Run", shell.apk_cache_kept),
    replace(rule("LogsKept", "", "info", "Logs have the time of the build", "Run", shell.logs_kept), experimental=True),
    run(
        "AptForPeople",
        "DL3027",
        "warning",
        "Do not use apt as it is meant to be an end-user tool, use apt-get or apt-cache instead",
        lambda one: one.name == "apt",
    ),
    rule(
        "PipCacheKept", "DL3042", "warning", "What pip downloaded is of no use in an image", "Run", shell.pip_cache_kept
    ),
    run(
        "YumAsks",
        "DL3030",
        "warning",
        "Use the -y switch to avoid manual input `yum install -y <package>`",
        shell.asks("yum"),
    ),
    rule(
        "YumCacheKept", "DL3032", "warning", "What yum downloaded is of no use in an image", "Run", shell.keeps("yum")
    ),
    run(
        "DnfAsks",
        "DL3038",
        "warning",
        "Use the -y switch to avoid manual input `dnf install -y <package>`",
        shell.asks("dnf", "microdnf"),
    ),
    rule(
        "DnfCacheKept",
        "DL3040",
        "warning",
        "What dnf downloaded is of no use in an image",
        "Run",
        shell.keeps("dnf", "microdnf"),
    ),
    run(
        "ZypperAsks",
        "DL3034",
        "warning",
        "Non-interactive switch missing from `zypper` command: `zypper install -y`",
        shell.asks("zypper"),
    ),
    rule(
        "ZypperCacheKept",
        "DL3036",
        "warning",
        "What zypper downloaded is of no use in an image",
        "Run",
        shell.keeps("zypper"),
    ),
    run(
        "LongUid",
        "DL3046",
        "warning",
        "`useradd` without flag `-l` and high UID will result in excessively large Image.",
        shell.long_uid,
    ),
    run(
        "WgetProgress",
        "DL3047",
        "info",
        "Avoid use of wget without progress bar. Use `wget --progress=dot:giga <url>`",
        lambda one: one.name == "wget" and not one.has(*shell.QUIET),
    ),
    rule("ConsecutiveRuns", "DL3059", "info", "Every RUN is a layer", "Run", shell.consecutive_runs),
    rule("WgetAndCurl", "DL4001", "warning", "Two programs for one thing", "Run", shell.wget_and_curl),
    run(
        "ShellByLink",
        "DL4005",
        "warning",
        "Use SHELL to change the default shell",
        lambda one: one.name == "ln" and "/bin/sh" in one.arguments,
    ),
    rule(
        "MissingPipefail",
        "DL4006",
        "warning",
        "A pipe ends well if its last command does",
        "Run",
        shell.missing_pipefail,
    ),
)


def _quiet_twice(command: Command) -> bool:
    """`-q -q` and `-q=2` mean yes, too."""
    return command.words.count("-q") > 1 or command.words.count("--quiet") > 1 or "-q=2" in command.words
