"""Phased runs from their POST to their end: the daemon's engine between the API server and a cluster in memory."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from lando import logs
from lando.config import BespinApiSettings, ClusterSettings, Config, LandoApiSettings, WorkQueueSettings
from lando.errors import Conflict, NotFound, QuotaExceeded, Rejected, UnknownRun
from lando.k8s import resync
from lando.k8s.engine import Engine
from lando.k8s.findings import Finding, Trouble
from lando.k8s.lando import planners_of
from lando.k8s.patience import Patience
from lando.k8s.perform import Peers
from lando.k8s.upkeep import Upkeep
from lando.messages import Command
from lando.runs import RunState, StepState
from lando.sources.bespin import BespinSource
from lando.sources.http import Answer
from lando.sources.kinds import KindsSource, source_of
from lando.sources.runs import RunsSource
from tests.unit.api.serving import Api
from tests.unit.lando_daemon.conftest import FakeArchive, MemoryCluster

RUNS = "/api/lando/v1/runs"
NOW = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
LANDO_API = LandoApiSettings(url="http://127.0.0.1/api/lando/v1", token="t")
CONFIG = Config(
    work_queue=WorkQueueSettings(listen_queue="lando", url="memory://test"),
    cluster_api_settings=ClusterSettings(namespace="test", host="https://127.0.0.1", token="t"),
    bespin_api=BespinApiSettings(url="http://127.0.0.1/api/v2", token="t"),
    lando_api=LANDO_API,
)


CALLS_LEFT_OUT = 15
"""Between two calls at which the daemon is killed; 1 tries all of them, in a minute."""


class Requests:
    """What :class:`lando.sources.http.JsonApi` does, without a network between."""

    def __init__(self, api: Api, base: str) -> None:
        self._api, self._base = api, base

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: list[tuple[str, str]] | None = None,
        if_match: str | None = None,
    ) -> Answer:
        headers = {"If-Match": if_match} if if_match else {}
        answer: httpx2.Response = self._api.call(
            method, f"{self._base}/{path}", body, "lando", params=query or [], headers=headers
        )
        if answer.status_code >= 400:
            kinds: dict[int, type[Rejected | NotFound | Conflict]] = {404: NotFound, 412: Conflict}
            raise kinds.get(answer.status_code, Rejected)("API", answer.text, status=answer.status_code)
        return Answer(document=answer.json(), etag=answer.headers.get("etag"))

    def items(self, path: str, *, query: list[tuple[str, str]] | None = None) -> Iterator[Any]:
        yield from self.request("GET", path, query=query).document


class Service:
    """A daemon that looks when it is told to."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.cluster = MemoryCluster()
        self.archive = FakeArchive()
        jobs, runs = BespinSource(CONFIG.bespin_api, LANDO_API), RunsSource(LANDO_API)
        jobs._api = Requests(api, "/api/v2/admin")  # type: ignore[assignment]
        own: Any = Requests(api, "/api/lando/v1")
        runs._api = runs._attempts._api = jobs._lando = own
        self.source = KindsSource(jobs, runs)
        self.pool = logs.Pool(4)
        self.notices: list[bytes] = []
        self.begin()

    def begin(self) -> None:
        """A new process, which remembers nothing."""
        publisher: Any = self
        peers = Peers(
            cluster=self.cluster,
            source=self.source,
            publisher=publisher,
            archive=self.archive,
            pool=self.pool,
            may_act=lambda: True,
            log_bytes=1000,
        )
        self.engine = Engine(
            CONFIG,
            peers,
            planners_of(CONFIG),
            clock=lambda: NOW,
            look_later=lambda run, delay_s: None,
            patience=Patience(monotonic=lambda: 0.0),
        )

    def notify(self, body: bytes) -> None:
        self.notices.append(body)

    def deliver(self) -> None:
        """What the API has sent since."""
        before = len(self.api.broker.bodies)
        self.api.site.outbox.drain()
        for message in self.api.broker.messages[before:]:
            self.engine.look(message.run_id, message)

    def finish(self, run: int, *steps: str, exit_code: int = 0) -> None:
        for step in steps:
            self.cluster.finish(f"{step}-{run}", exit_code)
            self.begin()
            self.engine.look(run)

    def findings(self) -> list[Finding]:
        return resync.compare(self.cluster, self.source, CONFIG, NOW)

    def submit(self, model: str, *jobs: str, is_delivered: bool = True, **files: str) -> int:
        bundle = {"jobermodel.yaml": model, **{f"{name}.yaml": job(name) for name in jobs}}
        bundle |= {f"{name}.yaml": text for name, text in files.items()}
        answer = self.api.post(RUNS, {"kind": "phases", "files": bundle}, "operator")
        assert answer.status_code == 201, answer.text
        if is_delivered:
            self.deliver()
        return int(answer.json()["id"])

    def run(self, run: int) -> dict[str, Any]:
        document: dict[str, Any] = self.api.get(f"{RUNS}/{run}", "operator").json()
        return document

    def steps(self, run: int) -> dict[str, str]:
        return {step["name"]: step["state"] for step in self.run(run)["steps"]}

    def jobs(self) -> list[str]:
        return list(self.cluster.names("Job"))


@pytest.fixture
def service(api: Api) -> Iterator[Service]:
    service = Service(api)
    yield service
    service.pool.shutdown()


def job(name: str) -> str:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox"}]}
    return json.dumps(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": pod}}}
    )


def model(*phases: str, **settings: Any) -> str:
    """Each phase as ``a b c>a``: entries and what they depend on."""
    document = {"jobernetes_config": settings, "jobernetes": []}
    for number, phase in enumerate(phases):
        entries = []
        for entry in phase.split():
            name, _, needs = entry.partition(">")
            entries.append({"name": name, "job_path": f"{name}.yaml", "depends_on": [needs] if needs else []})
        document["jobernetes"].append({"phase_name": f"p{number}", "jobs": entries})
    return json.dumps(document)


def test_a_phased_run_goes_through_its_phases_within_its_cap_to_its_end(service: Service) -> None:
    run = service.submit(model("a b c", "d e>d", parallelization=2), *"abcde")
    assert service.jobs() == [f"a-{run}", f"b-{run}"]
    assert service.steps(run) == {"a": "Running", "b": "Running", "c": "Pending", "d": "Pending", "e": "Pending"}
    service.finish(run, "b")
    assert service.jobs() == [f"a-{run}", f"b-{run}", f"c-{run}"]
    service.finish(run, "a", "c", "d")
    assert service.steps(run)["e"] == "Running"
    assert resync.compare(service.cluster, service.source, CONFIG, NOW) == []
    service.finish(run, "e")
    ended = service.run(run)
    assert ended["state"] == "Finished"
    assert {one["state"] for one in ended["attempts"]} == {"Complete"}
    assert sorted(one["job"] for one in ended["attempts"]) == [f"{name}-{run}" for name in "abcde"]
    assert service.cluster.names("Job", "ConfigMap") == []
    assert service.notices == []


def test_the_end_of_a_step_is_told_though_its_job_stays(service: Service) -> None:
    run = service.submit(model("a", "b"), *"ab")
    service.finish(run, "a")
    assert f"a-{run}" in service.jobs()
    assert {one["step"]: one["state"] for one in service.run(run)["attempts"]} == {"a": "Complete", "b": "Running"}


def test_each_failure_is_told_when_it_happens_and_what_does_not_depend_on_it_goes_on(service: Service) -> None:
    run = service.submit(model("a b c>a d>b", on_failure="continue"), *"abcd")
    service.finish(run, "a", exit_code=3)
    assert service.run(run)["state"] == "Running"
    assert [error["step"] for error in service.run(run)["errors"]] == ["a"]
    assert (run, "a", 1) in {one[:3] for one in service.archive.stored}
    service.finish(run, "b")
    service.finish(run, "d", exit_code=4)
    ended = service.run(run)
    assert ended["state"] == "Error"
    assert [error["step"] for error in ended["errors"]] == ["a", "d", None]
    assert ended["cause"]["sentence"].startswith("2 steps failed, a first: ")
    assert service.steps(run) == {"a": "Failed", "b": "Complete", "c": "Pending", "d": "Failed"}
    assert {one["step"]: one["state"] for one in ended["attempts"]} == {"a": "Failed", "b": "Complete", "d": "Failed"}


def test_why_a_step_failed_is_asked_for_once(service: Service) -> None:
    run = service.submit(model("a b c>b", on_failure="continue"), *"abc")
    service.finish(run, "a", exit_code=3)
    before = len(service.cluster.calls)
    service.finish(run, "b", "c")
    assert service.run(run)["state"] == "Error"
    pod = service.cluster.pod(f"a-{run}")["metadata"]["name"]
    assert ("log", "Pod", pod) not in service.cluster.calls[before:]


def test_a_restart_does_again_what_failed_and_nothing_that_is_complete(service: Service) -> None:
    run = service.submit(model("a b", "c"), *"abc")
    service.finish(run, "b")
    service.finish(run, "a", exit_code=3)
    assert service.run(run)["state"] == "Error"
    service.api.post(f"{RUNS}/{run}/restart", {}, "operator")
    service.deliver()
    assert service.steps(run) == {"a": "Running", "b": "Complete", "c": "Pending"}
    service.finish(run, "a", "c")
    assert service.run(run)["state"] == "Finished"
    attempts = [(one["step"], one["attempt"]) for one in service.run(run)["attempts"]]
    assert sorted(attempts) == [("a", 1), ("a", 2), ("b", 1), ("c", 1)]


def test_a_cancel_removes_everything_of_the_run(service: Service) -> None:
    run = service.submit(model("a b", "c"), *"abc")
    service.api.post(f"{RUNS}/{run}/cancel", {}, "operator")
    service.deliver()
    assert service.run(run)["state"] == "Canceled"
    assert service.cluster.names("Job", "ConfigMap") == []


class DiedError(BaseException):
    """The daemon's process was killed."""


def die_at(service: Service, number: int) -> Callable[[], int]:
    """The process ends before its call ``number``, or behind it: what was asked for is done and nobody knows."""
    calls = itertools.count(1)
    is_behind = number % 2 == 0
    last = 0

    def calling(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal last
            last = next(calls)
            if last == number and not is_behind:
                raise DiedError
            answer = call(*arguments, **options)
            if last == number:
                raise DiedError
            return answer

        return counted

    for name in ("create", "get", "list", "patch", "delete"):
        setattr(service.cluster, name, calling(getattr(MemoryCluster, name).__get__(service.cluster)))
    own = service.source._runs._api
    own.request = calling(Requests.request.__get__(own))  # type: ignore[method-assign]
    return lambda: last


@pytest.mark.parametrize(("policy", "first"), [("continue", 4), ("revert", 9)])
def test_a_daemon_killed_at_any_of_its_calls_loses_nothing_and_does_nothing_twice(
    service: Service, policy: str, first: int
) -> None:
    text = model("a b c>a", "d", parallelization=2, on_failure=policy)
    number, last = first, first
    while last >= number:
        run = service.submit(text, *"abcd", is_delivered=False)
        calls = die_at(service, number)
        for _ in range(20):
            try:
                service.engine.look(run)
                state = service.source.get(run).state
                at_work = [one for one in service.jobs() if one.endswith(f"-{run}") and not has_ended(service, one)]
                if at_work:
                    service.cluster.finish(at_work[0], exit_code=int(at_work[0] == f"c-{run}"))
                elif state is RunState.ERROR and not service.findings():
                    break
            except DiedError:
                service.begin()
        last = calls()
        ended, killed = service.run(run), f"killed at call {number}"
        assert ended["state"] == "Error", killed
        assert [error["step"] for error in ended["errors"] if error["step"]] == ["c"], killed
        assert service.steps(run)["c"] == "Failed", killed
        assert service.steps(run)["d"] == "Pending", killed
        number += CALLS_LEFT_OUT
    made = Counter(event["object"]["metadata"]["name"] for _, kind, event in service.cluster.events if kind == "Job")
    assert made
    assert set(made.values()) <= {1, 2}, "made once, and deleted once"
    if policy == "revert":
        assert service.jobs() == []


def has_ended(service: Service, name: str) -> bool:
    return bool(service.cluster.objects["Job", name].get("status"))


def refusing(name: str, error: Exception) -> Callable[[str, str, str], None]:
    def before(verb: str, kind: str, called: str) -> None:
        if (verb, kind, called) == ("create", "Job", name):
            raise error

    return before


@pytest.mark.parametrize("policy", ["stop", "continue"])
def test_a_job_that_the_cluster_refuses_fails_alone(service: Service, policy: str) -> None:
    run = 1 + service.submit(model("x"), "x")
    service.cluster.before = refusing(f"b-{run}", Rejected("cluster", "spec is invalid", status=422))
    assert service.submit(model("a b c", "d", on_failure=policy), *"abcd") == run
    assert service.run(run)["state"] == "Running"
    begun = {"a": "Running", "b": "Failed", "c": "Pending" if policy == "stop" else "Running", "d": "Pending"}
    assert service.steps(run) == begun
    assert [error["step"] for error in service.run(run)["errors"]] == ["b"]
    service.finish(run, *(["a"] if policy == "stop" else ["a", "c"]))
    assert service.run(run)["state"] == "Error"


def test_a_quota_is_waited_for_while_others_go_on(service: Service) -> None:
    run = 1 + service.submit(model("x"), "x")
    service.cluster.before = refusing(f"b-{run}", QuotaExceeded("cluster", "exceeded quota: pods", status=403))
    assert service.submit(model("a b"), *"ab") == run
    assert service.run(run)["condition"]["step"] == "b"
    service.finish(run, "a")
    assert service.steps(run) == {"a": "Complete", "b": "Running"}
    service.cluster.before = lambda *_: None
    service.engine.look(run)
    service.finish(run, "b")
    assert service.run(run)["state"] == "Finished"


def test_resources_are_made_first_and_go_with_the_run(service: Service) -> None:
    letters = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "letters"}, "data": {"a": "b"}})
    run = service.submit(model("a", resources=["letters.yaml"]), "a", letters=letters)
    created = [name for verb, kind, name in service.cluster.calls if verb == "create" and name != f"lando-run-{run}"]
    assert created == [f"letters-{run}", f"a-{run}"]
    service.finish(run, "a")
    assert service.run(run)["state"] == "Finished"
    assert service.cluster.names("ConfigMap") == []


def test_the_resync_finds_what_was_not_heard_of(service: Service) -> None:
    run = service.submit(model("a", "b"), *"ab")
    service.cluster.finish(f"a-{run}")
    (finding,) = resync.compare(service.cluster, service.source, CONFIG, NOW)
    assert (finding.run_id, finding.kind, finding.trouble) == (run, "phases", Trouble.STALLED)
    publisher: Any = service.api.broker
    upkeep = Upkeep(CONFIG, cluster=service.cluster, source=service.source, publisher=publisher, clock=lambda: NOW)
    upkeep.resync()
    message = service.api.broker.messages[-1]
    assert (message.command, message.kind, message.run_id) == (Command.STEP_CHANGED, "phases", run)
    service.engine.look(run, message)
    assert service.steps(run) == {"a": "Complete", "b": "Running"}


def test_what_failed_runs_hold_can_be_pruned(service: Service) -> None:
    run = service.submit(model("a"), "a")
    service.finish(run, "a", exit_code=1)
    publisher: Any = service.api.broker
    later = datetime(2100, 1, 1, tzinfo=UTC)
    upkeep = Upkeep(CONFIG, cluster=service.cluster, source=service.source, publisher=publisher, clock=lambda: later)
    (one,) = upkeep.prune(with_logs=False)
    assert (one.run_id, one.what) == (run, "1 Job, the run record")
    service.engine.look(run, service.api.broker.messages[-1])
    assert service.cluster.names("Job", "ConfigMap") == []


def test_a_run_is_found_where_it_is_whoever_asks_first(service: Service) -> None:
    job_id = service.api.new_job()
    run = service.submit(model("a"), "a")
    fresh = KindsSource(service.source._jobs, service.source._runs)
    assert [fresh.get(one).kind for one in (run, job_id, run)] == ["phases", "cwl", "phases"]
    assert set(fresh.survey([job_id, run, 999])) == {job_id, run}
    with pytest.raises(UnknownRun):
        fresh.get(999)


def test_a_write_of_what_was_read_before_somebody_else_s_is_a_conflict(service: Service) -> None:
    run = service.source.get(service.submit(model("a"), "a"))
    written, notice = service.source.write(run, steps={"a": StepState.COMPLETE})
    assert notice is None
    assert written.steps == {"a": StepState.COMPLETE}
    with pytest.raises(Conflict):
        service.source.write(run, state=RunState.ERROR)


def test_without_an_api_of_ours_there_are_only_jobs() -> None:
    config = Config(
        work_queue=CONFIG.work_queue,
        cluster_api_settings=CONFIG.cluster_api_settings,
        bespin_api=CONFIG.bespin_api,
    )
    assert set(planners_of(config)) == {"cwl"}
    source = source_of(config)
    assert isinstance(source, BespinSource)
    source.close()
