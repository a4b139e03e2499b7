"""The authority, the server's certificate and the token: made once, kept private, renewed in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from lando.local.http.access import ANONYMOUS, Access, Grant, authorize, ensure_token
from lando.local.http.routing import parse_request
from lando.local.http.tls import ensure_certificates
from lando.local.rules.status import ApiError


def test_certificates_are_kept_from_start_to_start(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path)
    content = [file.read_bytes() for file in (first.ca_file, first.certificate_file, first.key_file)]
    second = ensure_certificates(tmp_path)
    assert [file.read_bytes() for file in (second.ca_file, second.certificate_file, second.key_file)] == content
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_the_servers_certificate_is_renewed_under_the_same_authority(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path)
    authority, old = files.ca_file.read_bytes(), files.certificate_file.read_bytes()
    ensure_certificates(tmp_path, now=datetime.now(UTC) + timedelta(days=300))
    assert files.ca_file.read_bytes() == authority
    assert files.certificate_file.read_bytes() != old
    renewed = x509.load_pem_x509_certificate(files.certificate_file.read_bytes())
    renewed.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))


def test_a_token_is_kept_and_private(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = ensure_token(file)
    assert len(token) >= 40
    assert ensure_token(file) == token
    assert file.stat().st_mode & 0o777 == 0o600


def test_only_bearer_tokens_of_ours_are_known() -> None:
    grant = Grant(user="me")
    access = Access({"right": grant})
    assert access.authenticate("Bearer right") is grant
    assert access.authenticate("") is ANONYMOUS
    for header in ("Bearer wrong", "Basic right", "Bearer", "right"):
        with pytest.raises(ApiError) as caught:
            access.authenticate(header)
        assert caught.value.code == 401


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/v1/namespaces/mine/pods", True),
        ("GET", "/api/v1/namespaces/mine/pods/p/log", True),
        ("DELETE", "/api/v1/namespaces/mine/pods/p", False),
        ("GET", "/api/v1/namespaces/theirs/pods", False),
        ("GET", "/api/v1/pods", False),
        ("GET", "/api/v1", True),
    ],
)
def test_a_grant_can_be_limited_to_verbs_and_namespaces(method: str, path: str, allowed: bool) -> None:
    grant = Grant(user="reader", verbs=frozenset({"get", "list"}), namespaces=frozenset({"mine"}))
    request = parse_request(method, path, {})
    if allowed:
        authorize(grant, request)
        return
    with pytest.raises(ApiError, match='User "reader" cannot') as caught:
        authorize(grant, request)
    assert caught.value.code == 403
