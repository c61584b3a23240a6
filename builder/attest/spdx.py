"""What is in an image as an SPDX document (SPDX 2.3, JSON). The same image gives the same bytes."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence
from typing import Any

from builder.attest.packages import Package
from builder.attest.statements import Predicate
from layers import Image

TYPE = "https://spdx.dev/Document"
ROOT = "SPDXRef-DocumentRoot-Image"
NOTHING = "NOASSERTION"


def document(image: Image, name: str, found: Sequence[Package]) -> dict[str, Any]:
    """The document; `name` is what the image is called."""
    import importlib.metadata

    version = importlib.metadata.version("pybuild-oci")
    created = re.sub(r"\.\d+", "", image.created or "1970-01-01T00:00:00Z")
    packages: list[dict[str, Any]] = [
        {
            "name": name,
            "SPDXID": ROOT,
            "versionInfo": str(image.id),
            "downloadLocation": NOTHING,
            "filesAnalyzed": False,
            "licenseConcluded": NOTHING,
            "licenseDeclared": NOTHING,
            "copyrightText": NOTHING,
            "checksums": [{"algorithm": "SHA256", "checksumValue": image.id.hex}],
            "primaryPackagePurpose": "CONTAINER",
        }
    ]
    packages += [described(one) for one in found]
    relations = [("SPDXRef-DOCUMENT", ROOT, "DESCRIBES"), *((ROOT, one["SPDXID"], "CONTAINS") for one in packages[1:])]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{uuid.uuid5(uuid.NAMESPACE_URL, f'{name}@{image.id}')}",
        "creationInfo": {"created": created, "creators": [f"Tool: pybuild-{version}"]},
        "packages": packages,
        "relationships": [
            {"spdxElementId": one, "relatedSpdxElement": other, "relationshipType": kind}
            for one, other, kind in relations
        ],
    }


def described(package: Package) -> dict[str, Any]:
    """A package of the document."""
    mark = hashlib.sha256(f"{package.purl} {package.source}".encode()).hexdigest()[:16]
    told = re.sub(r"[^a-zA-Z0-9.-]", "-", package.name)
    name = f"{package.namespace}/{package.name}" if package.kind == "npm" and package.namespace else package.name
    supplier = " ".join(package.supplier.split())
    value: dict[str, Any] = {
        "name": name,
        "SPDXID": f"SPDXRef-Package-{package.kind}-{told}-{mark}",
        "versionInfo": package.version,
        "supplier": f"Person: {supplier}" if supplier else NOTHING,
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        "sourceInfo": f"found in /{package.source}",
        "licenseConcluded": NOTHING,
        "licenseDeclared": NOTHING,
        "copyrightText": NOTHING,
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": package.purl}
        ],
    }
    if package.license:
        value["licenseComments"] = f"its metadata says: {package.license}"
    return value


def sbom(image: Image, name: str, found: Sequence[Package]) -> Predicate:
    """The document as a predicate."""
    return Predicate(TYPE, document(image, name, found))
