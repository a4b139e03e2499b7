"""The key in the mounted Secret is what the real libraries sign with; nothing else says who they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from lando.credentials import MOUNTED
from lando.errors import ConfigError, Rejected
from lando.stores import gs, open_store
from tests.services.step_surroundings import Answer, Web, web
from tests.services.stores import GS_VARIABLE, s3_environment

__all__ = ["web"]

LISTING = b"""<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>
<Contents><Key>x/a</Key><Size>1</Size></Contents></ListBucketResult>"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where the Secret would be mounted; no library has a client from before, nor one after."""
    for name in (GS_VARIABLE, *s3_environment(""), "GOOGLE_APPLICATION_CREDENTIALS", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv(MOUNTED, str(tmp_path / "config"))
    gs._client.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()
    yield tmp_path / "config"
    gs._client.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_google_key(clean: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {"type": "service_account", "project_id": "p", "client_email": "lando@p.iam.gserviceaccount.com"}
    account |= {"private_key": key.decode(), "token_uri": "http://127.0.0.1:9/token", "private_key_id": "1"}
    clean.write_text(json.dumps(account))
    open_store("gs://bucket/x")
    assert gs._client()._credentials.service_account_email == "lando@p.iam.gserviceaccount.com"


def test_a_google_key_that_is_none_is_told_without_what_it_holds(clean: Path) -> None:
    clean.write_text('{"type": "service_account", "private_key": "s3cret"}')
    with pytest.raises(ConfigError, match="No Google credentials were found") as caught:
        open_store("gs://bucket/x")
    assert "s3cret" not in str(caught.value)


def test_an_aws_credentials_file(clean: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    clean.write_text("[default]\naws_access_key_id = MOUNTED\naws_secret_access_key = s3cret\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    web.serve(Answer(body=LISTING, headers={"Content-Type": "application/xml"}))
    assert [entry.path for entry in open_store("s3://bucket/x").list()] == ["a"]
    _path, headers = web.requests[-1]
    assert "Credential=MOUNTED/" in headers["Authorization"]
    web.serve(Answer(status=403, body=b"<Error><Code>AccessDenied</Code></Error>"))
    with pytest.raises(Rejected, match="access denied") as caught:
        list(open_store("s3://bucket/x").list())
    assert "s3cret" not in str(caught.value)
