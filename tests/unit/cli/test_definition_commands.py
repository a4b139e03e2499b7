"""``lando definitions`` and ``lando run``: what is sent, what is shown, how it ends."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lando.cli import completing
from lando.cli.definition_arguments import read_arguments
from lando.client import connection
from lando.client import definitions as client_definitions
from lando.errors import InputError

DEFINITIONS = "GET /k8s-jobs/definitions"
MAKE = "POST /k8s-jobs/jobs"
JOB = "GET /k8s-jobs/jobs/greet-1"
GREET = {
    "arguments": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "times": {"type": "integer", "default": 1}},
        "required": ["name"],
    }
}


def job(state: str, **more: Any) -> dict[str, Any]:
    return {"job_name": "greet-1", "state": state, "cause": None, "kept": None, **more}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_definitions, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(connection, "RETRY_S", 0.0)


@pytest.fixture(autouse=True)
def prepared(api: Any) -> None:
    api.on(DEFINITIONS, {"definitions": {"greet": GREET, "lost": {"arguments": None, "error": "no such file"}}})
    api.on("GET /k8s-jobs/healthcheck", {"healthy": True, "problems": ["d.yaml:3: this is no YAML"]})
    api.on(MAKE, {"job_name": "greet-1"})


def test_definitions_are_listed_with_their_arguments(lando: Any) -> None:
    outcome = lando("definitions")
    assert outcome.out.splitlines() == [
        "greet  name*:string times:integer=1",
        "lost   can't be used: no such file",
    ]
    assert outcome.err == "warning  d.yaml:3: this is no YAML\n"


def test_arguments_are_sent_as_the_types_that_are_declared(api: Any, lando: Any) -> None:
    outcome = lando("run", "greet", "name=7", "times=2", "more:=[1, null]")

    assert (outcome.code, outcome.out) == (0, "greet-1\n")
    sent = {"job_definition_name": "greet", "name": "7", "times": 2, "more": [1, None]}
    assert api.bodies(MAKE) == [sent]


@pytest.mark.parametrize("wrong", ["name", "=x", ":=1", "name:=x", "name=a=b name=c"])
def test_what_is_no_argument_is_one_sentence(lando: Any, api: Any, wrong: str) -> None:
    outcome = lando("run", "greet", *wrong.split())

    assert (outcome.code, len(outcome.err.splitlines())) == (1, 1)
    assert api.bodies(MAKE) == []


def test_a_value_that_does_not_fit_is_left_to_the_server() -> None:
    assert read_arguments(["times=two"], GREET) == {"times": "two"}
    with pytest.raises(InputError, match="twice"):
        read_arguments(["a=1", "a:=2"], {})


def test_values_come_from_files_as_they_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text("a\nb\n")
    (tmp_path / "list.json").write_text("[1, null]\n")
    (tmp_path / "number").write_text("3\n")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=BytesIO(b"from there")))
    monkeypatch.chdir(tmp_path)

    given = ["name=@text", "more:=@list.json", "times=@number", "handle=@@ada", "mail=a@b", "said=@-"]

    assert read_arguments(given, GREET) == {
        "name": "a\nb\n",
        "more": [1, None],
        "times": 3,
        "handle": "@ada",
        "mail": "a@b",
        "said": "from there",
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("name=@nowhere", "write @@ for a value that begins with @"),
        ("name=@", "write @@ for"),
        ("name=@bytes", "no text in UTF-8"),
        ("name=@large", "more than 1048576 bytes"),
        ("more:=@bad", "what bad says is no JSON"),
        ("name=@a\0b", "can't be read"),
    ],
)
def test_a_file_that_can_t_be_an_argument_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"x" * (1024 * 1024 + 1))
    (tmp_path / "bad").write_text("{")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InputError, match=said):
        read_arguments([given], GREET)


def test_a_definition_that_is_not_there_is_told_with_the_one_that_was_meant(api: Any, lando: Any) -> None:
    api.on(MAKE, (404, {"error": "NotFound", "message": "there is no definition 'gret'"}))

    assert lando("run", "gret").err == "lando: There is no definition 'gret'; did you mean 'greet'?\n"
    assert lando("run", "xyz").err == "lando: there is no definition 'gret'\n"


def test_a_dry_run_makes_nothing(api: Any, lando: Any) -> None:
    outcome = lando("run", "greet", "name=Ada", "--dry-run")

    assert (outcome.code, outcome.out) == (0, "The cluster takes it; nothing was made.\n")
    assert [query for route, query, _ in api.asked if route == MAKE] == ["dry_run=true"]
    assert lando("run", "greet", "name=Ada", "--dry-run", "--wait").code == 1
    assert len(api.bodies(MAKE)) == 1


def test_the_shell_completes_names_and_does_without_a_server(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    api.on("GET /k8s-jobs/jobs", {"jobs": {"greet-1": {}, "other": {}}, "continue": None})
    context: Any = SimpleNamespace(params={"url": api.url, "token": "good"})

    assert completing.definitions(context, "gr") == ["greet"]
    assert completing.jobs(context, "gr") == ["greet-1"]
    api.answers.clear()
    assert completing.definitions(context, "gr") == completing.jobs(context, "gr") == []


def test_a_refusal_is_told_in_the_server_s_words(api: Any, lando: Any) -> None:
    api.on(MAKE, (400, {"error": "MissingArgument", "message": "arguments are missing: name", "missing": ["name"]}))

    outcome = lando("run", "greet")

    assert (outcome.code, outcome.out, outcome.err) == (1, "", "lando: arguments are missing: name\n")


def test_a_job_that_failed_says_why_and_ends_with_2(api: Any, lando: Any) -> None:
    away = (503, {"error": "ClusterUnavailable", "message": "away"})
    cause = {"sentence": "It exited with 3.", "advice": "Look there.", "log_tail": "a\nb\n"}
    api.on(JOB, job("Running"), away, job("Failed", cause=cause))

    outcome = lando("run", "greet", "name=Ada", "--wait")

    assert (outcome.code, outcome.out) == (2, "greet-1\n")
    assert outcome.err.splitlines() == ["Failed: It exited with 3.", "Look there.", "  a", "  b"]


def entries(*entries: dict[str, Any]) -> str:
    """A followed log as the server sends it, with a sign of life."""
    return "\n" + "".join(json.dumps(entry) + "\n" for entry in entries)


def line(text: str, second: int, pod: str = "greet-1-x", container: str = "greet") -> dict[str, Any]:
    return {"pod": pod, "container": container, "time": f"2026-01-01T00:00:{second:02}Z", "line": text}


def test_what_a_job_says_is_followed_and_is_all_of_the_output(api: Any, lando: Any) -> None:
    told = [{"waits": "There is no room."}, {"pod": "greet-1-x", "containers": ["greet"]}, line("Hello", 1)]
    api.on(f"{JOB}/logs", entries(*told, line("Ada \u20ac", 2), {"state": "Complete"}))
    api.on(JOB, job("Complete"))

    outcome = lando("run", "greet", "name=Ada", "--follow")

    assert (outcome.code, outcome.out) == (0, "Hello\nAda \u20ac\n")
    assert outcome.err.splitlines() == ["greet-1", "waits for: There is no room.", "Complete"]


def test_a_followed_log_that_breaks_off_is_asked_for_anew_and_nothing_is_told_twice(
    api: Any, lando: Any, cut: Any
) -> None:
    api.on(
        f"{JOB}/logs",
        (503, {"error": "Busy", "message": "busy"}),
        cut(entries(line("a", 1), line("b", 2)) + '{"pod": "gre'),
        entries(line("a", 1), line("b", 2)),  # the server ended
        entries(line("a", 1), line("b", 2), line("c", 3), {"state": "Failed"}),
    )

    outcome = lando("definitions", "logs", "greet-1", "--follow")

    assert (outcome.code, outcome.out, outcome.err) == (0, "a\nb\nc\n", "")
    assert {query for _, query, _ in api.asked} == {"follow=true&all=true"}


def test_lines_of_several_sources_begin_with_theirs(api: Any, lando: Any) -> None:
    told = [
        {"pod": "greet-1-x", "containers": ["setup", "greet"]},
        line("ready", 1, container="setup"),
        line("Hello", 2),
        {"pod": "greet-1-y", "containers": ["greet"]},
        line("Hello", 3, pod="greet-1-y"),
        {"pod": "greet-1-y", "container": "setup", "lost": "the node is gone"},
        {"state": "Complete"},
    ]
    api.on(f"{JOB}/logs", entries(*told))

    outcome = lando("definitions", "logs", "greet-1", "--follow", "--pod", "x", "-c", "greet")

    assert outcome.out == "x/setup | ready\nx/greet | Hello\ny/greet | Hello\n"
    assert outcome.err == "The log of greet-1-y/setup can't be had: the node is gone\n"
    assert api.asked[0][1] == "follow=true&all=true&pod=x&container=greet"
    shown = lando("definitions", "logs", "greet-1", "--follow", "--json").out
    assert [json.loads(one) for one in shown.splitlines()] == told


def test_a_pod_or_container_that_is_none_of_the_job_s_is_told(api: Any, lando: Any) -> None:
    api.on(f"{JOB}/logs", entries({"pod": "greet-1-x", "containers": []}))

    outcome = lando("definitions", "logs", "greet-1", "--follow", "-c", "nope")

    assert (outcome.code, outcome.err) == (2, "lando: The pod greet-1-x has no container 'nope'.\n")
    api.on(f"{JOB}/logs", entries({"state": "Complete"}))
    outcome = lando("definitions", "logs", "greet-1", "--follow", "--pod", "z")
    assert (outcome.code, outcome.err) == (2, "lando: The Job greet-1 had no pod 'z'.\n")


def test_a_server_that_can_t_follow_all_is_told_as_such(api: Any, lando: Any) -> None:
    api.on(f"{JOB}/logs", "Hello\n")

    outcome = lando("definitions", "logs", "greet-1", "--follow")

    assert (outcome.code, "is it older" in outcome.err) == (2, True)


def test_a_job_that_is_deleted_while_it_is_followed_has_failed(api: Any, lando: Any) -> None:
    api.on(f"{JOB}/logs", entries(line("a", 1), {"state": None}))

    outcome = lando("run", "greet", "name=Ada", "--follow")

    assert (outcome.code, outcome.out) == (2, "a\n")
    assert outcome.err.splitlines()[1:] == ["lando: The Job greet-1 was deleted before it had ended."]


def test_programs_get_one_document(api: Any, lando: Any) -> None:
    api.on(JOB, job("Complete"))

    assert json.loads(lando("run", "greet", "name=Ada", "--json").out) == {"job_name": "greet-1"}
    assert json.loads(lando("run", "greet", "name=Ada", "--wait", "--json").out)["state"] == "Complete"


def test_wrong_usage_ends_with_1_since_2_is_a_job_that_failed(lando: Any) -> None:
    assert lando("run").code == 1


def test_waiting_is_left_to_the_server_and_said_for_what(api: Any, lando: Any) -> None:
    waits = job("Running", cause={"sentence": "There is no room."})
    api.on(JOB, waits, waits, job("Complete"))

    outcome = lando("run", "greet", "name=Ada", "--wait")

    assert (outcome.code, outcome.out) == (0, "greet-1\nComplete\n")
    assert outcome.err == "waits for: There is no room.\n"
    assert [query for route, query, _ in api.asked if route == JOB] == ["", "wait_s=12.0", "wait_s=12.0"]


def test_a_server_that_does_not_wait_is_asked_less_and_less_often(
    api: Any, lando: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(client_definitions, "PAUSES_S", (0.2, 0.5))
    monkeypatch.setattr(client_definitions, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=pauses.append))
    api.on(JOB, *[job("Running")] * 6, job("Complete"))

    assert lando("run", "greet", "name=Ada", "--wait").code == 0
    assert pauses == pytest.approx([0.2, 0.3, 0.45, 0.5, 0.5])


def test_a_job_that_somebody_deletes_is_not_waited_for(api: Any, lando: Any) -> None:
    api.on(JOB, job("Running"), (404, {"error": "NotFound", "message": "no"}))

    outcome = lando("run", "greet", "name=Ada", "--wait")

    assert (outcome.code, outcome.err) == (2, "lando: The Job greet-1 was deleted before it had ended.\n")
    api.on(JOB, job("Running", kept="2026-03-04T15:06:07+00:00"))
    assert lando("run", "greet", "name=Ada", "--wait").code == 2


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(
    api: Any, lando: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(client_definitions.Definitions, "await_job", interrupted)

    outcome = lando("run", "greet", "name=Ada", "--wait")

    assert outcome.code == 130
    assert "lando definitions logs greet-1 --follow" in outcome.err


def test_a_server_that_is_not_known_is_a_refusal(lando: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LANDO_HOME", str(tmp_path))
    monkeypatch.delenv("LANDO_URL", raising=False)

    assert lando("run", "greet", "name=Ada").code == 1


def test_a_token_that_ends_meanwhile_does_not_say_that_the_job_failed(api: Any, lando: Any) -> None:
    api.on(JOB, (401, {"detail": "no"}))

    outcome = lando("run", "greet", "name=Ada", "--wait")

    assert outcome.code == 3
    first, second = outcome.err.splitlines()
    assert first.startswith("How the Job goes on is not known; follow it with: lando definitions logs greet-1")
    assert "does not accept the token" in second
