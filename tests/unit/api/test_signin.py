"""Tokens, passwords, and who may do what."""

from __future__ import annotations

import os
import re
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from lando.api import auth, keys, setup
from lando.api.models import Token, User
from lando.errors import ConfigError, InputError
from sqlalchemy import select, update
from tests.unit.api.serving import SIGN_IN, Api


@pytest.fixture
def with_password(api: Api) -> Api:
    with api.site.database.write() as session:
        setup.create_user(session, "grace", password=" s3cret ")
    return api


def sign_in(api: Api, username: str, password: str) -> tuple[int, dict[str, str]]:
    answer = api.client.post("/api-auth-token/", json={"username": username, "password": password})
    return answer.status_code, answer.json()


def test_a_password_gives_a_token_and_the_same_one_later(with_password: Api) -> None:
    code, body = sign_in(with_password, "grace", " s3cret ")
    assert code == 200
    assert re.fullmatch("[0-9a-f]{40}", body["token"])
    assert sign_in(with_password, "grace", " s3cret ") == (200, body)
    me = with_password.client.get("/api/users/current-user/", headers={"Authorization": f"Token {body['token']}"})
    assert me.json() == {"id": me.json()["id"], "username": "grace", "first_name": "", "last_name": "", "email": ""}


@pytest.mark.parametrize(("username", "password"), [("grace", "s3cret"), ("grace", ""), ("nobody", "x"), ("ada", "x")])
def test_a_wrong_password_says_no_more_than_that(with_password: Api, username: str, password: str) -> None:
    with_password.as_user("ada")
    code, body = sign_in(with_password, username, password)
    assert (code, list(body)) == (400, ["non_field_errors"])


def test_a_user_name_that_no_database_can_be_asked_for_is_a_wrong_one(api: Api) -> None:
    login = r'{"username": "a\ud800", "password": "\ud800"}'
    for path in ("/api-auth-token/", "/auth/api-token-auth/"):
        answer = api.client.post(path, content=login, headers={"Content-Type": "application/json"})
        assert (answer.status_code, list(answer.json())) == (400, ["non_field_errors"])


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Token",
        "Token ",
        "Token 0000000000000000000000000000000000000000",
        "Bearer {token}",
        "{token}",
        "JWT x",
    ],
)
def test_without_a_token_that_counts_there_is_a_401(api: Api, header: str | None) -> None:
    api.as_user("ada")
    headers = {} if header is None else {"Authorization": header.format(token=api.tokens["ada"])}
    answer = api.client.get("/api/v2/jobs/", headers=headers)
    assert answer.status_code == 401
    assert list(answer.json()) == ["detail"]
    assert answer.headers["www-authenticate"] == 'JWT realm="api"'


def test_every_route_but_the_open_ones_demands_a_sign_in(api: Api) -> None:
    open_routes = {*SIGN_IN, "/api/lando/v1/files/{file_id}/{name}"}
    for path, methods in api.app.openapi()["paths"].items():
        for method in methods:
            if path in open_routes:
                continue
            filled = re.sub(r"\{[^}]*\}", "1", path)
            answer = api.client.request(method.upper(), filled, json={} if method != "get" else None)
            assert answer.status_code == 401, (method, path, answer.status_code)


def test_a_user_has_one_token_and_a_deleted_one_never_works_again(api: Api) -> None:
    first = api.get("/api/tokens/").json()
    assert [row["id"] for row in first] == [api.tokens["ada"]]
    assert api.post("/api/tokens/", {}).status_code == 400
    assert api.call("DELETE", f"/api/tokens/{api.tokens['ada']}/", user="eve").status_code == 404
    assert api.call("DELETE", f"/api/tokens/{api.tokens['ada']}/").status_code == 204
    assert api.get("/api/tokens/").status_code == 401
    with api.site.database.write() as session:
        old, api.tokens["ada"] = api.tokens["ada"], setup.issue_token(session, api.site.key, "ada")
    assert api.tokens["ada"] != old
    assert api.get("/api/tokens/").status_code == 200


def test_the_database_holds_no_token_and_no_password(with_password: Api, tmp_path: Path) -> None:
    _, body = sign_in(with_password, "grace", " s3cret ")
    with with_password.site.database.read() as session:
        row = session.scalars(select(Token).join(Token.user).where(User.username == "grace")).one()
        stored = [row.hash, row.serial or "", row.user.password_hash or ""]
    assert not any(body["token"] in text or "s3cret" in text for text in stored)


def test_an_imported_token_signs_in_and_leaves_the_own_one_alone(api: Api) -> None:
    api.as_user("ada")
    own, brought = api.tokens["ada"], "0123456789abcdef0123456789abcdef01234567"
    with api.site.database.write() as session:
        setup.import_token(session, "ada", brought)
    api.tokens["ada"] = brought
    assert [row["id"] for row in api.get("/api/tokens").json()] == [own]
    with pytest.raises(InputError), api.site.database.write() as session:
        setup.import_token(session, "ada", brought)


def test_an_inactive_user_can_not_sign_in(with_password: Api) -> None:
    _, body = sign_in(with_password, "grace", " s3cret ")
    with with_password.site.database.write() as session:
        session.execute(update(User).where(User.username == "grace").values(is_active=False))
    assert sign_in(with_password, "grace", " s3cret ")[0] == 400
    headers = {"Authorization": f"Token {body['token']}"}
    assert with_password.client.get("/api/v2/jobs/", headers=headers).status_code == 401


def test_the_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "server.key"
    first = keys.load_or_create(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert keys.load_or_create(path).token(1, "s") == first.token(1, "s")
    assert [entry.name for entry in path.parent.iterdir()] == ["server.key"]
    assert first.token(1, "s") != first.token(2, "s") != first.token(2, "t")


@pytest.mark.parametrize("content", ["", "not hex", "abcd"])
def test_a_key_file_without_a_key_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "server.key"
    path.write_text(content)
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        keys.load_or_create(path)


def test_a_password_hash_takes_only_its_password() -> None:
    stored = auth.hash_password("ü")
    assert auth.is_password("ü", stored)
    assert not auth.is_password("u", stored)
    assert not auth.is_password("ü", None)
    assert stored != auth.hash_password("ü")


def test_a_signature_holds_for_its_path_until_its_time() -> None:
    key = keys.ServerKey(b"k" * 32)
    expires = key.expiry(1000.0, 3600)
    assert expires >= 4600
    assert key.expiry(1001.0, 3600) == expires
    signature = key.signature("/a", expires)
    assert key.is_signed("/a", str(expires), signature, expires - 1)
    assert not key.is_signed("/a", str(expires), signature, expires)
    assert not key.is_signed("/b", str(expires), signature, 0)
    assert not key.is_signed("/a", str(expires + 1), signature, 0)
    assert not key.is_signed("/a", "soon", signature, 0)
    assert not key.is_signed("/a", str(expires), "é", 0)


def test_at_most_four_passwords_are_hashed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def scrypt(*_: Any, **__: Any) -> bytes:
        begun.release()
        assert go_on.wait(60)
        return b"x"

    monkeypatch.setattr(auth.hashlib, "scrypt", scrypt)
    threads = [threading.Thread(target=auth.hash_password, args=("x",)) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        assert all(begun.acquire(timeout=60) for _ in range(4))
        assert not auth._places.acquire(blocking=False), "four take up all places"
        assert not begun.acquire(blocking=False)
    finally:
        go_on.set()
    for thread in threads:
        thread.join(60)
    assert all(begun.acquire(blocking=False) for _ in range(2)), "the others came after them"
