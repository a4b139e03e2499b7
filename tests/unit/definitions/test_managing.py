"""Making, finding and reading Jobs."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2.exceptions import UndefinedError
from kubernetes.client.exceptions import ApiException
from lando.definitions.exceptions import ArgumentError, DefinitionError, NotFoundException, remaps_exception
from lando.definitions.manager import JobManager, JobSigner, StaticJobDefinitionsRegister
from lando.definitions.spec import JobGenerator, StaticSpecSource, YamlStringSpecSource
from tests.unit.definitions.conftest import FakeBatch, FakeCore, job, models
from tests.unit.definitions.kept_jobs import pod as ended_pod
from urllib3.exceptions import ProtocolError

REFUSED = {
    "reason": "FailedScheduling",
    "message": "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
    "lastTimestamp": "2024-01-01T00:00:00Z",
}

SIGNED = {"app.kubernetes.io/managed-by": "ours", "job_definition_name": "thumbs"}


def manager_of(**specs: Any) -> JobManager:
    generators = {
        name: JobGenerator(YamlStringSpecSource(spec) if isinstance(spec, str) else StaticSpecSource(spec))
        for name, spec in specs.items()
    }
    return JobManager("batch", JobSigner("ours"), StaticJobDefinitionsRegister(generators))


def test_the_selector_has_signature_definition_and_the_rest_in_order() -> None:
    assert (
        JobSigner("etl").label_selector("reindex", team="a", tier=2)
        == "app.kubernetes.io/managed-by=etl,job_definition_name=reindex,team=a,tier=2"
    )


@pytest.mark.parametrize("labels", [None, {"team": "a", "job_definition_name": "other"}])
def test_both_kinds_of_job_are_signed_and_keep_their_labels(labels: dict[str, str] | None) -> None:
    as_object = models.V1Job(metadata=models.V1ObjectMeta(name="x", labels=labels))
    as_dictionary: dict[str, Any] = {"metadata": {"labels": labels}}
    for one in (as_object, as_dictionary):
        assert JobSigner("ours").sign(one, "thumbs") is None

    assert as_object.metadata.labels == as_dictionary["metadata"]["labels"] == {**(labels or {}), **SIGNED}


def test_a_name_is_the_manifest_s_cut_with_digits_of_its_own() -> None:
    generator = JobGenerator(StaticSpecSource({"metadata": {"name": "a" * 50}}))

    first, second = generator.generate(), generator.generate()

    assert re.fullmatch(r"a{38}-[0-9a-f]{24}", first["metadata"]["name"])
    assert first["metadata"]["name"] != second["metadata"]["name"]
    dotted = JobGenerator(StaticSpecSource({"metadata": {"name": "a" * 37 + ".b"}})).generate()
    assert re.fullmatch(r"a{37}-[0-9a-f]{24}", dotted["metadata"]["name"])  # what follows a dot may be no hyphen
    generated = JobGenerator(StaticSpecSource(models.V1Job(metadata=models.V1ObjectMeta(generate_name="thumbs-"))))
    assert generated.generate().metadata.name.startswith("thumbs-")


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("kind: Job", "no metadata"),
        ("metadata:", "no metadata"),
        ("metadata: {labels: {}}", "neither metadata.name nor"),
        ("metadata: {name: 5}", "put 5 in quotes"),
        ("metadata: {name: a, labels: [b]}", "metadata.labels has to be a mapping"),
        ("just text", "no mapping but text"),
        ("", "no mapping but empty"),
    ],
)
def test_a_manifest_without_a_name_is_an_error_that_names_the_definition(
    batch: FakeBatch, manifest: str, says: str
) -> None:
    with pytest.raises(DefinitionError, match=f"definition 'thumbs': .*{re.escape(says)}"):
        manager_of(thumbs=manifest).create_job("thumbs")
    assert batch.calls == []


def test_a_job_is_rendered_signed_shown_and_made(batch: FakeBatch) -> None:
    manager = manager_of(thumbs="metadata:\n  name: thumbs-{{ album }}\n  labels:\nspec: {}\n")

    def hook(made: dict[str, Any]) -> None:
        assert made["metadata"]["labels"] == SIGNED
        made["metadata"]["annotations"] = {"owner": "ops"}

    name = manager.create_job("thumbs", {"album": "summer"}, pre_create=hook)

    assert re.fullmatch(r"thumbs-summer-[0-9a-f]{24}", name)
    assert batch.jobs[name].metadata.annotations == {"owner": "ops"}
    assert batch.calls[-1][1]["namespace"] == "batch"
    assert manager_of(thumbs=job("x")).create_job("thumbs") in batch.jobs


def test_what_stops_before_the_cluster_is_told_as_it_is(batch: FakeBatch) -> None:
    manager = manager_of(thumbs="metadata: {name: 'x-{{ album }}'}\n{{ extra }}: 1")

    with pytest.raises(NotFoundException):
        manager.create_job("unknown")
    with pytest.raises(UndefinedError, match="'album' is undefined"):
        manager.create_job("thumbs")
    with pytest.raises(ArgumentError, match="definition 'thumbs': an argument makes the key 'metadata'"):
        manager.create_job("thumbs", {"album": "a", "extra": "metadata"})
    with pytest.raises(ZeroDivisionError):
        manager.create_job("thumbs", {"album": "a", "extra": "b"}, pre_create=lambda made: 1 / 0)
    with pytest.raises(DefinitionError, match="can't be the value of a label"):
        manager_of(**{"a b": {"metadata": {"name": "x"}}}).create_job("a b")
    assert batch.calls == []


def test_a_name_that_is_taken_is_made_anew_and_the_hook_asked_once(batch: FakeBatch) -> None:
    shown: list[Any] = []
    conflicts = iter(range(2))

    def fail(call: str, arguments: dict[str, Any]) -> None:
        if call == "create" and next(conflicts, None) is not None:
            raise ApiException(status=409)

    batch.failing = fail
    name = manager_of(thumbs="metadata: {name: thumbs}").create_job("thumbs", pre_create=shown.append)

    assert len(shown) == 1
    assert re.fullmatch(r"thumbs-[0-9a-f]{24}", name)
    assert len(batch.calls) == 3


@pytest.mark.parametrize("key", [None, "one"])
@pytest.mark.parametrize("came_there", [True, False])
def test_a_connection_that_breaks_makes_one_job_all_the_same(
    batch: FakeBatch, came_there: bool, key: str | None
) -> None:
    broken: list[str] = []

    def breaks(call: str, arguments: dict[str, Any]) -> None:
        if call == "create" and not broken:
            broken.append("once")
            if came_there:
                batch.create_namespaced_job(**arguments)
            raise ProtocolError("Connection aborted.")

    batch.failing = breaks
    assert [manager_of(thumbs="metadata: {name: thumbs}").create_job("thumbs", idempotency_key=key)] == list(batch.jobs)


def test_a_job_whose_name_a_hook_chose_is_not_sent_again_when_the_connection_breaks(batch: FakeBatch) -> None:
    def breaks(call: str, arguments: dict[str, Any]) -> None:
        raise ProtocolError("Connection aborted.")

    batch.failing = breaks
    with pytest.raises(ProtocolError):
        manager_of(thumbs="metadata: {name: thumbs}").create_job(
            "thumbs", pre_create=lambda made: made["metadata"].update(name="mine")
        )
    assert [call for call, _ in batch.calls] == ["create"]


def test_names_are_not_tried_without_end(batch: FakeBatch) -> None:
    def fail(call: str, arguments: dict[str, Any]) -> None:
        raise ApiException(status=409)

    batch.failing = fail
    with pytest.raises(ApiException):
        manager_of(thumbs="metadata: {name: thumbs}").create_job("thumbs")
    assert len(batch.calls) == 5


def test_lists_keep_their_selector_on_every_page_and_foreign_jobs_out(batch: FakeBatch) -> None:
    batch.page_size = 2
    batch.jobs = {name: job(name, labels={**SIGNED, "n": name[-1]}) for name in ("a1", "a2", "a3", "a4", "a5")}
    batch.jobs["foreign"] = job("foreign", labels={})
    manager = manager_of()

    lazily = manager.fetch_jobs("thumbs")
    assert batch.calls == []
    assert [one.metadata.name for one in lazily] == ["a1", "a2", "a3", "a4", "a5"]
    assert len(batch.calls) == 3
    assert {arguments["label_selector"] for _, arguments in batch.calls} == {
        "app.kubernetes.io/managed-by=ours,job_definition_name=thumbs"
    }
    assert [one.metadata.name for one in manager.list_jobs(job_definition_name="thumbs", n="2")] == ["a2"]
    assert manager.list_jobs("other") == []


def test_a_list_whose_place_expired_is_begun_again_and_tells_each_job_once(batch: FakeBatch) -> None:
    batch.page_size = 1
    batch.jobs = {name: job(name) for name in ("a", "b", "c")}
    expired = iter([ApiException(status=410)])

    def fail(call: str, arguments: dict[str, Any]) -> None:
        if arguments["_continue"] == "2" and (error := next(expired, None)):
            raise error

    batch.failing = fail
    assert [one.metadata.name for one in manager_of().fetch_jobs()] == ["a", "b", "c"]


def test_jobs_of_another_signature_read_as_not_found(batch: FakeBatch, core: FakeCore) -> None:
    batch.jobs["theirs"] = job("theirs", labels={"app.kubernetes.io/managed-by": "theirs"}, condition="Complete")
    manager = manager_of()

    for ask in (manager.read_job, manager.job_status, manager.job_is_finished, manager.job_logs):
        for name in ("theirs", "none"):
            with pytest.raises(NotFoundException):
                ask(name)
    for one in (batch.jobs["theirs"], models.V1Job(metadata=models.V1ObjectMeta(name="theirs")), job("none")):
        with pytest.raises(NotFoundException):
            manager.delete_job(one)
    assert "theirs" in batch.jobs


def test_a_job_is_deleted_with_its_pods_and_only_that_very_one(batch: FakeBatch) -> None:
    batch.jobs["a"] = job("a")
    manager = manager_of()
    with pytest.raises(NotFoundException):
        manager.delete_job(job("a", uid="an earlier one"))

    manager.delete_job(models.V1Job(metadata=models.V1ObjectMeta(name="a")))

    assert batch.jobs == {}
    options = batch.calls[-1][1]["body"]
    assert (options.propagation_policy, options.preconditions.uid) == ("Foreground", "uid-a")


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ([], "Running"),
        ([("Complete", "False")], "Running"),
        ([("Suspended", "True")], "Running"),
        ([("FailureTarget", "True"), ("Failed", "True")], "Failed"),
        ([("Complete", "True"), ("Failed", "True")], "Complete"),
    ],
)
def test_the_first_true_condition_that_is_an_end_decides(conditions: list[tuple[str, str]], status: str) -> None:
    one = job("a")
    one.status.completion_time = "2024-01-02T03:04:05Z"
    one.status.conditions = [models.V1JobCondition(type=kind, status=value) for kind, value in conditions]

    assert manager_of().job_status(one) is JobManager.JobStatus(status)
    assert manager_of().job_is_finished(one) == (status != "Running")
    assert manager_of().job_status(models.V1Job()) is JobManager.JobStatus.RUNNING


def pod(name: str, *, init: tuple[str, ...] = (), containers: tuple[str, ...] = ("main",), **waiting: str) -> Any:
    states = [
        SimpleNamespace(name=container, state=SimpleNamespace(waiting=SimpleNamespace(reason=reason)))
        for container, reason in waiting.items()
    ]
    return SimpleNamespace(
        metadata=SimpleNamespace(name=name, namespace="batch", owner_references=None),
        spec=SimpleNamespace(
            init_containers=[SimpleNamespace(name=one) for one in init] or None,
            containers=[SimpleNamespace(name=one) for one in containers],
        ),
        status=SimpleNamespace(init_container_statuses=None, container_statuses=states or None),
    )


def refused(message: str = "", status: int = 400) -> ApiException:
    error = ApiException(status=status)
    error.body = f'{{"message": "{message}"}}'
    return error


def test_logs_are_the_bytes_that_the_containers_wrote(batch: FakeBatch, core: FakeCore) -> None:
    batch.jobs["a"] = job("a")
    core.pods = [pod("p", init=("setup",))]
    core.logs = {("p", "setup"): b"ready\n", ("p", "main"): b'{"a": true}\n\xff'}

    told = manager_of().job_logs("a", limit=20)

    assert told == {"p": {"setup": ["ready", ""], "main": ['{"a": true}', "\N{REPLACEMENT CHARACTER}"]}}
    assert {(one["tail_lines"], one["limit_bytes"]) for one in core.asked} == {(20, 1024**3)}
    manager_of().job_logs("a", limit=None)
    assert "tail_lines" not in core.asked[-1]


@pytest.mark.parametrize(
    "log", [b"", b"\n", b"\n\n", b"a\r\nb\x0bc\x85d\n", b"\xe2\x82\n\xac", b"x" * 200_001 + b"\ny" * 70_000]
)
def test_lines_end_with_a_newline_alone_wherever_the_answer_is_cut(
    batch: FakeBatch, core: FakeCore, log: bytes
) -> None:
    batch.jobs["a"] = job("a")
    core.pods, core.logs = [pod("p")], {("p", "main"): log}

    assert manager_of().job_logs("a", limit=None) == {"p": {"main": log.decode(errors="replace").split("\n")}}


def test_a_log_that_is_cut_at_the_limit_is_warned_of(
    batch: FakeBatch, core: FakeCore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobManager, "JOB_LOGS_LIMIT_BYTES", 1000)
    batch.jobs["a"] = job("a")
    core.pods = [pod("p", containers=("short", "cut"))]
    core.logs = {("p", "short"): b"x" * 900, ("p", "cut"): b"x" * 1000}

    manager_of().job_logs("a", limit=None)

    assert {one["limit_bytes"] for one in core.asked} == {1000}
    assert [record.getMessage() for record in caplog.records] == [
        "The log of container cut of pod p is cut at 1000 bytes"
    ]


def test_a_large_log_is_never_in_memory_twice(batch: FakeBatch, core: FakeCore) -> None:
    log = b"x" * 4000 + b"\n"
    batch.jobs["a"] = job("a")
    core.pods, core.logs = [pod("p")], {("p", "main"): log * 5000}
    tracemalloc.start()
    try:
        told = manager_of().job_logs("a", limit=None)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(told["p"]["main"]) == 5001
    assert most < 1.2 * held


def test_containers_without_a_log_say_why_and_hold_up_no_other(batch: FakeBatch, core: FakeCore) -> None:
    batch.jobs["a"] = job("a")
    core.pods = [
        pod("p", containers=("new", "pulling", "main"), pulling="ImagePullBackOff"),
        pod("q"),
        pod("r"),
        pod("s"),
    ]
    core.logs = {
        ("p", "new"): refused("container new in pod p is waiting to start: PodInitializing"),
        ("p", "pulling"): refused("container pulling is waiting to start: trying and failing to pull image"),
        ("p", "main"): b"at work",
        ("q", "main"): refused("pod q does not have a host assigned"),
        ("r", "main"): refused(status=404),
        ("s", "main"): b"",
    }

    assert manager_of().job_logs("a") == {
        "p": {"new": ["PodInitializing"], "pulling": ["ImagePullBackOff"], "main": ["at work"]},
        "q": {"main": ["ContainerCreating"]},
        "r": {},
        "s": {"main": [""]},
    }


def test_a_job_of_many_pods_costs_no_call_for_each_of_them(batch: FakeBatch, core: FakeCore) -> None:
    batch.jobs["a"] = job("a")
    core.pods = [ended_pod(f"p{day}", day) for day in range(1, 31)]

    events, terminations = manager_of().job_history("a")

    assert core.calls == ["pods", *["events"] * 21]
    assert {event["involvedObject"]["name"] for event in events} == {f"p{day}" for day in range(11, 31)}
    assert len(terminations) == 30


def test_other_failures_of_the_cluster_pass_through(batch: FakeBatch, core: FakeCore) -> None:
    batch.jobs["a"] = job("a")
    core.pods = [pod("p")]
    core.logs = {("p", "main"): refused(status=500)}

    with pytest.raises(ApiException, match="500"):
        manager_of().job_logs("a")


def test_exceptions_are_remapped_by_exact_type_then_by_the_first_match() -> None:
    class Found(Exception):
        pass

    class Second(Exception):
        pass

    def raising(error: Exception) -> Callable[[], None]:
        @remaps_exception({KeyError: Found}, [(lambda e: "x" in str(e), Second), (lambda e: True, Found)])
        def act() -> None:
            raise error

        return act

    key, lookup, other = KeyError("x"), LookupError("x"), ValueError("y")
    for error, target in ((key, Found), (lookup, Second), (other, Found)):
        with pytest.raises(target) as caught:
            raising(error)()
        assert caught.value.args == (error,)

    @remaps_exception({LookupError: Found})
    def untouched() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        untouched()


@pytest.mark.parametrize(
    ("of_the_pod", "says"),
    [
        ([REFUSED], "The Job's deadline passed before it could start. No node has the labels that pod one-x asks for"),
        ([REFUSED, {"reason": "Scheduled"}], "The Job ran longer than its deadline."),
        ([], "The Job ran longer than its deadline."),
    ],
)
def test_a_deadline_that_passed_before_the_job_found_a_node_says_so_though_its_pod_is_gone(
    manager: JobManager,
    batch: FakeBatch,
    core: FakeCore,
    monkeypatch: pytest.MonkeyPatch,
    of_the_pod: list[dict[str, str]],
    says: str,
) -> None:
    batch.jobs["one"] = ended = job("one", condition="Failed")
    ended.status.conditions[0].reason = "DeadlineExceeded"
    told = {
        "involvedObject.uid=uid-one": [{"reason": "SuccessfulCreate", "message": "Created pod: one-x"}],
        "involvedObject.name=one-x": of_the_pod,
    }

    def events(namespace: str, *, field_selector: str, **_: Any) -> Any:
        return SimpleNamespace(data=json.dumps({"items": told[field_selector]}).encode())

    monkeypatch.setattr(core, "list_namespaced_event", events)

    assert manager.job_cause("one").sentence.startswith(says)  # type: ignore[union-attr]
