"""What is done with a request whatever its route: slashes, methods, media types, empty and slow bodies."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from fastapi import FastAPI, Request
from lando.api import answers, media_types
from lando.api.metrics import Metrics
from lando.api.middleware import Doorman
from starlette.types import Message
from tests.unit.api.serving import Api, Serve, described

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("headers", [{}, JSON, {"Content-Length": "0"}, {"Content-Type": "text/plain"}], ids=str)
def test_an_empty_body_is_an_empty_object(api: Api, headers: dict[str, str]) -> None:
    assert api.call("POST", "/api/v2/job-file-stage-groups/", headers=headers).status_code == 201
    answer = api.call("POST", "/api/v2/job-templates/init", headers=headers)
    assert answer.json() == {"tag": ["This field is required."]}
    job = api.new_job()
    assert api.call("PUT", f"/api/v2/admin/jobs/{job}/", user="lando", headers=headers).status_code == 200
    assert api.call("POST", f"/api/v2/jobs/{job}/start/", headers=headers).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_bodies_that_are_no_json_are_415(api: Api, kind: str, is_chunked: bool) -> None:
    content: Any = iter([b"{}"]) if is_chunked else b"{}"
    headers = {"Content-Type": kind} if kind else {}
    answer = api.call("POST", "/api/v2/job-templates/init", content=content, headers=headers)
    assert (answer.status_code, list(answer.json())) == (415, ["detail"])


@pytest.mark.parametrize(
    ("accept", "code"),
    [("*/*", 200), ("application/json", 200), ("text/html, application/*;q=0.8", 200), ("", 200), ("text/xml", 406)],
)
def test_what_can_not_be_answered_as_asked_for_is_406(api: Api, accept: str, code: int) -> None:
    answer = api.get("/api/v2/jobs/", headers={"Accept": accept})
    assert answer.status_code == code
    assert answer.headers["content-type"] == "application/json"


def test_every_route_refuses_alike_what_it_can_not_read_or_answer(api: Api) -> None:
    too_large = {**JSON, "Content-Length": str(api.site.settings.max_body_bytes + 1)}
    read, answered = 0, 0
    for method, path, _ in described(api):
        if method in ("POST", "PUT", "PATCH") and path != "/api/lando/v1/files":
            read += 1
            for headers, code in (({"Content-Type": "text/x"}, 415), (too_large, 413)):
                answer = api.client.request(method, path, content=b"x", headers=headers)
                assert (answer.status_code, list(answer.json())) == (code, ["detail"]), (method, path)
        if media_types.is_json_only(path):
            answered += 1
            answer = api.client.request(method, path, headers={"Accept": "text/x"})
            assert (answer.status_code, list(answer.json())) == (406, ["detail"]), (method, path)
    assert read > 100
    assert answered > 200


def test_our_own_routes_answer_files_to_whoever_takes_only_those(api: Api) -> None:
    made = api.call("POST", "/api/lando/v1/files?name=a.txt", content=b"abc").json()
    assert api.get(made["url"], headers={"Accept": "text/plain"}).text == "abc"


@pytest.mark.parametrize(
    "path",
    ["http://testserver//api//v2///jobs//", "/api/v2/jobs", "/api/v2/jobs/", "/api/v2//jobs", "/api/v2/jobs.json"],
)
def test_slashes_and_the_formats_suffix_do_not_matter(api: Api, path: str) -> None:
    assert api.get(path).json() == []


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "TRACE", "BREW"])
def test_a_method_that_a_route_does_not_know_is_405(api: Api, method: str) -> None:
    answer = api.call(method, "/api/v2/workflows/")
    assert (answer.status_code, list(answer.json())) == (405, ["detail"])
    assert "GET" in answer.headers["allow"]


def test_every_path_tells_all_its_methods(api: Api) -> None:
    """Each once by OPTIONS and by a method that it does not know, in the same words."""
    paths = api.app.openapi()["paths"]
    for path, operations in paths.items():
        filled = re.sub(r"\{[^}]*\}", "1", path)
        methods = {method.upper() for method in operations}
        at_least = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        refused = api.call("BREW", filled)
        assert (refused.status_code, list(refused.json())) == (405, ["detail"]), path
        asked = api.client.options(filled)
        assert (asked.status_code, asked.json()) == (200, {}), path
        assert refused.headers["allow"] == asked.headers["allow"], path
        assert at_least <= set(asked.headers["allow"].split(", ")), path


def test_other_paths_are_404_by_any_method(api: Api) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "POST", "BREW"):
        for path in ("/", "/nothing", "/api/v2/nothing/", "/api/lando/v1/nothing", "/api/v2/jobs/1/2/3/"):
            answer = api.call(method, path)
            assert answer.status_code == 404, (method, path)
            assert method == "HEAD" or answer.json() == {"detail": "Not found."}


def test_pages_of_front_ends_that_the_site_knows_may_call_it(serve: Serve) -> None:
    front = {"Origin": "https://front.example.org"}
    asks = {**front, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,if-match"}
    api = serve(web_origins=[front["Origin"]])
    preflight = api.client.options("/api/v2/admin/jobs/1/", headers=asks)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == front["Origin"]
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    for answer in (api.get("/api/v2/jobs/", headers=front), api.client.get("/api/v2/jobs/", headers=front)):
        assert answer.headers["access-control-allow-origin"] == front["Origin"], "errors can be read, too"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "ETag" in answer.headers["access-control-expose-headers"]
    stranger = api.get("/api/v2/jobs/", headers={"Origin": "https://evil.example.org"})
    assert "access-control-allow-origin" not in stranger.headers
    assert (
        api.client.options("/api/v2/jobs/", headers={**asks, "Origin": "https://evil.example.org"}).status_code == 400
    )


def test_by_default_no_other_sites_page_may_call_the_server(api: Api) -> None:
    answer = api.get("/api/v2/jobs/", headers={"Origin": "https://front.example.org"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_odd_methods_make_no_measures_of_their_own(api: Api) -> None:
    for number in range(3):
        api.call(f"BREW{number}", "/api/v2/workflows/")
    text = api.client.get("/metrics").text
    assert "BREW" not in text
    assert 'method="(other)"' in text


@pytest.mark.parametrize("query", ["wait_s=nan", "wait_s=inf", "wait_s=-1", "wait_s=61", "after=x", "after=1.5"])
def test_a_wait_that_makes_no_sense_is_400(api: Api, query: str) -> None:
    answer = api.get(f"/api/lando/v1/runs/{api.new_job()}?after=0&{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == [query.partition("=")[0]]


def test_every_get_route_answers_head_and_options(api: Api) -> None:
    job = api.new_job()
    for path in ("/api/v2/jobs/", f"/api/v2/jobs/{job}/", f"/api/lando/v1/runs/{job}", "/api/users/current-user/"):
        head = api.call("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == api.get(path).headers["content-length"]
        assert api.client.options(path).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"tag":"a/b/c","job_order":{"x":' + b"[" * 90_000 + b"]" * 90_000 + b"}}",
        b'{"tag":"a/b/c","job_order":{"x":' + b"[" * 900 + b"]" * 900 + b"}}",
        b'{"tag":' + b"9" * 5000 + b"}",
        b'{"tag":1e999}',
        '{"tag":"é"}'.encode("latin-1"),
        b'{"tag":"\\ud800"}',
        b'{"tag":"a","tag":"b"}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_hostile_json_is_400(api: Api, body: bytes) -> None:
    for path in ("init", "validate", "create-job"):
        answer = api.call("POST", f"/api/v2/job-templates/{path}", content=body, headers=JSON)
        assert answer.status_code == 400, answer.text
        assert isinstance(answer.json(), dict)


def exchange(parts: list[Message], *, path: str = "/take", headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Send the parts of a body and then nothing more; the answer's status and JSON."""
    app = FastAPI()
    answers.install(app)

    @app.post("/take")
    @app.post("/api/lando/v1/files")
    async def take(request: Request) -> int:
        return len(await request.body())

    guarded = Doorman(
        app, max_body_bytes=100, max_requests=1, metrics=Metrics(), is_signed_in=lambda _: False, body_idle_s=0.01
    )
    sent: list[Message] = []

    async def receive() -> Message:
        if not parts:
            await asyncio.Event().wait()
        return parts.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    given = {"content-type": "application/json", "transfer-encoding": "chunked", **(headers or {})}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    asyncio.run(guarded(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return int(sent[0]["status"]), json.loads(body)


@pytest.mark.parametrize("path", ["/take", "/api/lando/v1/files"])
def test_a_body_whose_rest_does_not_come_is_not_waited_for_for_ever(path: str) -> None:
    status, answer = exchange([{"type": "http.request", "body": b"{", "more_body": True}], path=path)
    assert status == 408
    assert "did not come" in answer["detail"]


def test_a_body_that_grows_too_large_without_saying_so_is_413() -> None:
    part: Message = {"type": "http.request", "body": b"x" * 60, "more_body": True}
    assert exchange([part, dict(part)])[0] == 413


def test_a_body_of_the_right_size_is_taken() -> None:
    assert exchange([{"type": "http.request", "body": b"x" * 100}]) == (200, 100)


@pytest.mark.parametrize(
    ("length", "status"), [("9" * 5000, 400), ("9" * 17, 413), ("-1", 400), ("x", 400), ("²", 400)]
)
def test_a_content_length_that_makes_no_sense_is_refused(length: str, status: int) -> None:
    assert exchange([], headers={"content-length": length})[0] == status


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Token " + "0" * 40}, {"Authorization": "JWT a.b.c"}, {"Cookie": "sessionid=x"}]
)
def test_whoever_is_not_signed_in_may_send_a_small_body_only(
    api: Api, headers: dict[str, str], is_chunked: bool
) -> None:
    def send(size: int, **more: str) -> Any:
        parts = [b'{"name": "', *[b"x" * 1024] * (size // 1024), b'"}']
        content: Any = iter(parts) if is_chunked else b"".join(parts)
        given = {**JSON, **headers, **more}
        return api.client.post("/api/v2/job-templates/init", content=content, headers=given)

    assert send(32 * 1024).status_code == 401
    refused = send(128 * 1024)
    assert (refused.status_code, refused.json()) == (
        413,
        {"detail": "Without a sign-in a body may have at most 65536 bytes."},
    )
    assert send(128 * 1024, **api.as_user("ada")).status_code == 400, "read, and looked at"
