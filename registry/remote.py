"""A repository of a registry over HTTP, as a `layers.Repository` (OCI distribution-spec)."""

from __future__ import annotations

import io
from typing import BinaryIO
from urllib.parse import quote, urljoin

from layers import BlobMismatch, Descriptor, Digest, DigestInvalid, DocumentInvalid, Manifest, Reference, Repository
from layers.oci.mediatypes import INDEXES, MANIFESTS
from registry.download import Download
from registry.errors import NotFound, ProtocolViolation, RegistryError
from registry.session import Client
from registry.session import client as new_client
from registry.transport import Request, Response, length_of
from registry.upload import CHUNK, WHOLE, Upload

DOCUMENTS = MANIFESTS | INDEXES
ACCEPT = ", ".join(sorted(DOCUMENTS))
VAGUE = frozenset({"", "application/json", "application/octet-stream", "text/plain"})
"""Types under which careless registries send manifests; the document's own `mediaType` decides then."""
SECOND_LOOK = frozenset({"MANIFEST_BLOB_UNKNOWN", "DIGEST_INVALID"})
"""What a registry may say of a good manifest, once: its parts do not see a blob yet, or (docker-registry 2.8) another
push was writing the link to a blob while it was read."""
MOST = 4 << 20
"""Bytes of a manifest that are read."""


class RemoteRepository:
    """One repository; threads may share it. `whole` and `chunk`: see `registry.upload`."""

    def __init__(
        self, reference: Reference, client: Client | None = None, *, whole: int = WHOLE, chunk: int = CHUNK
    ) -> None:
        self.reference = reference
        self.client = client or new_client()
        self.host = reference.host
        self.path = reference.path
        self._whole = whole
        self._chunk = chunk
        self._last: tuple[Digest, bytes] | None = None
        self._noted: set[Digest] = set()

    @property
    def name(self) -> str:
        """host/path."""
        return self.reference.repository

    @property
    def origin(self) -> RemoteRepository:
        """The registry itself, where what is read is what was written."""
        return self

    # -- layers.Repository -----------------------------------------------------------------------

    def resolve(self, name: str) -> Descriptor:
        """What a tag, or a digest as text, points to. Raises NotFound and other RegistryErrors."""
        tag = name.rpartition("@")[2] if "@" in name else name
        what = f"cannot resolve {self.name}{'@' if ':' in tag else ':'}{tag}"
        try:
            answer = self._get("HEAD", f"manifests/{tag}", what=what)
        except NotFound as error:
            error.add_note(f"'pybuild tags docker://{self.name}' lists the tags that are there")
            raise
        answer.close()
        told = answer.headers.get("docker-content-digest", "")
        length = length_of(answer)
        kind = kind_of(answer)
        try:
            digest = Digest.parse(told) if told else None
        except DigestInvalid as error:
            raise ProtocolViolation(self.host, f"says that {tag} has digest {told[:100]!r}") from error
        if ":" in tag and digest is not None and str(digest) != tag:
            raise ProtocolViolation(self.host, f"was asked for {tag} and names {digest}")
        if digest is not None and length is not None and kind in DOCUMENTS:
            return Descriptor(kind, digest, length)
        return self._read(tag)

    def has(self, wanted: Descriptor) -> bool:
        """True if the content is there."""
        try:
            self._get("HEAD", self._place(wanted), what=f"cannot look for {wanted.digest}").close()
        except NotFound:
            return False
        return True

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes as they come; a download that is cut goes on where it was. Raises NotFound."""
        return self.open_from(wanted, 0)

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        """Send content. Raises BlobMismatch if the source has other bytes than promised."""
        if wanted.media_type in DOCUMENTS:
            data = source.read(wanted.size + 1)
            self._put_document(str(wanted.digest), wanted, data)
            self._last = (wanted.digest, data)
        else:
            Upload(self, wanted, source, whole=self._whole, chunk=self._chunk).run()

    def tag(self, name: str, target: Descriptor) -> None:
        """Let a tag point to a manifest or index that is there."""
        tag = name.rpartition(":")[2] if "/" in name else name
        if self._last is not None and self._last[0] == target.digest:
            data = self._last[1]
        else:
            with self.origin.open(target) as source:
                data = source.read(MOST)
        self._put_document(tag, target, data)

    # -- layers.Resumes --------------------------------------------------------------------------

    def open_from(self, wanted: Descriptor, offset: int) -> BinaryIO:
        """The same from a byte on, which may be the end. Raises NotFound."""
        return io.BufferedReader(Download(self, wanted, offset), 1 << 20)

    # -- layers.Mounts ---------------------------------------------------------------------------

    def mount(self, wanted: Descriptor, source: Repository) -> bool:
        """Take a blob over from another repository of the same registry."""
        if not isinstance(source, RemoteRepository) or source.host != self.host or source.path == self.path:
            return False
        return self.mount_from(wanted, source.path)

    def mount_from(self, wanted: Descriptor, path: str) -> bool:
        """The same, from a repository given by its path. False, too, if the registry will not: it is a favour."""
        query = f"blobs/uploads/?mount={quote(str(wanted.digest))}&from={quote(path)}"
        scopes = (f"repository:{self.path}:pull,push", f"repository:{path}:pull")
        what = f"cannot mount {wanted.digest}"
        try:
            answer = self.send("POST", query, accept=(201, 202), scopes=scopes, what=what, retry=False)
        except RegistryError:
            return False
        answer.close()
        if answer.status == 202:  # an upload was begun instead; it is not wanted
            self.cancel(urljoin(answer.url, answer.headers.get("location", "")))
        return answer.status == 201

    # -- for the files beside this one -----------------------------------------------------------

    def send(
        self,
        method: str,
        rest: str,
        *,
        accept: tuple[int, ...],
        what: str,
        headers: dict[str, str] | None = None,
        body: bytes | BinaryIO | None = None,
        size: int = 0,
        scopes: tuple[str, ...] = (),
        retry: bool = True,
        lost: bool = True,
    ) -> Response:
        """One exchange with this repository, by default as one who may push; `rest` is a path in it or a URL."""
        url = rest if "://" in rest else f"{self.client.base(self.host)}/v2/{self.path}/{rest}"
        return self.client.send(
            Request(method, url, headers or {}, body, size),
            host=self.host,
            path=self.path,
            scopes=scopes or (f"repository:{self.path}:pull,push",),
            accept=accept,
            what=what,
            retry=retry,
            lost=lost,
        )

    def fetch(self, wanted: Descriptor, offset: int, *, what: str) -> Response:
        """The answer to a GET of some content, from a byte on if the registry will: 200, 206 or 416."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        accept = (200, 206, 416) if offset else (200,)
        return self._get("GET", self._place(wanted), what=what, headers=headers, accept=accept)

    def tag_bytes(self, name: str, wanted: Descriptor, data: bytes) -> None:
        """Put a document under a tag at once. Raises BlobMismatch."""
        self._put_document(name, wanted, data)

    def cancel(self, place: str) -> None:
        """Tell the registry that an upload will not go on; whether it listens does not matter."""
        try:
            self.client.check_place(self.host, f"{self.client.base(self.host)}/", place)
            self.send("DELETE", place, accept=(200, 202, 204), what="cannot cancel", retry=False).close()
        except RegistryError:
            return

    # -- inside ----------------------------------------------------------------------------------

    def _place(self, wanted: Descriptor) -> str:
        return f"{'manifests' if wanted.media_type in DOCUMENTS else 'blobs'}/{wanted.digest}"

    def _get(
        self,
        method: str,
        rest: str,
        *,
        what: str,
        headers: dict[str, str] | None = None,
        accept: tuple[int, ...] = (200,),
    ) -> Response:
        kinds = {"Accept": ACCEPT} if rest.startswith("manifests/") else {"Accept-Encoding": "identity"}
        scopes = (f"repository:{self.path}:pull",)
        return self.send(method, rest, what=what, headers={**kinds, **(headers or {})}, accept=accept, scopes=scopes)

    def _read(self, tag: str) -> Descriptor:
        """The descriptor of a manifest whose headers do not tell it. Raises ProtocolViolation for no manifest."""
        answer = self._get("GET", f"manifests/{tag}", what=f"cannot resolve {self.name}:{tag}")
        with answer:
            data = answer.body(MOST)
        kind = kind_of(answer)
        if kind in VAGUE:
            kind = own_kind(data) or kind
        if kind not in DOCUMENTS:
            old = "manifest.v1+" in kind
            raise ProtocolViolation(
                self.host,
                f"answers {self.name}:{tag} with {'a manifest of schema 1' if old else repr(kind[:100])}, "
                f"which is {'too old to be verified' if old else 'no manifest or index'}",
                help="push the image again with a tool of this decade" if old else None,
            )
        found = Descriptor.of(data, kind, tag.partition(":")[0] if ":" in tag else "sha256")
        if ":" in tag and str(found.digest) != tag:
            raise ProtocolViolation(self.host, f"was asked for {tag} and sent {found.digest}")
        return found

    def _put_document(self, name: str, wanted: Descriptor, data: bytes) -> None:
        met = Descriptor.of(data, wanted.media_type, wanted.digest.algorithm)
        if met.digest != wanted.digest:
            raise BlobMismatch(wanted, received=len(data), digest=str(met.digest))
        try:
            answer = self._put_bytes(name, wanted, data)
        except (NotFound, ProtocolViolation) as error:
            if error.code not in SECOND_LOOK:
                raise
            self._look_again(wanted, data)
            self.client.retry.rest(1)
            answer = self._put_bytes(name, wanted, data)
        told = answer.headers.get("docker-content-digest")
        if told and told != str(wanted.digest):
            raise ProtocolViolation(self.host, f"stored {wanted.digest} as {told[:200]}")
        if "oci-subject" not in answer.headers and wanted.digest not in self._noted and b'"subject"' in data:
            from registry.referrers import note

            note(self.origin, wanted, data)
            self._noted.add(wanted.digest)

    def _put_bytes(self, name: str, wanted: Descriptor, data: bytes) -> Response:
        answer = self.send(
            "PUT",
            f"manifests/{name}",
            accept=(200, 201, 202),
            what=f"does not take the manifest {self.name}:{name}",
            headers={"Content-Type": wanted.media_type},
            body=data,
            size=len(data),
        )
        answer.close()
        return answer

    def _look_again(self, wanted: Descriptor, data: bytes) -> None:
        """Look whether the blobs of a manifest are there. Raises NotFound for a gap."""
        if wanted.media_type not in MANIFESTS:
            return
        manifest = Manifest.parse(data, wanted.media_type)
        gone = [str(blob.digest) for blob in (manifest.config, *manifest.layers) if not self.has(blob)]
        if gone:
            raise NotFound(self.host, f"{self.name} lost {', '.join(gone)} after it was sent", help="push once more")


def kind_of(answer: Response) -> str:
    """The media type that an answer announces."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def own_kind(data: bytes) -> str:
    """What a document says of itself, if it says anything."""
    from layers.oci.documents import decode

    try:
        kind = decode(data, "manifest").get("mediaType")
    except DocumentInvalid:
        return ""
    return kind if isinstance(kind, str) else ""
