"""A repository of a registry over HTTP, as a `layers.Repository` (OCI distribution-spec)."""

from __future__ import annotations

import io
from typing import BinaryIO
from urllib.parse import quote, urljoin

from layers import BlobMismatch, Descriptor, Digest, DigestInvalid, Reference, Repository
from layers.mediatypes import INDEXES, MANIFESTS
from registry.errors import NotFound, ProtocolViolation, RegistryError, Unavailable
from registry.session import Client
from registry.session import client as new_client
from registry.transport import Request, Response

DOCUMENTS = MANIFESTS | INDEXES
ACCEPT = ", ".join(sorted(DOCUMENTS))
MOST = 4 << 20
"""Bytes of a manifest that are read."""
RESUMES = 8
"""How often one download goes on after it was cut."""


class RemoteRepository:
    """One repository; threads may share it."""

    def __init__(self, reference: Reference, client: Client | None = None) -> None:
        self.reference = reference
        self.client = client or new_client()
        self.host = reference.host
        self.path = reference.path

    @property
    def name(self) -> str:
        """host/path."""
        return self.reference.repository

    # -- layers.Repository -----------------------------------------------------------------------

    def resolve(self, name: str) -> Descriptor:
        """What a tag, or a digest as text, points to. Raises NotFound and other RegistryErrors."""
        tag = name.rpartition("@")[2] if "@" in name else name
        answer = self._get("HEAD", f"manifests/{tag}", what=f"cannot resolve {self.name}:{tag}")
        answer.close()
        told = answer.headers.get("docker-content-digest", "")
        length = answer.headers.get("content-length", "")
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        try:
            digest = Digest.parse(told) if told else None
        except DigestInvalid as error:
            raise ProtocolViolation(self.host, f"says that {tag} has digest {told[:100]!r}") from error
        if ":" in tag and digest is not None and str(digest) != tag:
            raise ProtocolViolation(self.host, f"was asked for {tag} and names {digest}")
        if digest is not None and length.isdigit() and kind in DOCUMENTS:
            return Descriptor(kind, digest, int(length))
        return self._read(tag, kind)

    def has(self, wanted: Descriptor) -> bool:
        """True if the content is there."""
        try:
            self._get("HEAD", self._place(wanted), what=f"cannot look for {wanted.digest}").close()
        except NotFound:
            return False
        return True

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes as they come; a download that is cut goes on where it was. Raises NotFound."""
        place = self._place(wanted)
        answer = self._get("GET", place, what=f"cannot fetch {wanted.digest}")
        return io.BufferedReader(Download(self, place, wanted, answer), 1 << 20)

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        """Send content. Raises BlobMismatch if the registry got other bytes than promised."""
        if wanted.media_type in DOCUMENTS:
            data = source.read(wanted.size + 1)
            self._put_document(str(wanted.digest), wanted, data)
        else:
            self._upload(wanted, source)

    def tag(self, name: str, target: Descriptor) -> None:
        """Let a tag point to a manifest or index that is there."""
        tag = name.rpartition(":")[2] if "/" in name else name
        with self.open(target) as source:
            data = source.read(MOST)
        self._put_document(tag, target, data)

    # -- layers.Mounts ---------------------------------------------------------------------------

    def mount(self, wanted: Descriptor, source: Repository) -> bool:
        """Take a blob over from another repository of the same registry."""
        if not isinstance(source, RemoteRepository) or source.host != self.host or source.path == self.path:
            return False
        return self.mount_from(wanted, source.path)

    def mount_from(self, wanted: Descriptor, path: str) -> bool:
        """The same, from a repository given by its path."""
        query = f"blobs/uploads/?mount={quote(str(wanted.digest))}&from={quote(path)}"
        scopes = (f"repository:{self.path}:pull,push", f"repository:{path}:pull")
        answer = self._send("POST", query, accept=(201, 202), scopes=scopes, what=f"cannot mount {wanted.digest}")
        answer.close()
        if answer.status == 202:  # an upload was begun instead; it is not wanted
            self._cancel(answer)
        return answer.status == 201

    # -- inside ----------------------------------------------------------------------------------

    def _place(self, wanted: Descriptor) -> str:
        return f"{'manifests' if wanted.media_type in DOCUMENTS else 'blobs'}/{wanted.digest}"

    def _url(self, rest: str) -> str:
        return f"{self.client.base(self.host)}/v2/{self.path}/{rest}"

    def _get(self, method: str, rest: str, *, what: str, offset: int = 0) -> Response:
        headers = {"Accept": ACCEPT} if rest.startswith("manifests/") else {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        return self.client.send(
            Request(method, self._url(rest), headers),
            host=self.host,
            path=self.path,
            scopes=(f"repository:{self.path}:pull",),
            accept=(206,) if offset else (200,),
            what=what,
        )

    def _send(
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
    ) -> Response:
        url = rest if "://" in rest else self._url(rest)
        return self.client.send(
            Request(method, url, headers or {}, body, size),
            host=self.host,
            path=self.path,
            scopes=scopes or (f"repository:{self.path}:pull,push",),
            accept=accept,
            what=what,
            retry=retry,
        )

    def _read(self, tag: str, kind: str) -> Descriptor:
        """The descriptor of a manifest whose headers do not tell it."""
        answer = self._get("GET", f"manifests/{tag}", what=f"cannot resolve {self.name}:{tag}")
        with answer:
            data = answer.body(MOST)
            kind = answer.headers.get("content-type", kind).partition(";")[0].strip()
        return Descriptor.of(data, kind)

    def _put_document(self, name: str, wanted: Descriptor, data: bytes) -> None:
        met = Descriptor.of(data, wanted.media_type)
        if met.digest != wanted.digest:
            raise BlobMismatch(wanted, received=len(data), digest=str(met.digest))
        answer = self._send(
            "PUT",
            f"manifests/{name}",
            accept=(201,),
            what=f"does not take the manifest {self.name}:{name}",
            headers={"Content-Type": wanted.media_type},
            body=data,
            size=len(data),
        )
        answer.close()
        told = answer.headers.get("docker-content-digest")
        if told and told != str(wanted.digest):
            raise ProtocolViolation(self.host, f"stored {wanted.digest} as {told}")

    def _upload(self, wanted: Descriptor, source: BinaryIO) -> None:
        """One POST, one PUT; a PUT that fails is begun anew if the source can be read again."""
        what = f"does not take {wanted.digest}"
        started = self._send("POST", "blobs/uploads/", accept=(202,), what=what)
        started.close()
        place = urljoin(started.url, started.headers.get("location", ""))
        self.client.check_place(self.host, started.url, place)
        joint = "&" if "?" in place else "?"
        url = f"{place}{joint}digest={quote(str(wanted.digest))}"
        headers = {"Content-Type": "application/octet-stream"}
        try:
            answer = self._send(
                "PUT",
                url,
                accept=(201,),
                what=what,
                headers=headers,
                body=source,
                size=wanted.size,
            )
        except RegistryError:
            self._cancel(started)
            raise
        answer.close()
        told = answer.headers.get("docker-content-digest")
        if told and told != str(wanted.digest):
            raise ProtocolViolation(self.host, f"stored {wanted.digest} as {told}")

    def _cancel(self, upload: Response) -> None:
        """Tell the registry that an upload will not go on; whether it listens does not matter."""
        place = urljoin(upload.url, upload.headers.get("location", ""))
        try:
            self.client.check_place(self.host, upload.url, place)
            self._send("DELETE", place, accept=(200, 202, 204, 404, 405), what="cannot cancel", retry=False).close()
        except RegistryError:
            return


class Download(io.RawIOBase):
    """The body of a GET that goes on by itself, with a Range, when the connection is cut."""

    def __init__(self, repository: RemoteRepository, place: str, wanted: Descriptor, answer: Response) -> None:
        self._repository = repository
        self._place = place
        self._wanted = wanted
        self._answer = answer
        self._position = 0
        self._resumed = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer. Raises Unavailable when the registry has cut it too often."""
        view = memoryview(buffer)
        while True:
            try:
                data = self._answer.read(len(view))
            except Unavailable:
                self._again()
                continue
            if not data and self._position < self._wanted.size and self._resumed < RESUMES:
                self._again()
                continue
            view[: len(data)] = data
            self._position += len(data)
            return len(data)

    def _again(self) -> None:
        """Ask for the rest. A registry that knows no ranges ends the download."""
        self._answer.close()
        self._resumed += 1
        if self._resumed > RESUMES:
            raise Unavailable(self._repository.host, f"cut the download of {self._wanted.digest} {RESUMES} times")
        what = f"cannot go on fetching {self._wanted.digest}"
        if self._position == 0:
            self._answer = self._repository._get("GET", self._place, what=what)
        else:
            self._answer = self._repository._get("GET", self._place, what=what, offset=self._position)

    def close(self) -> None:
        """Give the connection back."""
        self._answer.close()
        super().close()
