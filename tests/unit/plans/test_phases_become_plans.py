"""A model as a plan: what waits for what, and what the Jobs are made of (phases contract, 5 to 7)."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from lando import labels
from lando.config import BespinApiSettings, ClusterSettings, Config, RetentionSettings, WorkQueueSettings
from lando.decide import Create, JobPhase, ObjectRef, Observed, ObservedJob, ReportError, Write, decide
from lando.phases.model import Entry, JobFile, Model, Phase, Resource, Settings
from lando.plans import Making
from lando.plans.phases import RESOURCES, PhasesPlanner, Submission, Unreadable, job_manifest, job_name, plan_of
from lando.runs import Intent, OnFailure, Run, RunState, StepState


def manifest(name: str, **spec: Any) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": pod}, **spec},
    }


def entry(phase: int, name: str, *jobs: str, **fields: Any) -> Entry:
    files = tuple(
        JobFile(path=f"{job}.yaml", manifest=manifest(job), entry=name, phase=phase, exploded=len(jobs) > 1)
        for job in jobs
    )
    return Entry(name=name, job_path=name, jobs=files, **fields)


def resource(kind: str, name: str) -> Resource:
    return Resource(path=f"{name}.yaml", manifest={"kind": kind, "metadata": {"name": name, "namespace": "theirs"}})


def model_of(*phases: tuple[Entry, ...], resources: tuple[Resource, ...] = (), **settings: Any) -> Model:
    return Model(
        path="jobermodel.yaml",
        settings=Settings(**settings),
        phases=tuple(Phase(index=index, name=f"p{index}", entries=one) for index, one in enumerate(phases)),
        resources=resources,
    )


TWO_PHASES = (
    (entry(0, "schema", "schema-job"), entry(0, "users", "users-job", depends_on=("schema",))),
    (
        entry(1, "merge", "merge-job", depends_on=("fetch",)),
        entry(1, "fetch", "fetch-a", "fetch-b", retries=2),
    ),
)


def needs(model: Model) -> dict[str, set[str]]:
    return {step.name: set(step.needs) for step in plan_of(model).steps}


def test_a_phase_waits_for_every_job_of_the_one_before_and_a_dependency_for_every_job_of_its_entry() -> None:
    assert needs(model_of(*TWO_PHASES)) == {
        "schema-job": set(),
        "users-job": {"schema-job"},
        "merge-job": {"fetch-a", "fetch-b"},
        "fetch-a": {"schema-job", "users-job"},
        "fetch-b": {"schema-job", "users-job"},
    }


def test_resources_come_before_everything_and_stay_until_everything_is_complete() -> None:
    plan = plan_of(model_of(*TWO_PHASES, resources=(resource("ConfigMap", "letters"), resource("Secret", "key"))))
    first, *jobs = plan.steps
    assert (first.name, first.job) == (RESOURCES, None)
    assert first.makes == (ObjectRef("ConfigMap", "letters"), ObjectRef("Secret", "key"))
    assert all(RESOURCES in step.needs and step.reads == first.makes for step in jobs)


def test_the_settings_of_the_model_are_the_plan_s() -> None:
    plan = plan_of(model_of(*TWO_PHASES, parallelization=3, on_failure=OnFailure.CONTINUE))
    assert (plan.parallel, plan.on_failure, plan.infrastructure_retries) == (3, OnFailure.CONTINUE, 0)
    assert plan.keep_complete
    assert plan.keep_finished
    assert {step.name: step.retries for step in plan.steps}["fetch-b"] == 2


def test_500_jobs_of_a_phase_share_what_they_need() -> None:
    phases = [(entry(index, f"many{index}", *(f"job-{index}-{one}" for one in range(250))),) for index in range(2)]
    assert len({id(step.needs) for step in plan_of(model_of(*phases)).steps if step.needs}) == 1


def test_a_job_is_its_file_s_but_for_labels_annotations_and_deadline() -> None:
    given = manifest("fetch-a", backoffLimit=4)
    given["metadata"] |= {"labels": {"team": "x"}, "annotations": {"why": "y"}}
    job = JobFile(path="f", manifest=given, entry="fetch", phase=1, exploded=True)
    before = copy.deepcopy(given)
    made = job_manifest(job, Entry(name="fetch", job_path="f"), 2)
    assert given == before
    assert made.pop("metadata") == {
        "name": "fetch-a",
        "labels": {
            "team": "x",
            "jobernetes_job_name": "fetch",
            "jobernetes_phase": "1",
            "jobernetes_exploded": "True",
        },
        "annotations": {"why": "y", "lando.manifest": job.digest, "lando.attempt": "2"},
    }
    assert made.items() <= given.items()


@pytest.mark.parametrize(
    ("own", "given", "made"), [(None, None, None), (60, None, 60), (None, 90, 90), (60, 90, 60), (120, 90, 90)]
)
def test_the_shorter_deadline_counts(own: int | None, given: int | None, made: int | None) -> None:
    spec = {} if own is None else {"activeDeadlineSeconds": own}
    job = JobFile(path="f", manifest=manifest("a", **spec), entry="a", phase=0)
    found = job_manifest(job, Entry(name="a", job_path="f", deadline_s=given), 1)
    assert found["spec"].get("activeDeadlineSeconds") == made


# -- the service ----------------------------------------------------------------------------------------------


CONFIG = Config(
    work_queue=WorkQueueSettings(listen_queue="lando", url="memory://test"),
    cluster_api_settings=ClusterSettings(namespace="test", host="https://127.0.0.1", token="t"),
    bespin_api=BespinApiSettings(url="http://127.0.0.1/api/v2", token="t"),
    retention=RetentionSettings(finished_s=3600),
)


@pytest.fixture
def planner() -> PhasesPlanner:
    return PhasesPlanner(CONFIG)


def run_of(model: Model, *, restricted: bool = False) -> Run:
    steps = {step.name: StepState.PENDING for step in plan_of(model).steps}
    return Run(
        id=17,
        kind="phases",
        owner="ada",
        name="n",
        state=RunState.RUNNING,
        steps=steps,
        document=Submission(model=model, restricted=restricted),
    )


MAKING = Making(attempt=3, record_uid="uid-record", times={})


def test_a_run_s_jobs_have_names_of_their_own_and_its_labels_also_on_their_pods(planner: PhasesPlanner) -> None:
    given = manifest("fetch-a", ttlSecondsAfterFinished=5)
    given["metadata"]["namespace"] = "theirs"
    jobs = (JobFile(path="f", manifest=given, entry="fetch", phase=0),)
    run = run_of(model_of((Entry(name="fetch", job_path="f", jobs=jobs),)))
    (made,) = planner.objects(run, "fetch-a", MAKING)
    metadata = made["metadata"]
    assert metadata["name"] == "fetch-a-17"
    assert planner.plan(run).step("fetch-a").job == ObjectRef("Job", "fetch-a-17")
    assert "namespace" not in metadata
    assert "ttlSecondsAfterFinished" not in made["spec"]
    assert [(one["name"], one["uid"]) for one in metadata["ownerReferences"]] == [("lando-run-17", "uid-record")]
    own = {"lando-run-id": "17", "lando-run-kind": "phases", "lando-run-step": "fetch-a"}
    assert made["spec"]["template"]["metadata"]["labels"] == own
    assert own.items() <= metadata["labels"].items()
    assert metadata["annotations"][labels.ATTEMPT] == "3"
    assert labels.step_key(metadata["labels"]) == labels.StepKey(kind="phases", run_id=17, step="fetch-a")


def test_a_run_s_resources_have_names_of_their_own_and_are_owned_by_its_record(planner: PhasesPlanner) -> None:
    run = run_of(
        model_of(*TWO_PHASES, resources=(resource("ConfigMap", "letters"), resource("PersistentVolumeClaim", "data")))
    )
    made = planner.objects(run, RESOURCES, MAKING)
    assert [one["metadata"]["name"] for one in made] == ["letters-17", "data-17"]
    plan = planner.plan(run)
    assert [ref.name for ref in plan.step(RESOURCES).makes] == ["letters-17", "data-17"]
    assert {step.reads for step in plan.steps[1:]} == {plan.step(RESOURCES).makes}
    assert all("namespace" not in one["metadata"] for one in made)
    assert {one["metadata"]["ownerReferences"][0]["name"] for one in made} == {"lando-run-17"}


@pytest.mark.parametrize("cleanup", [True, False])
def test_what_is_finished_goes_at_once_where_the_model_says_so(planner: PhasesPlanner, cleanup: bool) -> None:
    assert planner.plan(run_of(model_of(*TWO_PHASES, cleanup=cleanup))).keep_finished is not cleanup


def test_long_names_are_cut_and_still_differ() -> None:
    made = {job_name("x" * 62 + end, 123456) for end in "ab"}
    assert len(made) == 2
    assert {len(name) for name in made} == {63}
    assert all(name.endswith("-123456") for name in made)


@pytest.mark.parametrize("restricted", [True, False])
def test_pods_of_whoever_is_not_trusted_are_held_to_themselves(planner: PhasesPlanner, restricted: bool) -> None:
    run = run_of(model_of(*TWO_PHASES), restricted=restricted)
    (made,) = planner.objects(run, "schema-job", MAKING)
    assert ("automountServiceAccountToken" in made["spec"]["template"]["spec"]) is restricted


@pytest.mark.parametrize(("intent", "begun"), [(Intent.START, False), (Intent.RESTART, False), (Intent.NONE, True)])
def test_a_run_whose_model_can_not_be_read_fails_and_can_be_canceled(
    planner: PhasesPlanner, intent: Intent, begun: bool
) -> None:
    steps = {"a": StepState.COMPLETE, "b": StepState.RUNNING, "c": StepState.PENDING} if begun else {}
    run = replace(
        run_of(model_of(*TWO_PHASES)),
        document=Unreadable(reason="m.yaml: is wrong."),
        steps=steps or {"a": StepState.PENDING},
    )
    plan = planner.plan(run)
    at_work = {"b": ObservedJob(uid="u", phase=JobPhase.COMPLETE)} if begun else {}

    actions = decide(plan, run, Observed(jobs=at_work), intent)

    assert [one.state for one in actions if isinstance(one, Write) and one.state is RunState.ERROR]
    assert not any(isinstance(one, Create) for one in actions)
    told = [one.failure.cause.sentence for one in actions if isinstance(one, ReportError)]
    assert any("can't read the run's model: m.yaml: is wrong." in sentence for sentence in told)
    canceled = decide(plan, run, Observed(), Intent.CANCEL)
    assert any(isinstance(one, Write) and one.state is RunState.CANCELED for one in canceled)
