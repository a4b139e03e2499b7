"""The source against a small HTTP server that answers as the original's admin API does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from lando.bespin import letters
from lando.config import BespinApiSettings, LandoApiSettings
from lando.config.secrets import FileSecret
from lando.errors import Conflict, NotFound, Rejected, Unavailable, UnknownRun
from lando.runs import Attempt, AttemptState, Category, Cause, RunState, StepState
from lando.sources import bespin
from lando.sources.bespin import BespinSource

TOKEN = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Api:
    """Canned answers by method and path; what was asked."""

    answers: dict[str, tuple[int, Any, dict[str, str]]] = field(default_factory=dict)
    asked: list[tuple[str, Any, dict[str, str]]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)
    url: str = ""
    only_token: str | None = None
    """Every other one is refused."""

    def answer(self, request: str, document: Any, status: int = 200, **headers: str) -> None:
        self.answers[request] = (status, document, headers)


def job(**changes: Any) -> dict[str, Any]:
    return {
        "id": 42,
        "workflow_version": None,
        "user": {"id": 11, "username": "ada@example.org"},
        "name": "batch 17",
        "created": "2026-03-04T15:06:07.123456Z",
        "state": "R",
        "step": "S",
        "last_updated": "2026-03-04T15:08:00.000123Z",
        "job_settings": None,
        "job_flavor": None,
        "job_order": "{}",
        "output_project": {"id": 19, "job": 42, "project_id": "", "readme_file_id": ""},
        "stage_group": 23,
        "volume_size": 107,
        "share_group": 6,
        **changes,
    }


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a body does not wait until its head is acknowledged

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = f"{self.command} {self.path}"
            api.connections.add(self.client_address)
            api.asked.append((request, json.loads(body) if body else None, dict(self.headers)))
            status, document, headers = api.answers.get(request, (404, {"detail": "Not found."}, {}))
            if api.only_token and self.headers["Authorization"] != f"Token {api.only_token}":
                status, document, headers = 401, {"detail": "Invalid token."}, {}
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield api
    server.shutdown()
    server.server_close()


@pytest.fixture
def source(api: Api) -> Iterator[BespinSource]:
    source = BespinSource(
        BespinApiSettings(url=f"{api.url}/api/v2", token=TOKEN),
        LandoApiSettings(url=f"{api.url}/api/lando/v1", token=TOKEN),
    )
    yield source
    source.close()


JOB = "/api/v2/admin/jobs/42/"
ATTEMPTS = "PUT /api/lando/v1/runs/42/attempts"


def test_a_job_becomes_a_run(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", job(generation=3), ETag='"7"')
    run = source.get(42)
    assert (run.id, run.kind, run.owner, run.state) == (42, "cwl", "ada@example.org", RunState.RUNNING)
    assert (run.generation, run.version) == (3, '"7"')
    assert run.steps["create_volume"] is StepState.COMPLETE
    assert run.steps["stage_data"] is StepState.RUNNING
    assert run.steps["run_workflow"] is StepState.PENDING
    assert api.asked[0][2]["Authorization"] == f"Token {TOKEN}"


def test_an_unknown_job_is_an_unknown_run(source: BespinSource) -> None:
    with pytest.raises(UnknownRun, match="no job 42"):
        source.get(42)


def test_only_letters_that_differ_are_written_and_the_answer_is_taken_as_it_is(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", job())
    api.answer(f"PUT {JOB}", job(step="R"))
    run = source.get(42)
    written, notice = source.write(run, state=RunState.RUNNING, steps=letters.steps_of(RunState.RUNNING, "R"))
    assert [entry[:2] for entry in api.asked[1:]] == [(f"PUT {JOB}", {"step": "R"})]
    assert written.steps["run_workflow"] is StepState.RUNNING
    assert notice == b'{"job": 42, "state": "R", "step": "R"}'
    assert source.write(written, state=RunState.RUNNING) == (written, None)
    assert len(api.asked) == 2


def test_a_finish_is_one_write_with_one_notice(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", job(step="P"))
    api.answer(f"PUT {JOB}", job(state="F", step=""))
    run = source.get(42)
    _, notice = source.write(run, state=RunState.FINISHED, steps=letters.steps_of(RunState.FINISHED, ""))
    assert api.asked[-1][1] == {"state": "F", "step": ""}
    assert notice == b'{"job": 42, "state": "F", "step": ""}'


@pytest.mark.parametrize("etag", [None, '"7"'])
def test_a_write_is_guarded_only_where_the_api_gave_a_version(api: Api, source: BespinSource, etag: str | None) -> None:
    headers = {"ETag": etag} if etag else {}
    api.answer(f"GET {JOB}", job(), 200, **headers)
    api.answer(f"PUT {JOB}", job(state="E"))
    source.write(source.get(42), state=RunState.ERROR)
    assert api.asked[-1][2].get("If-Match") == etag


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Rejected),
        (401, Unavailable),
        (403, Unavailable),
        (404, UnknownRun),
        (405, Rejected),
        (412, Conflict),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_every_status_has_its_error(api: Api, source: BespinSource, status: int, error: type[Exception]) -> None:
    api.answer(f"GET {JOB}", job())
    api.answer(f"PUT {JOB}", {"detail": "no"}, status)
    with pytest.raises(error):
        source.write(source.get(42), state=RunState.ERROR)


def test_an_api_that_is_not_there_or_answers_no_json_is_unavailable(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", b"<html>")
    with pytest.raises(Unavailable, match="no JSON"):
        source.get(42)
    nobody = BespinSource(BespinApiSettings(url="http://127.0.0.1:9/api/v2", token=TOKEN))
    with pytest.raises(Unavailable) as caught:
        nobody.get(42)
    assert str(caught.value) == "Bespin API: no answer to GET jobs/42/ from 127.0.0.1:9: Connection refused"


def test_a_wait_that_the_api_asks_for_is_passed_on(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", {}, 429, **{"Retry-After": "7"})
    with pytest.raises(Unavailable) as caught:
        source.get(42)
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "it is no object"),
        ({"id": 42}, "user is missing"),
        (job(user=None), "user is no object"),
        (job(volume_size="107"), "volume_size is no int"),
        (job(job_settings={"job_runtime_k8s": {"steps": [{"step_type": "x"}]}}), r"steps\[0\]\.image_name is missing"),
        (job(state="Q"), "unknown state 'Q'"),
    ],
)
def test_a_document_that_is_no_job_is_refused_in_words(
    api: Api, source: BespinSource, document: Any, named: str
) -> None:
    api.answer(f"GET {JOB}", document)
    with pytest.raises(Rejected, match=named):
        source.get(42)


def cause(sentence: str) -> Cause:
    return Cause(category=Category.USER, sentence=sentence)


def test_the_category_of_an_error_goes_to_the_api_that_counts_generations(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", job(generation=3))
    api.answer("POST /api/v2/admin/job-errors/", {"id": 3}, 201)
    said = {"job": "42", "job_step": "R", "content": "It exited with 3.", "category": "user", "generation": 3}
    for again in (False, True):  # which it keeps once
        source.report_error(source.get(42), "run_workflow", cause("It exited with 3."), again=again)
        assert api.asked[-1][:2] == ("POST /api/v2/admin/job-errors/", said)


def test_an_error_is_recorded_with_a_step_and_a_text_even_if_there_is_none(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", job())
    api.answer("POST /api/v2/admin/job-errors/", {"id": 3}, 201)
    run = source.get(42)
    source.report_error(run, None, cause(" \0 "))
    source.report_error(run, "run_workflow", cause("  "))
    bodies = [body for request, body, _ in api.asked if request.startswith("POST")]
    assert bodies[0] == {"job": "42", "job_step": "V", "content": "\N{REPLACEMENT CHARACTER}"}
    assert bodies[1] == {"job": "42", "job_step": "R", "content": "No cause is known."}


def test_an_error_that_may_have_been_recorded_is_not_recorded_twice(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", job())
    api.answer("GET /api/v2/admin/job-errors/?job=42", [{"id": 3, "job_step": "S", "content": "boom"}])
    api.answer("POST /api/v2/admin/job-errors/", {"id": 4}, 201)
    run = source.get(42)
    source.report_error(run, "stage_data", cause("boom"), again=True)
    assert not any(request.startswith("POST") for request, _, _ in api.asked)
    source.report_error(run, "stage_data", cause("another"), again=True)
    assert any(request.startswith("POST") for request, _, _ in api.asked)


def test_the_same_error_of_an_earlier_attempt_is_another_one(api: Api, source: BespinSource) -> None:
    ended, before, after = (f"2026-03-04T15:08:00.{part}Z" for part in ("500000", "400000", "600000"))
    known = {"id": 3, "job_step": "R", "content": "boom"}
    api.answer(f"GET {JOB}", job(state="E", step="R", last_updated=ended))
    api.answer("POST /api/v2/admin/job-errors/", {"id": 4}, 201)
    run = source.get(42)
    api.answer("GET /api/v2/admin/job-errors/?job=42", [{**known, "created": before}, {**known, "created": after}])
    source.report_error(run, "run_workflow", cause("boom"), again=True)
    assert not any(request.startswith("POST") for request, _, _ in api.asked)
    api.answer("GET /api/v2/admin/job-errors/?job=42", [{**known, "created": before}])
    source.report_error(run, "run_workflow", cause("boom"), again=True)
    assert any(request.startswith("POST") for request, _, _ in api.asked)


def test_output_ids_are_written_once(api: Api, source: BespinSource) -> None:
    project = "/api/v2/admin/job-dds-output-projects/19/"
    api.answer(f"GET {JOB}", job())
    api.answer(f"PUT {project}", {"id": 19})
    ids = {"project_id": "p", "readme_file_id": "r"}
    source.store_output(source.get(42), ids)
    assert api.asked[-1][1] == {"id": 19, "job": "42", **ids}
    api.answer(f"GET {JOB}", job(output_project={"id": 19, **ids}))
    known = source.get(42)
    asked = len(api.asked)
    source.store_output(known, ids)
    assert len(api.asked) == asked


LIST = "GET /api/v2/admin/jobs/"
UNFINISHED = f"{LIST}?state=S&state=R&state=r&state=c&after=0&limit=500"


def test_the_original_is_asked_for_its_whole_list_once_because_it_has_no_filters(
    api: Api, source: BespinSource
) -> None:
    jobs = [job(id=number, state=state, step="") for number, state in enumerate("NASRFEcCrD")]
    api.answer(UNFINISHED, [*jobs, {"state": "R"}])
    runs = source.survey([5, 7, 99])
    assert {run_id: letters.STATES[run.state] for run_id, run in runs.items()} == {
        2: "S",
        3: "R",
        5: "E",
        6: "c",
        7: "C",
        8: "r",
    }
    assert len(api.asked) == 1


def test_an_api_with_filters_is_asked_for_the_rest_by_their_ids_a_hundred_at_a_time(
    api: Api, source: BespinSource
) -> None:
    settings = {"job_runtime_k8s": None, "lando_connection": 3}
    api.answer(UNFINISHED, [job(id=1, generation=4, job_settings=settings)])
    kept = range(2, 152)
    for ids in (kept[:100], kept[100:]):
        query = "&".join(f"id={run_id}" for run_id in ids)
        api.answer(f"{LIST}?{query}", [job(id=run_id, state="E", step="R") for run_id in ids if run_id != 7])
    runs = source.survey([1, *kept])
    assert set(kept) - runs.keys() == {7}
    assert (runs[1].state, runs[1].generation, runs[1].connection) == (RunState.RUNNING, 4, 3)
    assert runs[2].steps["run_workflow"] is StepState.FAILED
    assert runs[2].changed is not None
    assert len(api.asked) == 3


@pytest.mark.parametrize("pages", [True, False], ids=["an API of ours", "the original"])
def test_a_long_list_is_read_page_by_page_where_there_are_pages(
    api: Api, source: BespinSource, monkeypatch: pytest.MonkeyPatch, pages: bool
) -> None:
    monkeypatch.setattr(bespin, "JOBS_PER_PAGE", 2)
    jobs = [job(id=number) for number in (3, 8, 9, 12)]
    for after in (0, 8, 12):
        first = [one for one in jobs if one["id"] > after][:2]
        api.answer(UNFINISHED.replace("after=0&limit=500", f"after={after}&limit=2"), first if pages else jobs)
    assert source.survey([]).keys() == {3, 8, 9, 12}
    assert len(api.asked) == (3 if pages else 1)


def test_the_original_with_as_many_jobs_as_a_page_has_is_not_asked_for_ever(
    api: Api, source: BespinSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bespin, "JOBS_PER_PAGE", 2)
    for after in (0, 8):
        path = UNFINISHED.replace("after=0&limit=500", f"after={after}&limit=2")
        api.answer(path, [job(id=8), job(id=3)])
    assert source.survey([]).keys() == {3, 8}
    assert len(api.asked) == 2


def test_an_api_that_can_not_list_its_jobs_is_asked_for_those_with_objects(api: Api, source: BespinSource) -> None:
    api.answer(UNFINISHED, {"detail": "time-out"}, 502)
    api.answer("GET /api/v2/admin/job-errors/?job=0", [])
    api.answer(f"GET {JOB}", job(state="E"))
    for _ in range(2):
        assert {run_id: run.state for run_id, run in source.survey([42, 43]).items()} == {42: RunState.ERROR}
    assert [request for request, _, _ in api.asked].count(UNFINISHED) == 1, "not again before long"


def test_an_api_that_is_away_is_not_taken_for_one_with_too_many_jobs(api: Api, source: BespinSource) -> None:
    api.answer("GET /api/v2/admin/job-errors/?job=0", {"detail": "away"}, 503)
    api.answer(UNFINISHED, {"detail": "away"}, 503)
    with pytest.raises(Unavailable):
        source.survey([42])
    api.answer(UNFINISHED, [])
    assert source.survey([]) == {}


@pytest.mark.parametrize("answer", [b'{"detail": "no list"}', b'[{"state": "R"}, ', b"\xff", b""])
def test_a_list_that_is_none_or_breaks_off_is_no_answer(api: Api, source: BespinSource, answer: bytes) -> None:
    api.answer(UNFINISHED, answer)
    api.answer("GET /api/v2/admin/job-errors/?job=0", {"detail": "away"}, 503)
    with pytest.raises(Unavailable):
        source.survey([])


def test_inputs_are_read_from_their_routes_and_null_is_none(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", job())
    api.answer(
        "GET /api/v2/admin/job-file-stage-groups/23",
        {"id": 23, "dds_files": [], "url_files": [{"url": "u", "destination_path": "d", "size": 1, "sequence": None}]},
    )
    run = source.get(42)
    assert source.inputs(run, "stage_group").url_files[0].destination_path == "d"
    assert source.inputs(run, "methods_document") is None
    with pytest.raises(NotFound):
        source.inputs(run, "share_group")


def test_conditions_and_warnings_go_to_our_own_api(api: Api, source: BespinSource) -> None:
    route = "PUT /api/lando/v1/runs/42/condition"
    api.answer(f"GET {JOB}", job())
    api.answer(route, {})
    run = source.get(42)
    source.set_condition(run, "stage_data", "Waiting.")
    source.warn(run, "run_workflow", ["without its image"])
    assert [body for request, body, _ in api.asked if request == route] == [
        {"step": "stage_data", "sentence": "Waiting."},
        {"step": "run_workflow", "sentence": None, "warnings": ["without its image"]},
    ]


def test_without_our_own_api_conditions_are_only_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.answer(f"GET {JOB}", job())
    source = BespinSource(BespinApiSettings(url=f"{api.url}/api/v2", token=TOKEN))
    run = source.get(42)
    with caplog.at_level("INFO"):
        source.set_condition(run, "stage_data", "Waiting.")
        source.set_condition(run, "stage_data", None)
        source.warn(run, "stage_data", ["Old."])
    assert [record.getMessage() for record in caplog.records if record.name.startswith("lando")] == [
        "Run 42: step stage_data waits: Waiting.",
        "Run 42: step stage_data waits no longer",
        "Run 42: step stage_data warns: Old.",
    ]
    assert len(api.asked) == 1
    source.close()


def test_threads_that_come_and_go_share_warm_connections_and_take_no_cookies(api: Api, source: BespinSource) -> None:
    api.answers[f"GET {JOB}"] = (200, job(), {"Set-Cookie": "sessionid=abc; Path=/"})
    for _ in range(5):
        thread = threading.Thread(target=source.get, args=(42,))
        thread.start()
        thread.join(10)
    assert (len(api.asked), len(api.connections)) == (5, 1)
    assert all("Cookie" not in headers for _, _, headers in api.asked)


def test_a_token_that_was_rotated_in_its_file_is_read_again_when_it_is_refused(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    source = BespinSource(BespinApiSettings(url=f"{api.url}/api/v2", token=FileSecret(TOKEN, str(file))))
    api.answer(f"GET {JOB}", {"detail": "Invalid token."}, 401)
    with pytest.raises(Unavailable) as caught:
        source.get(42)
    assert caught.value.status == 401
    assert len(api.asked) == 1, "the same token is not shown twice"

    file.write_text("f" * 40)
    api.only_token = "f" * 40
    api.answer(f"GET {JOB}", job())
    assert source.get(42).id == 42
    assert [asked[2]["Authorization"] for asked in api.asked[1:]] == [f"Token {TOKEN}", f"Token {'f' * 40}"]
    source.close()


def attempt(number: int, state: AttemptState, cause: Cause | None = None) -> Attempt:
    return Attempt(
        step="stage_data",
        number=number,
        job="stage-data-42-ada",
        uid=f"uid-{number}",
        state=state,
        began=datetime(2026, 3, 4, 15, 6, 7, tzinfo=UTC),
        cause=cause,
    )


def test_attempts_go_to_our_own_api_with_their_cause(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", job())
    api.answer(ATTEMPTS, {})
    lost = Cause(category=Category.INFRASTRUCTURE, sentence="The pod was evicted.", exit_code=137)
    source.tell_attempts(source.get(42), [attempt(1, AttemptState.FAILED, lost)])
    assert [body for request, body, _ in api.asked if request == ATTEMPTS] == [
        {
            "attempts": [
                {
                    "step": "stage_data",
                    "attempt": 1,
                    "job": "stage-data-42-ada",
                    "uid": "uid-1",
                    "state": "Failed",
                    "began": "2026-03-04T15:06:07+00:00",
                    "ended": None,
                    "category": "infrastructure",
                    "sentence": "The pod was evicted.",
                    "exit_code": 137,
                    "volume": None,
                }
            ]
        }
    ]


def told_attempts(api: Api) -> list[list[tuple[int, str]]]:
    bodies = [body for request, body, _ in api.asked if request == ATTEMPTS]
    return [[(one["attempt"], one["state"]) for one in body["attempts"]] for body in bodies]


def test_attempts_that_could_not_be_told_go_with_the_next_telling_of_any_run(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", job())
    api.answer(f"GET {JOB.replace('42', '43')}", job(id=43))
    api.answer(ATTEMPTS, {}, status=503)
    run, other = source.get(42), source.get(43)
    for state in (AttemptState.RUNNING, AttemptState.COMPLETE):
        with pytest.raises(Unavailable):
            source.tell_attempts(run, [attempt(1, state)])
    api.asked.clear()
    api.answer(ATTEMPTS, {})
    api.answer(ATTEMPTS.replace("42", "43"), {})
    source.tell_attempts(other, [attempt(2, AttemptState.RUNNING)])
    assert told_attempts(api) == [[(1, "Complete")]]
    source.tell_attempts(run, [])
    assert len(told_attempts(api)) == 1, "what was told is not told again"


def test_attempts_that_the_api_refuses_are_not_told_again(api: Api, source: BespinSource) -> None:
    api.answer(f"GET {JOB}", job())
    api.answer(ATTEMPTS, {}, status=400)
    run = source.get(42)
    with pytest.raises(Rejected):
        source.tell_attempts(run, [attempt(1, AttemptState.RUNNING)])
    source.tell_attempts(run, [])
    assert len(told_attempts(api)) == 1
