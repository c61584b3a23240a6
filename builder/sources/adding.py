"""Which sources of ADD are not files of the context, and what is fetched for them."""

from __future__ import annotations

from builder.graph import Fetch
from builder.sources.gitref import git_source
from builder.sources.web import is_url, web_source
from layers.quick import replace


def remote(text: str, checksum: str, *, keep_git_dir: bool | None) -> tuple[Fetch, str] | None:
    """What to fetch for a source, and the path of it in there; None for a file of the context.

    `checksum` and `keep_git_dir` are flags of the instruction. Raises ValueError, DigestInvalid.
    """
    repository = git_source(text)
    if repository is not None:
        if checksum and repository.commit not in ("", checksum):
            raise ValueError(f"commit conflicts: {repository.commit!r} vs {checksum!r}")
        if checksum:
            repository = git_source(_with_commit(text, checksum)) if not repository.commit else repository
            assert repository is not None
        return Fetch(replace(repository, keep_git_dir=repository.keep_git_dir or bool(keep_git_dir))), "/"
    if is_url(text):
        source = web_source(text, checksum)
        return Fetch(source), f"/{source.name}"
    return None


def _with_commit(text: str, commit: str) -> str:
    """An address that says which commit it has to be."""
    head, hash, fragment = text.partition("#")
    return f"{head}{'&' if '?' in head else '?'}commit={commit}{hash}{fragment}"
