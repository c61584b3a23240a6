"""A registry of one's own: the store, spoken to in the OCI distribution-spec (1.1).

wire, messages      a request is read, an answer is a value
routes              every endpoint as data
lists, manifests, blobs, uploads      the endpoints
adoption            pushed images become images of the store, built ones are packed to travel
holdings            which repository holds what: rows of the store
names, ranges, faults      the grammar, the arithmetic and the errors of the specification
htpasswd, tls, address, connection, server      who may come in, and how they are answered
"""

from __future__ import annotations

from registry.server.address import Address
from registry.server.errors import CannotServe
from registry.server.htpasswd import Htpasswd
from registry.server.server import RegistryServer
from registry.server.tls import identity

__all__ = ["Address", "CannotServe", "Htpasswd", "RegistryServer", "identity"]
