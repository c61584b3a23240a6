"""All rules, as data. The first table is BuildKit's: its names, words and links (its linter's rule set)."""

from __future__ import annotations

from builder.checks import commands, origin, spelling, values
from builder.checks.rule import DOCS, Rule

BUILDKIT: tuple[Rule, ...] = (
    Rule(
        "NoEmptyContinuation",
        "Empty continuation lines will become errors in a future release",
        f"{DOCS}no-empty-continuation/",
        of_file=spelling.no_empty_continuation,
    ),
    Rule(
        "StageNameCasing",
        "Stage names should be lowercase",
        f"{DOCS}stage-name-casing/",
        of_file=spelling.stage_name_casing,
    ),
    Rule(
        "FromAsCasing",
        "The 'as' keyword should match the case of the 'from' keyword",
        f"{DOCS}from-as-casing/",
        of_file=spelling.from_as_casing,
    ),
    Rule(
        "MaintainerDeprecated",
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
        f"{DOCS}maintainer-deprecated/",
        aliases=("DL4000",),
        of_file=spelling.maintainer_deprecated,
    ),
    Rule(
        "InvalidDefinitionDescription",
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is "
        "not intended to be a description comment, add an empty line or comment between the instruction and the "
        "comment.",
        f"{DOCS}invalid-definition-description/",
        experimental=True,
        of_file=spelling.invalid_definition_description,
    ),
    Rule(
        "ReservedStageName",
        "Reserved words should not be used as stage names",
        f"{DOCS}reserved-stage-name/",
        of_file=spelling.reserved_stage_name,
    ),
    Rule(
        "DuplicateStageName",
        "Stage names should be unique",
        f"{DOCS}duplicate-stage-name/",
        aliases=("DL3024",),
        of_file=spelling.duplicate_stage_name,
    ),
    Rule(
        "ConsistentInstructionCasing",
        "All commands within the Dockerfile should use the same casing (either upper or lower)",
        f"{DOCS}consistent-instruction-casing/",
        of_file=spelling.consistent_instruction_casing,
    ),
    Rule(
        "InvalidDefaultArgInFrom",
        "Default value for global ARG results in an empty or invalid base image name",
        f"{DOCS}invalid-default-arg-in-from/",
        of_file=origin.invalid_default_arg_in_from,
    ),
    Rule(
        "UndefinedArgInFrom",
        "FROM command must use declared ARGs",
        f"{DOCS}undefined-arg-in-from/",
        on=("From",),
        of=origin.undefined_arg_in_from,
    ),
    Rule(
        "RedundantTargetPlatform",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        f"{DOCS}redundant-target-platform/",
        on=("From",),
        of=origin.redundant_target_platform,
    ),
    Rule(
        "FromPlatformFlagConstDisallowed",
        "FROM --platform flag should not use a constant value",
        f"{DOCS}from-platform-flag-const-disallowed/",
        aliases=("DL3029",),
        on=("From",),
        of=origin.from_platform_flag_const_disallowed,
    ),
    Rule(
        "InvalidBaseImagePlatform",
        "Base image platform does not match expected target platform",
        on=("From",),
        of=origin.invalid_base_image_platform,
    ),
    Rule(
        "UndefinedVar",
        "Variables should be defined before their use",
        f"{DOCS}undefined-var/",
        on=values.EXPANDED,
        of=values.undefined_var,
    ),
    Rule(
        "LegacyKeyValueFormat",
        "Legacy key/value format with whitespace separator should not be used",
        f"{DOCS}legacy-key-value-format/",
        on=("Env", "Label"),
        of=values.legacy_key_value_format,
    ),
    Rule(
        "SecretsUsedInArgOrEnv",
        "Sensitive data should not be used in the ARG or ENV commands",
        f"{DOCS}secrets-used-in-arg-or-env/",
        on=("Arg", "Env"),
        of=values.secrets_used_in_arg_or_env,
    ),
    Rule(
        "WorkdirRelativePath",
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the "
        "base image changes",
        f"{DOCS}workdir-relative-path/",
        aliases=("DL3000",),
        on=("Workdir",),
        of=commands.workdir_relative_path,
    ),
    Rule(
        "CopyIgnoredFile",
        "Attempting to Copy file that is excluded by .dockerignore",
        f"{DOCS}copy-ignored-file/",
        experimental=True,
        on=("Copy", "Add"),
        of=commands.copy_ignored_file,
    ),
    Rule(
        "MultipleInstructionsDisallowed",
        "Multiple instructions of the same type should not be used in the same stage",
        f"{DOCS}multiple-instructions-disallowed/",
        aliases=("DL3012", "DL4003", "DL4004"),
        on=("Cmd", "Entrypoint", "Healthcheck"),
        of=commands.multiple_instructions_disallowed,
    ),
    Rule(
        "JSONArgsRecommended",
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
        f"{DOCS}json-args-recommended/",
        aliases=("DL3025",),
        on=("Cmd", "Entrypoint"),
        of=commands.json_args_recommended,
    ),
    Rule(
        "ExposeInvalidFormat",
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a "
        "future release",
        f"{DOCS}expose-invalid-format/",
        on=("Expose",),
        of=values.expose_invalid_format,
    ),
    Rule(
        "ExposeProtoCasing",
        "Protocol in EXPOSE instruction should be lowercase",
        f"{DOCS}expose-proto-casing/",
        on=("Expose",),
        of=values.expose_proto_casing,
    ),
)


def every() -> tuple[Rule, ...]:
    """BuildKit's rules, and those beyond them."""
    from builder.checks.more import MORE

    return (*BUILDKIT, *MORE)


def find(name: str) -> Rule | None:
    """The rule of a name or an alias, whatever the case."""
    wanted = name.lower()
    return next((rule for rule in every() if wanted in (one.lower() for one in (rule.name, *rule.aliases))), None)
