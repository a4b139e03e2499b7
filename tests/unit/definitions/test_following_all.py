"""All containers of a Job followed at once: as they come, whole, to the Job's end."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from kubernetes.client.exceptions import ApiException
from lando.definitions import JobManager, JobSigner, NotFoundException, StaticJobDefinitionsRegister, pod_logs
from lando.definitions.documents import KEPT
from lando.definitions.http import following
from lando.definitions.http.following import JobFollowing
from lando.definitions.server import create_app
from lando.errors import Unavailable
from lando.runs import Category, Cause
from tests.unit.definitions.conftest import job, models

LIMIT_S = 30.0
RUNNING = models.V1ContainerState(running=models.V1ContainerStateRunning())
ENDED = models.V1ContainerState(terminated=models.V1ContainerStateTerminated(exit_code=0))
WAITING = models.V1ContainerState(waiting=models.V1ContainerStateWaiting(reason="ContainerCreating"))


def pod(name: str, **states: Any) -> Any:
    """With a container, or ``setup``, an init container, in each of these states; restarted where that is a pair."""

    def status(container: str) -> Any:
        state, restarts = states[container] if isinstance(states[container], tuple) else (states[container], 0)
        return models.V1ContainerStatus(
            name=container, image="i", image_id="i", ready=False, restart_count=restarts, state=state
        )

    inits = [one for one in states if one == "setup"]
    mains = [one for one in states if one != "setup"]
    return models.V1Pod(
        metadata=models.V1ObjectMeta(name=name, uid=f"uid-{name}", labels={"job-name": "one"}),
        spec=models.V1PodSpec(
            init_containers=[models.V1Container(name=one) for one in inits],
            containers=[models.V1Container(name=one) for one in mains],
        ),
        status=models.V1PodStatus(
            init_container_statuses=[status(one) for one in inits], container_statuses=[status(one) for one in mains]
        ),
    )


class ScriptedManager(JobManager):
    """One Job, at each look as the next of ``looks`` has it; the last one stays."""

    def __init__(self, *looks: tuple[Any, list[Any]]) -> None:
        super().__init__("batch", JobSigner("ours"), StaticJobDefinitionsRegister())
        self._looks = itertools.chain(looks, itertools.repeat(looks[-1]))
        self._pods: list[Any] = []
        self.connection = SimpleNamespace(core=lambda: _Nothing())  # type: ignore[assignment]
        self.cause: Cause | None = None
        self.kept: dict[str, dict[str, list[str]]] = {}

    def read_job(self, job_name: str) -> Any:
        found, self._pods = next(self._looks)
        if found is None:
            raise NotFoundException("gone")
        return found

    def pods_of(self, core: Any, job_name: str, uid: str | None = None) -> list[Any]:
        return self._pods

    def job_cause(self, job: Any) -> Cause | None:
        return self.cause

    def job_logs(self, job_name: Any, limit: int | None = 200) -> Any:
        return self.kept


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class Logs:
    """What containers write, by pod and container: at each time that it is asked for the next of these."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[Any]] = {}
        self.closed = threading.Event()

    def on(self, pod: str, container: str, *answers: Any) -> None:
        self.answers[pod, container] = list(answers)

    def open(self, connection: Any, pod: Any, container: str, *, timestamps: bool) -> Any:
        assert timestamps
        prepared = self.answers[pod.metadata.name, container]
        answer = prepared.pop(0) if len(prepared) > 1 else prepared[0]
        if isinstance(answer, Exception):
            raise answer
        lines = iter(answer)
        return SimpleNamespace(next_line=lambda: _next(lines), close=self.closed.set)


def _next(lines: Iterator[Any]) -> bytes | None:
    line = next(lines, None)
    if isinstance(line, Exception):
        raise line
    return line


def timed(*texts: str, first: int = 1) -> list[Any]:
    return [f"2026-01-01T00:00:{second:02}Z {text}".encode() for second, text in enumerate(texts, first)]


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    logs = Logs()
    monkeypatch.setattr(pod_logs, "Following", logs.open)
    monkeypatch.setattr(following, "LOOK_S", (0.001, 0.001))
    monkeypatch.setattr(following, "CAUSE_S", 0.0)
    return logs


def followed(manager: JobManager, **picked: str) -> list[dict[str, Any]]:
    """All entries; the end of the stream is waited for."""
    stream = JobFollowing(manager, job("one"), **picked)
    pieces: list[bytes] = []
    reading = threading.Thread(target=lambda: pieces.extend(iter(stream.read, b"")), daemon=True)
    reading.start()
    reading.join(LIMIT_S)
    assert not reading.is_alive()
    return [json.loads(line) for line in b"".join(pieces).split(b"\n") if line]


def lines_of(entries: list[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in entries:
        if "line" in entry:
            found.setdefault(f"{entry['pod']}/{entry['container']}", []).append(entry["line"])
    return found


OVER = job("one", condition="Complete")


def test_all_containers_of_all_pods_are_told_as_they_start(logs: Logs) -> None:
    first = pod("x", setup=ENDED, main=ENDED)
    manager = ScriptedManager(
        (job("one"), []),
        (job("one"), [pod("x", setup=RUNNING, main=WAITING)]),
        (job("one"), [first, pod("y", setup=ENDED, main=RUNNING)]),
        (OVER, [first, pod("y", setup=ENDED, main=ENDED)]),
    )
    logs.on("x", "setup", timed("ready"))
    logs.on("x", "main", timed("one", "", "three \u20ac"))
    logs.on("y", "setup", timed())
    logs.on("y", "main", [b"no time"])

    entries = followed(manager)

    assert lines_of(entries) == {
        "x/setup": ["ready"],
        "x/main": ["one", "", "three \u20ac"],
        "y/main": ["no time"],
    }
    assert [entry["containers"] for entry in entries if "containers" in entry] == [["setup", "main"]] * 2
    assert entries[-1] == {"state": "Complete"}


def test_a_log_that_breaks_off_goes_on_where_it_was(logs: Logs) -> None:
    manager = ScriptedManager((job("one"), [pod("x", main=RUNNING)]), (OVER, [pod("x", main=ENDED)]))
    logs.on("x", "main", [*timed("a", "b"), Unavailable("cluster", "broke off")], timed("a", "b", "c"))

    assert lines_of(followed(manager)) == {"x/main": ["a", "b", "c"]}


def test_a_container_that_is_started_again_is_another_source(logs: Logs) -> None:
    manager = ScriptedManager((job("one"), [pod("x", main=RUNNING)]), (OVER, [pod("x", main=(ENDED, 1))]))
    logs.on("x", "main", timed("first"), timed("second", first=9))

    told = [(entry["line"], entry.get("restarts")) for entry in followed(manager) if "line" in entry]

    assert told == [("first", None), ("second", 1)]


def test_what_a_job_waits_for_is_told_once(logs: Logs) -> None:
    manager = ScriptedManager(*[(job("one"), [pod("x", main=WAITING)])] * 5, (OVER, []))
    manager.cause = Cause(category=Category.RESOURCES, sentence="There is no room.", advice="")

    assert followed(manager) == [
        {"pod": "x", "containers": ["main"]},
        {"waits": "There is no room."},
        {"state": "Complete"},
    ]


def test_a_log_that_can_t_be_had_is_told_when_the_job_has_ended(logs: Logs) -> None:
    manager = ScriptedManager((job("one", condition="Failed"), [pod("x", main=ENDED), pod("y", main=ENDED)]))
    logs.on("x", "main", ApiException(status=500, reason="the node is gone"))
    logs.on("y", "main", ApiException(status=404))  # its pod is gone meanwhile

    assert followed(manager)[2:] == [
        {"pod": "x", "container": "main", "lost": "the node is gone"},
        {"state": "Failed"},
    ]


def test_of_a_job_that_is_gone_what_is_kept_is_told(logs: Logs) -> None:
    gone = job("one", condition="Complete", annotations={KEPT: "2026-01-01"})
    manager = ScriptedManager((gone, []))
    manager.kept = {"one-x": {"main": ["a", "b", ""], "other": ["c"]}, "one-y": {"main": [""]}}

    assert lines_of(followed(manager, container="main")) == {"one-x/main": ["a", "b"]}
    assert lines_of(followed(manager, pod="x")) == {"one-x/main": ["a", "b"], "one-x/other": ["c"]}


def test_of_a_job_whose_pods_went_before_it_what_is_kept_is_told(logs: Logs) -> None:
    manager = ScriptedManager((OVER, []))
    manager.kept = {"one-x": {"main": ["a", ""]}}

    assert lines_of(followed(manager)) == {"one-x/main": ["a"]}


def test_a_line_without_an_end_is_not_read_for_ever(logs: Logs) -> None:
    manager = ScriptedManager((OVER, [pod("x", main=ENDED)]))
    logs.on("x", "main", [*timed("a"), ValueError("a line of more than 10 bytes")])

    assert [*followed(manager)][-2:] == [
        {"pod": "x", "container": "main", "lost": "a line of more than 10 bytes"},
        {"state": "Complete"},
    ]


def test_a_job_that_is_no_more_ends_it(logs: Logs) -> None:
    assert followed(ScriptedManager((job("one"), []), (None, []))) == [{"state": None}]


def test_who_leaves_ends_all_that_was_read_for_them(logs: Logs) -> None:
    def silent() -> Iterator[bytes]:
        yield from timed("a")
        logs.closed.wait(LIMIT_S)

    manager = ScriptedManager((job("one"), [pod("x", main=RUNNING)]))
    logs.on("x", "main", silent())
    stream = JobFollowing(manager, job("one"))
    told = b""
    while b'"a"' not in told:
        told += stream.read()

    stream.close()

    assert logs.closed.wait(LIMIT_S)


def test_no_more_containers_are_read_at_a_time_than_there_is_room_for(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "CONTAINERS", 2)
    pods = [pod(f"p{number}", main=ENDED) for number in range(7)]
    for one in pods:
        logs.on(one.metadata.name, "main", timed("a"))

    assert len(lines_of(followed(ScriptedManager((OVER, pods))))) == 7
    assert following._places._value == following.ALL_CONTAINERS


def test_the_route_gives_lines_of_json(logs: Logs) -> None:
    manager = ScriptedManager((OVER, [pod("x", main=ENDED)]))
    logs.on("x", "main", timed("a"))

    answer = TestClient(create_app(manager, lambda request: None)).get("/jobs/one/logs?follow=true&all=true")

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"pod": "x", "containers": ["main"]},
        {"pod": "x", "container": "main", "time": "2026-01-01T00:00:01Z", "line": "a"},
        {"state": "Complete"},
    ]
