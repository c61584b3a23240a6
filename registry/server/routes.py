"""Every endpoint as data: a path, and for each method who answers it and what the server must allow for that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from registry.server import blobs, lists, manifests
from registry.server.faults import Fault
from registry.server.messages import Answer, Request
from registry.server.shelf import Shelf

Endpoint = Callable[[Shelf, Request], Answer]


class Route(NamedTuple):
    """A path and its methods; those of `deletes` remove what others may still want."""

    path: re.Pattern[str]
    reads: Mapping[str, Endpoint] = {}
    writes: Mapping[str, Endpoint] = {}
    deletes: Mapping[str, Endpoint] = {}

    def endpoint(self, shelf: Shelf, method: str) -> Endpoint:
        """Who answers a method. Raises Fault UNSUPPORTED."""
        allowed: dict[str, Endpoint] = dict(self.reads)
        if shelf.writable:
            allowed |= self.writes
            if shelf.deletable:
                allowed |= self.deletes
        if found := allowed.get("GET" if method == "HEAD" else method):
            return found
        methods = sorted({*allowed, "HEAD"} if "GET" in allowed else allowed)
        why = "the registry is read-only" if not shelf.writable else "not here"
        raise Fault("UNSUPPORTED", f"{method}: {why}", headers=(("Allow", ", ".join(methods)),))


def path(text: str) -> re.Pattern[str]:
    """A path whose words in braces vary; a repository's name has slashes, so it takes as much as it can."""
    text = re.sub(r"\{name\}", "(?P<name>.+)", text)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", text) + r"\Z", re.DOTALL)


ROUTES = (
    Route(path("/v2/?"), reads={"GET": lists.base}),
    Route(path("/v2/_catalog"), reads={"GET": lists.catalog}),
    Route(path("/v2/{name}/tags/list"), reads={"GET": lists.tags}),
    Route(path("/v2/{name}/referrers/{digest}"), reads={"GET": lists.referrers}),
    Route(path("/v2/{name}/blobs/uploads/?"), writes={"POST": blobs.start}),
    Route(
        path("/v2/{name}/blobs/uploads/{upload}"),
        writes={"GET": blobs.status, "PATCH": blobs.append, "PUT": blobs.finish, "DELETE": blobs.cancel},
    ),
    Route(path("/v2/{name}/blobs/{digest}"), reads={"GET": blobs.get}, deletes={"DELETE": blobs.delete}),
    Route(
        path("/v2/{name}/manifests/{reference}"),
        reads={"GET": manifests.get},
        writes={"PUT": manifests.put},
        deletes={"DELETE": manifests.delete},
    ),
)


def answer(shelf: Shelf, request: Request) -> Answer:
    """Let the endpoint of a request answer it. Raises Fault.

    Only browsers send `Origin`, and with every request that changes something: a page that somebody looks at shall not
    push to the registry on their machine, whatever name it has made that machine's address to be.
    """
    if request.method not in ("GET", "HEAD") and "origin" in request.headers:
        raise Fault("DENIED", "a page in a browser may not change anything here")
    for route in ROUTES:
        if found := route.path.match(request.path):
            return route.endpoint(shelf, request.method)(shelf, request.routed(found.groupdict()))
    raise Fault("UNSUPPORTED", "a registry has nothing here; it begins at /v2/", status=404)
