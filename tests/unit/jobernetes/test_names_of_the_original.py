"""What programs import from the original gives them what it gave (phases contract, 11)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from lando.jobernetes import jobexecutor
from lando.jobernetes.jobconfig import JobConfig
from lando.jobernetes.jobexecutor import JobExecutor
from lando.jobernetes.jobmodel import JobModel
from lando.phases.files import Folder
from lando.phases.model import Model
from lando.phases.reading import read

EXAMPLES = Path(__file__).parents[3] / "examples" / "phases"


@pytest.fixture
def _examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    """The models that would have been run."""
    models: list[Model] = []

    def execute(model: Model, listener: Any) -> int:
        models.append(model)
        return 2

    monkeypatch.setattr(jobexecutor, "execute", execute)
    return models


@pytest.mark.usefixtures("_examples")
def test_the_phases_come_as_a_list_with_directories_expanded() -> None:
    phases = JobModel("advanced.yaml").get_jobmodel()

    assert [phase["phase_name"] for phase in phases] == ["start_sleep", "mid_sleep", "end_sleep"]
    assert [(job["name"], job["depends_on"]) for job in phases[1]["jobs"]] == [
        ("dream_a", []),
        ("sleep_hickup_a", ["dream_a"]),
        ("dream_b", []),
        ("sleep_hickup_b", ["dream_b"]),
    ]
    assert [(job["name"], job["type"]) for job in phases[2]["jobs"]] == [("wakeup", "exploded")] * 2
    assert [job["kube_job_definition"]["metadata"]["name"] for job in phases[2]["jobs"]] == [
        Path(job["job_path"]).stem for job in phases[2]["jobs"]
    ]


@pytest.mark.usefixtures("_examples")
def test_each_definition_carries_the_three_labels() -> None:
    phases = JobModel().get_jobmodel()

    assert phases[2]["jobs"][0]["kube_job_definition"]["metadata"]["labels"] == {
        "jobernetes_job_name": "wakeup",
        "jobernetes_phase": "2",
        "jobernetes_exploded": "True",
    }
    assert phases[0]["jobs"][0]["kube_job_definition"]["metadata"]["labels"]["jobernetes_exploded"] == "False"


@pytest.mark.usefixtures("_examples")
def test_the_configuration_is_a_dict_of_all_settings() -> None:
    assert JobConfig().get_jobconfig() == {
        "cleanup": True,
        "kubernetes_namespace": "default",
        "ssl_insecure_warnings": True,
        "refresh_time": 5,
        "parallelization": 0,
        "incluster": None,
        "on_failure": "stop",
        "resources": [],
    }


@pytest.mark.parametrize("name", ["jobermodel.yaml", "absent.yaml"])
def test_a_model_that_is_wrong_or_missing_ends_the_process_with_1_and_says_why(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "jobermodel.yaml").write_text("jobernetes: []")
    monkeypatch.chdir(tmp_path)

    for ask in (JobModel(name).get_jobmodel, JobConfig(name).get_jobconfig):
        caplog.clear()
        with pytest.raises(SystemExit) as ended:
            ask()
        assert ended.value.code == 1
        assert [(record.name, record.levelno) for record in caplog.records] == [
            ("jobernetes.jobmodel", logging.WARNING),
            ("jobernetes.jobmodel", logging.ERROR),
        ]


@pytest.mark.usefixtures("_examples")
@pytest.mark.parametrize("name", ["jobermodel.yaml", "advanced.yaml", "letters/model.yaml"])
def test_the_executor_runs_what_the_model_says_and_exits_with_its_code(name: str, ran: list[Model]) -> None:
    with pytest.raises(SystemExit) as ended:
        JobExecutor(JobModel(name).get_jobmodel(), namespace="work", incluster=False, parallelization=3).start()

    assert ended.value.code == 2
    (model,) = ran
    wanted, _ = read(Folder(Path()), name)
    assert wanted is not None
    assert [(job.name, job.entry, job.phase, job.exploded, job.digest) for job in model.jobs()] == [
        (job.name, job.entry, job.phase, job.exploded, job.digest) for job in wanted.jobs()
    ]
    assert [[(one.name, one.depends_on) for one in phase.entries] for phase in model.phases] == [
        [(one.name, one.depends_on) for one in phase.entries] for phase in wanted.phases
    ]
    assert model.settings.kubernetes_namespace == "work"
    assert model.settings.incluster is False
    assert model.settings.cleanup is True
    assert model.settings.parallelization == 3


def test_the_executor_refuses_what_it_can_t_run(ran: list[Model], caplog: pytest.LogCaptureFixture) -> None:
    job = {"name": "a b", "job_path": "a.yaml", "kube_job_definition": {"kind": "Pod", "metadata": {}}}

    with pytest.raises(SystemExit) as ended:
        JobExecutor([{"phase_name": "p", "jobs": [job]}]).start()

    assert ended.value.code == 1
    assert ran == []
    assert "must not hold whitespace" in caplog.text
