"""A store in a bucket of S3, or of what speaks as S3 does (``s3://bucket/folder``), through s3fs.

Credentials and region are the environment's, as of every program of AWS; ``AWS_ENDPOINT_URL`` names a server of one's
own. An object becomes visible whole. S3's own word for its content, the ETag, is an MD5 only for what was sent in one
part and without a key of KMS; so every upload carries its SHA-256 along, and the client library has each part checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lando.errors import NotFound
from lando.stores import Entry
from lando.stores.files import sha256_of
from lando.stores.fsspec_store import FsspecStore

_SHA256 = "lando-sha256"  # name of the metadata
_BY_S3 = (None, "AES256")  # encryptions that leave the ETag an MD5


class S3Store(FsspecStore):
    """Objects of one bucket below one prefix."""

    def entry(self, path: str) -> Entry | None:
        bucket, _slash, name = self._key(path).partition("/")
        try:
            head = self._call(path, lambda: self._filesystem.call_s3("head_object", Bucket=bucket, Key=name))
        except NotFound:
            return None
        return Entry(path=path, size=int(head["ContentLength"]), checksum=_checksum(head))

    def _labels(self, local: Path) -> dict[str, Any]:
        return {"Metadata": {_SHA256: sha256_of(local)}}


def _checksum(head: dict[str, Any]) -> tuple[str, str] | None:
    if told := head.get("Metadata", {}).get(_SHA256):
        return ("sha256", str(told))
    etag = str(head.get("ETag", "")).strip('"').lower()
    return ("md5", etag) if len(etag) == 32 and head.get("ServerSideEncryption") in _BY_S3 else None
