"""The `build:` sections of a compose file as targets (Compose specification, "Compose Build"; `x-bake`)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pybuild.bake.errors import BakeError, Place
from pybuild.bake.target import Target, formed

INTERPOLATED = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?+])(?P<other>(?:[^{}]|\{[^{}]*\})*))?\})"
)
SAME = {"context": "context", "dockerfile": "dockerfile", "dockerfile_inline": "dockerfile-inline", "target": "target",
        "network": "network", "no_cache": "no-cache", "pull": "pull", "entitlements": "entitlements", "tags": "tags",
        "platforms": "platforms", "cache_from": "cache-from", "cache_to": "cache-to", "no_cache_filter":
        "no-cache-filter"}  # fmt: skip
OTHERS = ("args", "labels", "additional_contexts", "secrets", "ssh", "shm_size", "ulimits", "extra_hosts", "privileged")
REFUSED = ("isolation",)


def parse_compose(content: str, file: str) -> tuple[dict[str, Target], dict[str, dict[str, Any]]]:
    """Targets and the group `default` of all services that are built. Raises BakeError."""
    document = loaded(content, file)
    services = document.get("services") or {}
    if not isinstance(services, dict):
        raise BakeError("services is a mapping", Place(file))
    secrets = document.get("secrets") or {}
    environment = {**dotenv(Path(".env")), **os.environ}
    found: dict[str, Target] = {}
    for name, service in services.items():
        if not isinstance(service, dict) or service.get("build") is None:
            continue
        try:
            service = interpolated(service, environment)
            found[name.replace(".", "_")] = target(service, interpolated(secrets, environment), environment)
        except ValueError as error:
            raise BakeError(f"service {name}: {error}", Place(file)) from error
    return found, {"default": {"targets": sorted(found)}} if found else {}


def loaded(content: str, file: str) -> dict[str, Any]:
    """The YAML. Raises BakeError."""
    import yaml

    try:
        document = yaml.safe_load(content)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        raise BakeError(f"this is not YAML: {error.problem}", where) from error
    except yaml.YAMLError as error:
        raise BakeError(f"this is not YAML: {error}", Place(file)) from error
    if not isinstance(document, dict):
        raise BakeError("a compose file is a mapping", Place(file))
    return document


def dotenv(path: Path) -> dict[str, str]:
    """The variables of a `.env` file, if there is one."""
    found = {}
    if path.is_file():
        for line in path.read_text().splitlines():
            name, equals, value = line.strip().removeprefix("export ").partition("=")
            if equals and not name.startswith("#"):
                value = value.strip()
                if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
                    value = value[1:-1]
                found[name.strip()] = value
    return found


def interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    """`$NAME`, `${NAME:-default}`, `${NAME:?message}`, `${NAME:+other}` and `$$` in all texts. Raises ValueError."""
    if isinstance(value, dict):
        return {key: interpolated(one, environment) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one, environment) for one in value]
    if not isinstance(value, str):
        return value

    def one(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        name, how, other = found["plain"] or found["name"], found["how"] or "", found["other"] or ""
        here = environment.get(name)
        missing = here is None or (how.startswith(":") and not here)
        if how.endswith("-") and missing:
            return str(interpolated(other, environment))
        if how.endswith("?") and missing:
            raise ValueError(f"required variable {name} is missing a value: {other}")
        if how.endswith("+"):
            return "" if missing else str(interpolated(other, environment))
        return here or ""

    return INTERPOLATED.sub(one, value)


def mapping(value: Any, environment: Mapping[str, str]) -> dict[str, str]:
    """A mapping, or a list of `KEY=VALUE`; a KEY alone takes its value from the environment. Raises ValueError."""
    if isinstance(value, dict):
        pairs = [(str(key), one) for key, one in value.items()]
    else:
        pairs = [(key, rest if equals else None) for key, equals, rest in (str(one).partition("=") for one in value)]
    given = [(key, environment.get(key) if one is None else one) for key, one in pairs]
    return {key: scalar(one) for key, one in given if one is not None}


def scalar(value: Any) -> str:
    """A value of YAML as the text that was probably meant."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def target(service: Mapping[str, Any], secrets: Mapping[str, Any], environment: Mapping[str, str]) -> Target:
    """A service's target. Raises ValueError."""
    build = service["build"]
    build = {"context": build} if isinstance(build, str) else build
    if not isinstance(build, dict):
        raise ValueError("build is a directory or a mapping")
    if unknown := [key for key in build if key not in SAME and key not in OTHERS and not key.startswith("x-")]:
        reason = "cannot be had here" if unknown[0] in REFUSED else "is no key of compose"
        raise ValueError(f"build.{unknown[0]} {reason}")
    found: Target = {field: formed(field, build[key]) for key, field in SAME.items() if build.get(key) is not None}
    found["context"] = clean(found.get("context") or ".")
    if not found.get("tags") and service.get("image"):
        found["tags"] = [str(service["image"])]
    for key in ("args", "labels"):
        if build.get(key):
            found[key] = mapping(build[key], environment)
    if build.get("additional_contexts"):
        named = mapping(build["additional_contexts"], environment)
        found["contexts"] = {
            name: f"target:{place.removeprefix('service:')}" if place.startswith("service:") else place
            for name, place in named.items()
        }
    if build.get("secrets"):
        found["secret"] = [_secret(one, secrets) for one in build["secrets"]]
    if build.get("ssh"):
        pairs = (
            build["ssh"].items()
            if isinstance(build["ssh"], dict)
            else [str(s).partition("=")[::2] for s in build["ssh"]]
        )
        found["ssh"] = [{"id": id, **({"paths": [path]} if path else {})} for id, path in pairs]
    if build.get("shm_size") is not None:
        found["shm-size"] = _bytes(build["shm_size"])
    if build.get("ulimits"):
        found["ulimits"] = [_ulimit(name, one) for name, one in build["ulimits"].items()]
    if build.get("extra_hosts"):
        found["extra-hosts"] = _hosts(build["extra_hosts"])
    if build.get("privileged"):
        found["entitlements"] = [*found.get("entitlements", []), "security.insecure"]
    for extra in (service.get("x-bake"), build.get("x-bake")):
        for field, value in extension(extra or {}).items():
            known = found.get(field, [])
            found[field] = [*known, *value] if isinstance(value, list) else value
    return found


def clean(path: str) -> str:
    """A path in its simplest form; anything else as it is."""
    return path if "://" in path or path.startswith("git@") else os.path.normpath(path)


def extension(words: Mapping[str, Any]) -> Target:
    """`x-bake`: fields of a target, whose lists may be single values. Raises ValueError."""
    known = {"secret", "ssh", "output", "cache-from", "cache-to", "tags", "platforms", "no-cache-filter", "attest"}
    found: Target = {}
    for key, value in words.items():
        if key not in (*known, "pull", "no-cache", "contexts", "call", "entitlements", "annotations"):
            raise ValueError(f"x-bake has no {key!r}")
        found[key] = formed(key, [value] if key in known and not isinstance(value, list) else value)
    return found


def _secret(one: Any, secrets: Mapping[str, Any]) -> dict[str, str]:
    source = one if isinstance(one, str) else one.get("source")
    about = secrets.get(source)
    if not isinstance(about, dict):
        raise ValueError(f"secret {source} is not among the file's secrets")
    if about.get("external"):
        raise ValueError(f"secret {source}: external secrets are unsupported")
    place = (
        {"env": str(about["environment"])} if about.get("environment") else {"src": clean(str(about.get("file", "")))}
    )
    return {"id": str(source), **place}


def _ulimit(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"{name}={value['soft']}:{value['hard']}"
    return f"{name}={value}"


def _hosts(value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        return {name: str(one) for name, one in value.items()}
    pairs: Sequence[re.Match[str] | None] = [re.fullmatch(r"([^:=]+)[:=](.+)", str(one)) for one in value]
    return {one[1]: one[2] for one in pairs if one is not None}


def _bytes(value: Any) -> str:
    """A size as Go's units write it."""
    from pybuild.units import parse_size

    count = float(value if isinstance(value, int) else parse_size(str(value)))
    units = iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while count >= 1024 and unit != "TiB":
        count, unit = count / 1024, next(units)
    return f"{count:.4g}{unit}"
