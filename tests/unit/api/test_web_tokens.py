"""JSON web tokens: given for a password, good for two hours, exchanged for newer ones for a week."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from lando.api import keys, setup, web_tokens
from lando.api.auth import hash_password
from lando.api.models import User
from sqlalchemy import select, update
from tests.unit.api.serving import Api

Forge = Callable[[str, Api], str]


@pytest.fixture
def grace(api: Api) -> Api:
    with api.site.database.write() as session:
        setup.create_user(session, "grace", password="s3cret", email="grace@example.org")
    return api


def web_token(api: Api) -> str:
    answer = api.client.post("/auth/api-token-auth/", json={"username": "grace", "password": "s3cret"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def issued(api: Api, ago_s: float, signed_in_ago_s: float | None = None) -> str:
    """A token of grace's that was given some time ago."""
    now = time.time()
    with api.site.database.read() as session:
        user = session.scalars(select(User).where(User.username == "grace")).one()
    began = None if signed_in_ago_s is None else int(now - signed_in_ago_s)
    return web_tokens.issue(api.site.key, user, now - ago_s, signed_in_at=began)


def who(api: Api, token: str, scheme: str = "JWT") -> int:
    answer = api.client.get("/api/users/current-user/", headers={"Authorization": f"{scheme} {token}"})
    return answer.status_code


def exchange(api: Api, action: str, token: Any) -> tuple[int, Any]:
    answer = api.client.post(f"/auth/api-token-{action}/", json={"token": token})
    return answer.status_code, answer.json()


def test_a_password_gives_a_web_token_with_the_originals_claims(grace: Api) -> None:
    token = web_token(grace)
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"user_id", "username", "email", "exp", "orig_iat", "password"}
    assert (claims["username"], claims["email"]) == ("grace", "grace@example.org")
    assert claims["exp"] - claims["orig_iat"] == 7200
    assert who(grace, token) == 200
    assert who(grace, token, "Token") == who(grace, token, "Bearer") == 401


@pytest.mark.parametrize("password", ["", "S3cret"])
def test_a_wrong_password_gives_no_web_token_and_guessing_is_slowed_down(grace: Api, password: str) -> None:
    login = {"username": "grace", "password": password}
    codes = [grace.client.post("/auth/api-token-auth/", json=login).status_code for _ in range(6)]
    assert codes == [400] * 5 + [429]
    right = grace.client.post("/api-auth-token/", json={**login, "password": "s3cret"})
    assert right.status_code == 429, "both ways count the same tries"
    assert int(right.headers["retry-after"]) > 0


def test_a_web_token_is_exchanged_for_a_newer_one_until_a_week_after_the_sign_in(grace: Api) -> None:
    code, body = exchange(grace, "refresh", issued(grace, 3600))
    assert code == 200
    claims = jwt.decode(body["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["orig_iat"] >= 7200 + 3600
    assert exchange(grace, "refresh", issued(grace, 60, 7 * 24 * 3600 - 60))[0] == 200
    too_old = issued(grace, 60, 7 * 24 * 3600 + 60)
    assert exchange(grace, "verify", too_old)[0] == 200
    assert exchange(grace, "refresh", too_old) == (400, {"non_field_errors": ["Refresh has expired."]})


def test_a_web_token_is_over_after_two_hours(grace: Api) -> None:
    over = issued(grace, 7201)
    assert who(grace, over) == 401
    for action in ("refresh", "verify"):
        assert exchange(grace, action, over) == (400, {"non_field_errors": ["Signature has expired."]})


def _unsigned(token: str, _api: Api) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


def _another_user(token: str, _api: Api) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "user_id": 1}).encode()).rstrip(b"=").decode()
    return f"{head}.{forged}.{signature}"


def _by_another_key(token: str, _api: Api) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    return keys.ServerKey(b"0" * 32).sign("web token", claims)


def _for_another_purpose(token: str, api: Api) -> str:
    return api.site.key.sign("session", jwt.decode(token, options={"verify_signature": False}))


@pytest.mark.parametrize("forge", [_unsigned, _another_user, _by_another_key, _for_another_purpose])
def test_a_forged_web_token_signs_nobody_in(grace: Api, forge: Forge) -> None:
    forged = forge(web_token(grace), grace)
    assert who(grace, forged) == 401
    for action in ("refresh", "verify"):
        assert exchange(grace, action, forged) == (400, {"non_field_errors": ["Error decoding signature."]})


def test_a_disabled_users_web_token_is_refused_everywhere(grace: Api) -> None:
    token = web_token(grace)
    with grace.site.database.write() as session:
        session.execute(update(User).where(User.username == "grace").values(is_active=False))
    assert who(grace, token) == 401
    assert exchange(grace, "refresh", token)[0] == exchange(grace, "verify", token)[0] == 400
    login = {"username": "grace", "password": "s3cret"}
    assert grace.client.post("/auth/api-token-auth/", json=login).status_code == 400


def test_a_web_token_writes_without_a_csrf_token(grace: Api) -> None:
    headers = {"Authorization": f"JWT {web_token(grace)}"}
    assert grace.client.post("/api/v2/job-file-stage-groups/", json={}, headers=headers).status_code == 201


def test_only_a_browsers_session_is_exchanged_for_a_web_token(grace: Api) -> None:
    headers = {"Authorization": f"JWT {web_token(grace)}"}
    assert grace.client.post("/auth/api-token-session/", json={}, headers=headers).status_code == 401


def test_another_password_ends_web_tokens_and_their_exchange(grace: Api) -> None:
    token = web_token(grace)
    with grace.site.database.write() as session:
        session.execute(update(User).where(User.username == "grace").values(password_hash=hash_password("new")))
    assert who(grace, token) == 401
    for action in ("refresh", "verify"):
        assert exchange(grace, action, token) == (
            400,
            {"non_field_errors": ["The password has changed; sign in again."]},
        )
