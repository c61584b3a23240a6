"""`python -m tests.acceptance.differ.ours STORE WORK`: builds the cases named on its input, an answer a line.

All in one process, as a program that uses pybuild as a library does. Times are those of the clock and the context, as
BuildKit has them; what they are otherwise is `tests/integration/builder/test_reproducible.py`.
"""

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from builder.secrets import Secret
from builder.sources.named import Directory, key_of
from layers import LayerError
from pybuild import BuildError, BuildRequest, Output, build
from registry.errors import RegistryError
from runner import Ids, RunnerError
from tests.acceptance.cases import base_tree
from tests.acceptance.differ.cases import Case, every, prepare
from tests.acceptance.differ.told import told
from tests.support.images import Tree, read_image


def answer(case: Case, store: Path, work: Path, base: Tree) -> dict[str, Any]:
    """What becomes of a case: what `told` says, or the error."""
    file, context = case.write(work)
    out = work / "image.tar"
    try:
        request = BuildRequest(
            context=context,
            dockerfile=file,
            build_args=case.args,
            target=case.target,
            network="none",
            keep_failed=False,
            no_cache=case.feature != "real",  # a cached layer has the times of another case's files
            userns=None if case.head("users") else Ids.usual(),
            outputs=(Output("oci", out, codec="none"),),
            rewrite=False,
            allow=frozenset(case.head("allow")),
            cdi=(work / "cdi",),
            secrets={id: Secret(path) for id, path in case.secrets(work).items()},
            contexts={key_of(name): Directory(context / path) for name, path in case.named.items()},
        )
    except ValueError as error:
        return {"error": str(error)}
    try:
        build(request, root=store)
        if case.feature == "real":
            again = [step.title for step in build(request, root=store).steps if step.status == "ran"]
            if again:
                return {"ran again": again}
    except (BuildError, LayerError, RegistryError, RunnerError) as error:
        return {"error": str(error).replace(f"{work}/", "")}
    return told(read_image(out), base, created=case.feature == "epoch")


def main(store: Path, work: Path) -> None:
    """Answer until there are no more questions."""
    prepare(work)
    known, base = every(), base_tree()
    for line in sys.stdin:
        try:
            found = answer(known[line.strip()], store, work, base)
        except Exception:
            found = {"broken": traceback.format_exc()}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
