"""A store in a Google Cloud Storage bucket (``gs://bucket/folder``), through Google's own library.

Credentials are the environment's (workload identity, ``GOOGLE_APPLICATION_CREDENTIALS``). An upload of Cloud Storage
becomes visible whole or not at all; what is larger than 8 MiB is sent by a resumable upload, whose pieces the library
repeats. The CRC32C is compared both ways, and a checksum comes with every listing.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from lando.errors import ConfigError, NotFound, PeerError, Rejected, Unavailable
from lando.stores import CHUNK, Entry, Progress, no_progress, relative_path
from lando.stores.checksums import CRC32C, verified

TIMEOUT_S = 60.0  # seconds without an answer
RETRY_S = 30.0  # seconds for which the library tries one call again by itself, with growing pauses
PIECE = 8 * CHUNK  # bytes of one request of a large file, all of them in memory
WORKERS = 8  # threads that upload; no more connections than the library's session keeps
_PEER = "Google Cloud Storage"
_T = TypeVar("_T")


class GoogleStore:
    """Objects of one bucket below one prefix."""

    def __init__(self, url: str, client: Any = None) -> None:
        """``client`` is a ``google.cloud.storage.Client``; by default one with the environment's credentials."""
        parts = urlsplit(url)
        if parts.scheme != "gs" or not parts.netloc:
            raise ConfigError(f"The store {url!r} must name a bucket: gs://bucket/folder.")
        self._bucket_name = parts.netloc
        self._prefix = parts.path.strip("/")
        self._client = client if client is not None else _client()
        self._bucket = self._client.bucket(self._bucket_name)

    @property
    def url(self) -> str:
        return f"gs://{self._bucket_name}/{self._prefix}".rstrip("/")

    def url_of(self, path: str) -> str:
        return f"{self.url}/{relative_path(path)}"

    def entry(self, path: str) -> Entry | None:
        blob = self._call(lambda: self._bucket.get_blob(self._key(path), **_asking()))
        return None if blob is None else _entry(path, blob)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        below = "/".join(part for part in (self._prefix, prefix) if part)
        start = f"{below}/" if below else ""
        blobs = self._call(lambda: iter(self._client.list_blobs(self._bucket, prefix=start, **_asking())))
        cut = len(self._prefix) + 1 if self._prefix else 0
        while (blob := self._call(lambda: next(blobs, None))) is not None:
            yield _entry(blob.name[cut:], blob)

    def read(self, path: str) -> Iterator[bytes]:
        blob = self._call(lambda: self._bucket.get_blob(self._key(path), **_asking()))
        if blob is None:
            raise NotFound(_PEER, f"{self.url_of(path)} does not exist", status=404)
        told = (CRC32C, _hex(blob.crc32c)) if blob.crc32c else None
        return verified(self._pieces(blob), told, self.url_of(path))

    def _pieces(self, blob: Any) -> Iterator[bytes]:
        """The object's bytes as they lie there, whatever its encoding; of one generation, also if it is replaced."""
        with blob.open("rb", chunk_size=PIECE, raw_download=True, **_asking()) as stream:
            while chunk := self._call(lambda: bytes(stream.read(CHUNK))):
                yield chunk

    def put(self, local: Path, path: str, progress: Progress = no_progress) -> None:
        blob = self._blob(path)
        self._call(lambda: blob.upload_from_filename(str(local), **_sending()))
        progress(local.stat().st_size)

    def put_many(
        self, files: Sequence[tuple[Path, str]], progress: Progress = no_progress
    ) -> Sequence[PeerError | None]:
        from google.cloud.storage import transfer_manager

        results = transfer_manager.upload_many(
            [(str(local), self._blob(path)) for local, path in files],
            upload_kwargs=_sending(),
            worker_type=transfer_manager.THREAD,
            max_workers=WORKERS,
        )
        errors = [self._error(result) if isinstance(result, Exception) else None for result in results]
        for (local, _path), error in zip(files, errors, strict=True):
            if error is None:
                progress(local.stat().st_size)
        return errors

    def put_bytes(self, data: bytes, path: str) -> None:
        blob = self._blob(path)
        self._call(lambda: blob.upload_from_string(data, **_sending()))

    def delete(self, path: str) -> None:
        try:
            self._call(lambda: self._blob(path).delete(**_asking()))
        except NotFound:
            return

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self._prefix, relative_path(path)) if part)

    def _blob(self, path: str) -> Any:
        return self._bucket.blob(self._key(path), chunk_size=PIECE)

    def _error(self, error: Exception) -> PeerError:
        def fail() -> None:
            raise error

        try:
            self._call(fail)
        except PeerError as known:
            return known
        raise AssertionError("unreachable")

    def _call(self, work: Callable[[], _T]) -> _T:
        """``work()`` with the library's errors as ours."""
        from google.api_core import exceptions as api
        from google.auth import exceptions as auth

        try:
            return work()
        except api.NotFound as error:
            raise NotFound(_PEER, f"{self.url}: {error.message}", status=404) from error
        except (api.TooManyRequests, api.ServerError, api.RetryError, OSError) as error:
            raise Unavailable(_PEER, f"{self.url}: {error}") from error
        except auth.TransportError as error:
            raise Unavailable(_PEER, f"no credentials could be fetched: {error}") from error
        except auth.GoogleAuthError as error:
            raise Rejected(_PEER, f"the credentials do not work: {error}", status=401) from error
        except api.GoogleAPICallError as error:
            raise Rejected(_PEER, f"{self.url}: {error.message}", status=error.code) from error
        except Exception as error:
            if type(error).__name__ != "DataCorruption":  # its module differs between versions of the library
                raise
            raise Unavailable(_PEER, f"{self.url}: the bytes were damaged on their way: {error}") from error


def _entry(path: str, blob: Any) -> Entry:
    """Composite objects have no MD5, but every object has a CRC32C."""
    checksum = ("md5", _hex(blob.md5_hash)) if blob.md5_hash else (CRC32C, _hex(blob.crc32c)) if blob.crc32c else None
    return Entry(path=path, size=int(blob.size or 0), checksum=checksum)


def _hex(base64_value: str) -> str:
    return base64.b64decode(base64_value).hex()


def _asking() -> dict[str, Any]:
    """How long every call may take; all of them may be repeated, as they leave the same each time."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return {"timeout": TIMEOUT_S, "retry": DEFAULT_RETRY.with_timeout(RETRY_S)}


def _sending() -> dict[str, Any]:
    """The same for uploads, whose bytes the server compares with their checksum."""
    return {**_asking(), "checksum": CRC32C}


@functools.cache
def _client() -> Any:
    """One for the whole process: it holds the connections and the credentials."""
    from google.auth import exceptions as auth
    from google.cloud import storage

    try:
        return storage.Client()
    except (auth.DefaultCredentialsError, OSError) as error:
        raise ConfigError(
            "No Google credentials were found for gs://; mount a key and name it in GOOGLE_APPLICATION_CREDENTIALS, "
            f"or give the pod an account of its own ({error})."
        ) from error
