"""Signing in with a browser: the page, the session it gives, and the way by the site's sign-in provider."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from lando.api import setup
from lando.api.models import User
from lando.api.provider import Provider
from lando.api.settings import Settings
from lando.api.storage_rights import DukeDsRights
from lando.errors import ConfigError
from sqlalchemy import select, update
from tests.unit.api.oauth import CLIENT, ISSUER, SECRET, FakeProvider
from tests.unit.api.serving import Api, Serve

ME = "/api/users/current-user/"
GROUPS = "/api/v2/job-file-stage-groups/"


def grace(api: Api) -> Api:
    with api.site.database.write() as session:
        setup.create_user(session, "grace", password=" s3cret ")
    return api


def form(api: Api, **fields: str) -> dict[str, str]:
    """The sign-in form as the page gives it, filled in."""
    page = api.client.get("/api-auth/login/").text
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found, page
    return {"csrfmiddlewaretoken": found[1], "username": "grace", "password": " s3cret ", **fields}


def post(api: Api, path: str, data: dict[str, str], **headers: str) -> httpx2.Response:
    answer: httpx2.Response = api.client.post(path, data=data, headers=headers, follow_redirects=False)
    return answer


@pytest.fixture
def signed_in(api: Api) -> Api:
    answer = post(grace(api), "/api-auth/login/", form(api))
    assert answer.status_code == 303, answer.text
    return api


def csrf(api: Api) -> dict[str, str]:
    return {"X-CSRFToken": str(api.client.cookies["csrftoken"])}


def test_the_page_signs_a_browser_in_and_out(api: Api) -> None:
    grace(api)
    assert api.client.get(ME).status_code == 401
    answer = post(api, "/api-auth/login/", form(api, next="/api/v2/jobs/"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/api/v2/jobs/")
    cookies = {name: rest for name, _, rest in (c.partition("=") for c in answer.headers.get_list("set-cookie"))}
    assert "HttpOnly" in cookies["sessionid"]
    assert "SameSite=lax" in cookies["sessionid"]
    assert "HttpOnly" not in cookies["csrftoken"]
    assert api.client.get(ME).json()["username"] == "grace"
    page = api.client.get("/api-auth/login/").text
    assert "signed in as <strong>grace</strong>" in page
    assert api.client.get("/api-auth/logout/").status_code == 200
    assert api.client.get(ME).status_code == 200, "a link alone signs nobody out"
    assert post(api, "/api-auth/logout/", {}, **csrf(api)).status_code == 403, "nor does another site's form"
    assert post(api, "/api-auth/logout/", form(api)).status_code == 303
    assert api.client.get(ME).status_code == 401
    assert post(api, "/api-auth/logout/", {}).status_code == 303, "nor is there anything to complain about"


def test_the_page_can_be_used_without_seeing_it(api: Api) -> None:
    answer = api.client.get("/api-auth/login/?next=/api/v2/jobs/%22%3E%3Cscript%3E")
    page = answer.text
    assert '<html lang="en">' in page
    assert re.search(r"<title>Sign in", page)
    for name in ("username", "password"):
        assert f'<label for="{name}">' in page
        assert f'<input id="{name}" name="{name}"' in page
    assert "<script" not in page
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    wrong = post(grace(api), "/api-auth/login/", form(api, password="x"))
    assert wrong.status_code == 400
    assert 'role="alert"' in wrong.text
    assert "aria-describedby" in wrong.text


def test_cookies_are_for_https_only_where_the_site_is(serve: Serve) -> None:
    api = grace(serve(public_url="https://lando.example.org"))
    answer = api.client.get("/api-auth/login/")
    assert all("Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))


def test_a_form_from_elsewhere_signs_nobody_in(api: Api) -> None:
    fields = form(grace(api))
    for token in ("", "0" * 64):
        assert post(api, "/api-auth/login/", {**fields, "csrfmiddlewaretoken": token}).status_code == 403
    api.client.cookies.clear()
    assert post(api, "/api-auth/login/", fields).status_code == 403
    assert api.client.get(ME).status_code == 401


def test_guessing_at_the_page_is_slowed_down_as_elsewhere(api: Api) -> None:
    fields = form(grace(api), password="x")
    answers = [post(api, "/api-auth/login/", fields) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [400] * 5 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert api.client.post("/api-auth-token/", json={"username": "grace", "password": "x"}).status_code == 429


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data"])
def test_the_page_takes_forms_only(api: Api, kind: str) -> None:
    answer = api.client.post("/api-auth/login/", content=b"{}", headers={"Content-Type": kind})
    assert (answer.status_code, list(answer.json())) == (415, ["detail"])


def test_a_session_writes_only_with_its_csrf_token(signed_in: Api) -> None:
    for headers in ({}, {"X-CSRFToken": ""}, {"X-CSRFToken": "0" * 64}, {"Origin": "http://evil.example.org"}):
        answer = signed_in.client.post(GROUPS, json={}, headers=headers)
        assert (answer.status_code, list(answer.json())) == (403, ["detail"])
    assert signed_in.client.get(GROUPS).json() == []
    assert signed_in.client.post(GROUPS, json={}, headers=csrf(signed_in)).status_code == 201


def test_a_session_is_exchanged_for_a_web_token(signed_in: Api) -> None:
    path = "/auth/api-token-session/"
    assert signed_in.client.post(path, json={}).status_code == 403
    token = signed_in.client.post(path, json={}, headers=csrf(signed_in)).json()["token"]
    signed_in.client.cookies.clear()
    assert signed_in.client.post(path, json={}).status_code == 401
    answer = signed_in.client.get(ME, headers={"Authorization": f"JWT {token}"})
    assert answer.json()["username"] == "grace"


def test_a_wrong_header_is_not_made_good_by_a_session(signed_in: Api) -> None:
    assert signed_in.client.get(ME, headers={"Authorization": "Token x"}).status_code == 401


@pytest.mark.parametrize("change", [{"is_active": False}, {"password_hash": None}], ids=str)
def test_a_session_ends_with_the_account_and_with_another_password(signed_in: Api, change: dict[str, Any]) -> None:
    with signed_in.site.database.write() as session:
        session.execute(update(User).where(User.username == "grace").values(**change))
    assert signed_in.client.get(ME).status_code == 401


@pytest.mark.parametrize("cookie", ["", "x", "x.y.z", "{}"])
def test_a_forged_session_signs_nobody_in(api: Api, cookie: str) -> None:
    assert api.client.get(ME, headers={"Cookie": f"sessionid={cookie}"}).status_code == 401


ELSEWHERE = [
    "https://evil.example.org/",
    "//evil.example.org",
    "/\\evil.example.org",
    "https:evil.example.org",
    "javascript:alert(1)",
    "http://testserver@evil.example.org/",
    "http://testserver.evil.example.org/",
    "\thttps://evil.example.org",
    "evil",
    "",
]


@pytest.mark.parametrize("address", ELSEWHERE)
def test_a_sign_in_leads_to_no_strangers_site(api: Api, address: str) -> None:
    answer = post(grace(api), "/api-auth/login/", form(api, next=address))
    assert (answer.status_code, answer.headers["location"]) == (303, "/api-auth/login/")


# --- by the provider -------------------------------------------------------------------------------------------------


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def site(serve: Serve, provider: FakeProvider, tmp_path: Path) -> Any:
    """Starts a server that knows the provider; keywords change its settings."""
    (tmp_path / "client-secret").write_text(f"{SECRET}\n")

    def start(**changes: Any) -> Api:
        file = str(tmp_path / "client-secret")
        given = {"oauth_client_id": CLIENT, "oauth_client_secret_file": file, "oauth_issuer": ISSUER, **changes}
        api = serve(**given)
        api.site.provider = Provider(api.site.settings, api.site.key, provider)
        return api

    return start


def through(api: Api, provider: FakeProvider, then: str = "") -> httpx2.Response:
    """Sign in through the provider; the answer to the browser's coming back."""
    begun = api.client.get("/auth/authorize/", params={"next": then}, follow_redirects=False)
    assert begun.status_code == 302, begun.text
    answer: httpx2.Response = api.client.get(provider.visit(begun.headers["location"]), follow_redirects=False)
    return answer


def test_the_provider_signs_in_somebody_new_with_what_it_knows_of_them(site: Any, provider: FakeProvider) -> None:
    api = site()
    provider.person |= {"given_name": "Grace", "family_name": "Hopper", "email": "grace@example.org"}
    answer = through(api, provider, "/api/v2/jobs/?state=R")
    assert (answer.status_code, answer.headers["location"]) == (303, "/api/v2/jobs/?state=R")
    me = api.client.get(ME).json()
    assert [me["username"], me["first_name"], me["last_name"]] == ["grace", "Grace", "Hopper"]
    provider.person["email"] = "hopper@example.org"
    assert through(api, provider).headers["location"] == "/api-auth/login/"
    assert api.client.get(ME).json() == {**me, "email": "hopper@example.org"}
    assert provider.asked.count("/.well-known/openid-configuration") == 1
    assert "Sign in with your institution" not in api.client.get("/api-auth/login/").text
    api.client.cookies.clear()
    assert "Sign in with your institution" in api.client.get("/api-auth/login/").text


def test_one_waits_for_a_provider_that_does_not_answer_and_holds_up_nobody(
    site: Any, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lando.api.provider.PATIENCE_S", 0)
    api = site()
    with api.site.provider._asking:
        assert api.client.get("/auth/authorize/", follow_redirects=False).status_code == 503
    assert provider.asked == []
    assert api.client.get("/auth/authorize/", follow_redirects=False).status_code == 302


def test_what_the_provider_gives_out_is_kept_only_for_a_data_service_that_takes_it(
    site: Any, provider: FakeProvider
) -> None:
    api = site()
    for rights, kept in ((None, None), (DukeDsRights(), "for-grace"), (None, None)):
        api.site.rights = rights
        assert through(api, provider).status_code == 303
        with api.site.database.read() as session:
            assert session.scalars(select(User.provider_token).where(User.username == "grace")).one() == kept


def test_the_endpoints_may_be_given_instead_of_the_issuer(site: Any, provider: FakeProvider) -> None:
    urls = {"oauth_authorize_url": "/authorize", "oauth_token_url": "/token", "oauth_userinfo_url": "/me"}
    api = site(oauth_issuer=None, **{name: ISSUER + path for name, path in urls.items()})
    assert through(api, provider).status_code == 303
    assert provider.asked == ["/token", "/me"]


@pytest.mark.parametrize("groups", [None, [], ["others"], "others", 7])
def test_a_required_group_keeps_others_out(site: Any, provider: FakeProvider, groups: Any) -> None:
    api = site(oauth_required_group="genomics")
    provider.person["groups"] = groups
    answer = through(api, provider)
    assert answer.status_code == 403
    assert "genomics" in answer.text
    assert api.client.get(ME).status_code == 401
    with api.site.database.read() as session:
        assert session.scalars(select(User).where(User.username == "grace")).first() is None
    provider.person["groups"] = ["others", "genomics"]
    assert through(api, provider).status_code == 303


@pytest.mark.parametrize("name", [None, "", " ", 7, "x" * 151])
def test_without_a_usable_user_name_nobody_is_signed_in(site: Any, provider: FakeProvider, name: Any) -> None:
    provider.person = {"preferred_username": name}
    assert through(site(), provider).status_code == 403


def test_nobody_becomes_staff_by_choosing_their_name_at_the_provider(site: Any, provider: FakeProvider) -> None:
    provider.person = {"preferred_username": "operator"}
    api = site()
    assert through(api, provider).status_code == 403
    assert api.client.get(ME).status_code == 401
    api = site(oauth_staff=True)
    assert through(api, provider).status_code == 303


def test_people_are_known_by_their_subject_also_when_names_change_hands(site: Any, provider: FakeProvider) -> None:
    api = site()
    provider.person["sub"] = "1"
    assert through(api, provider).status_code == 303
    first = api.client.get(ME).json()
    provider.person["preferred_username"] = "hopper"
    assert through(api, provider).status_code == 303
    assert api.client.get(ME).json() == first, "renamed at the provider, the same here"
    api.client.cookies.clear()
    for somebody_else in ({"sub": "2"}, {}):
        provider.person = {"preferred_username": "grace", **somebody_else}
        answer = through(api, provider)
        assert answer.status_code == 403
        assert "Somebody else" in answer.text
    assert api.client.get(ME).status_code == 401


def test_a_disabled_user_is_refused(site: Any, provider: FakeProvider) -> None:
    api = grace(site())
    with api.site.database.write() as session:
        session.execute(update(User).where(User.username == "grace").values(is_active=False))
    assert through(api, provider).status_code == 403


def test_an_answer_that_was_not_asked_for_in_this_browser_is_refused(site: Any, provider: FakeProvider) -> None:
    api = site()
    mine = api.client.get("/auth/authorize/", follow_redirects=False).headers["location"]
    back = provider.visit(mine)
    api.client.cookies.clear()
    assert api.client.get(back, follow_redirects=False).status_code == 403, "another browser"
    api.client.get("/auth/authorize/", follow_redirects=False)
    assert api.client.get(back, follow_redirects=False).status_code == 403, "another sign-in of this browser"
    assert "/token" not in provider.asked
    assert api.client.get(ME).status_code == 401


def test_a_code_works_once_and_only_with_its_verifier(site: Any, provider: FakeProvider) -> None:
    api = site()
    begun = api.client.get("/auth/authorize/", follow_redirects=False)
    cookie = begun.headers["set-cookie"].partition("=")[2].partition(";")[0]
    back = provider.visit(begun.headers["location"])
    provider.granted["code-0"]["code_challenge"] = "another"
    assert api.client.get(back, follow_redirects=False).status_code == 403
    again = api.client.get(back, headers={"Cookie": f"signin={cookie}"}, follow_redirects=False)
    assert again.status_code == 403


def test_what_the_provider_says_instead_of_a_code_is_shown_as_text(site: Any, provider: FakeProvider) -> None:
    api = site()
    begun = api.client.get("/auth/authorize/", follow_redirects=False).headers["location"]
    state = parse_qs(urlsplit(begun).query)["state"][0]
    query = {"state": state, "error": "access_denied", "error_description": "<b>No</b>"}
    answer = api.client.get("/auth/code_callback/", params=query, follow_redirects=False)
    assert answer.status_code == 403
    assert "&lt;b&gt;No&lt;/b&gt;" in answer.text


def test_a_provider_that_fails_is_said_to_be_away(site: Any, provider: FakeProvider) -> None:
    api = site()
    provider.issuer = "https://other.example.org"
    assert api.client.get("/auth/authorize/", follow_redirects=False).status_code == 503
    provider.issuer = ISSUER
    begun = api.client.get("/auth/authorize/", follow_redirects=False)
    back = provider.visit(begun.headers["location"])
    provider.broken = True
    answer = api.client.get(back, follow_redirects=False)
    assert answer.status_code == 503
    assert "s3cret" not in answer.text


@pytest.mark.parametrize("address", ELSEWHERE)
def test_the_provider_leads_to_no_strangers_site(site: Any, provider: FakeProvider, address: str) -> None:
    assert through(site(), provider, address).headers["location"] == "/api-auth/login/"


def test_the_provider_leads_back_to_a_front_end_that_the_site_knows(site: Any, provider: FakeProvider) -> None:
    api = site(web_origins=["https://front.example.org"])
    there = "https://front.example.org/jobs?x=1"
    assert through(api, provider, there).headers["location"] == there
    answer = api.client.post("/auth/api-token-session/", json={}, headers={"Origin": "https://front.example.org"})
    assert answer.status_code == 200


def test_without_a_provider_there_is_no_such_sign_in(api: Api) -> None:
    for path in ("/auth/authorize/", "/auth/code_callback/?code=x&state=y"):
        assert api.client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"oauth_client_id": "x"}, "oauth_issuer"),
        ({"oauth_client_id": "x", "oauth_token_url": "https://x.org/"}, "oauth_authorize_url, oauth_userinfo_url"),
        ({"oauth_issuer": "http://id.example.org"}, "https://"),
        ({"web_origins": ["https://front.example.org/"]}, "web_origins"),
        ({"web_origins": ["*"]}, "web_origins"),
        ({"session_ttl_s": 0}, "session_ttl_s"),
    ],
    ids=str,
)
def test_settings_that_can_not_work_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Settings(database_url="sqlite://", key_file="k", files_dir="f", **changes)
