"""``lando phases`` and ``jobernetes``: what they are given, how they end, and what they print, with a run played."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lando.cli import phases, phases_status
from lando.cli.app import app
from lando.direct import events
from lando.direct.events import Outcome
from lando.direct.standing import JobStanding, Standing
from lando.errors import ConfigError, Unavailable
from lando.jobernetes import main as jobernetes_main
from lando.jobernetes import running, setup_logging
from lando.jobernetes.main import main
from lando.phases.model import Finding
from lando.runs import Category, Cause
from lando.stopping import Stop
from typer.testing import CliRunner

EXAMPLES = Path(__file__).parents[3] / "examples" / "phases"
WRONG = """\
jobernetes:
  - phase_name: load
    jobs:
      - {name: a, job_path: absent.yaml}
      - {name: b, job_path: absent.yaml, depends_on: [c]}
"""
Run = Callable[..., Outcome]


Lando = Callable[..., Any]


@pytest.fixture
def lando(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Lando:
    """Commands in a folder with the models of the examples, which log to this test."""
    for name in ("jobermodel.yaml", "advanced.yaml", "test-dir"):
        (tmp_path / name).symlink_to(EXAMPLES / name)
    monkeypatch.chdir(tmp_path)
    for module in (jobernetes_main, phases):
        monkeypatch.setattr(module, "setup_logging", lambda: None)
    monkeypatch.setattr(phases, "quiet", lambda: None)
    caplog.set_level(logging.INFO, "jobernetes")
    return lambda *arguments: CliRunner().invoke(app, ["phases", *arguments])


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Have a run be what a function does."""

    class Connected:
        def __enter__(self) -> str:
            return "the cluster"

        def __exit__(self, *error: object) -> None: ...

    def play(run: Run) -> None:
        monkeypatch.setattr(running, "connect", lambda settings, **options: Connected())
        monkeypatch.setattr(running, "doubt", lambda settings, cluster: None)
        monkeypatch.setattr(running, "run", run)

    return play


def ends(outcome: Outcome, asked: list[dict[str, Any]] | None = None) -> Run:
    """A run that creates one Job and ends like this."""

    def run(model: Any, cluster: Any, *, listener: Any, **options: Any) -> Outcome:
        if asked is not None:
            asked.append({"model": model.path, "cluster": cluster, **options})
        listener.tell(events.Began(namespace="default", jobs=5, complete=0))
        listener.tell(events.JobCreated(job="phase-one-sleep-5", entry="sleep_one", phase=0, attempt=1))
        listener.tell(events.Ended(outcome=outcome, sentence="It is over."))
        return outcome

    return run


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_exit_code_tells_how_the_run_ended(outcome: Outcome, lando: Lando, played: Callable[[Run], None]) -> None:
    played(ends(outcome))
    assert lando("run", "--json").exit_code == outcome.value
    with pytest.raises(SystemExit) as left:
        main(["advanced.yaml"])
    assert left.value.code == outcome.value


def test_without_a_model_it_is_the_one_of_the_original(lando: Lando, played: Callable[[Run], None]) -> None:
    asked: list[dict[str, Any]] = []
    played(ends(Outcome.COMPLETE, asked))
    lando("run", "--json")
    lando("run", "advanced.yaml", "--json", "--changed")
    assert [(one["model"], one["changed"]) for one in asked] == [("jobermodel.yaml", False), ("advanced.yaml", True)]


def test_json_is_all_that_stands_on_standard_output(lando: Lando, played: Callable[[Run], None]) -> None:
    played(ends(Outcome.FAILED))
    done = lando("run", "--json")
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["began", "job_created", "ended"]
    assert done.stderr == ""


def test_a_cluster_that_can_t_be_asked_is_an_event_too(
    lando: Lando, played: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    played(ends(Outcome.COMPLETE))
    for error, code in ((Unavailable("cluster", "it is away"), 3), (ConfigError("There is no kubeconfig."), 1)):

        def refuse(settings: Any, error: Exception = error, **options: Any) -> Any:
            raise error

        monkeypatch.setattr(running, "connect", refuse)
        done = lando("run", "--json")
        assert done.exit_code == code
        (ended,) = (json.loads(line) for line in done.stdout.splitlines())
        assert (ended["sentence"], ended["exit_code"]) == (str(error), code)


def test_in_a_pipe_a_run_is_the_lines_of_its_log(
    lando: Lando, played: Callable[[Run], None], caplog: pytest.LogCaptureFixture
) -> None:
    played(ends(Outcome.COMPLETE))
    assert lando("run").stdout == ""
    assert [(record.name.removeprefix("jobernetes."), record.getMessage()) for record in caplog.records] == [
        ("jobmodel", "Loaded jobermodel.yaml: 3 phases, 5 Jobs"),
        ("jobconfig", "Namespace default, no limit of Jobs, after a failure: stop, cleanup after the last phase"),
        ("jobexecutor", "Running 5 Jobs in namespace default; complete already: 0"),
        ("jobexecutor", "Created Job phase-one-sleep-5"),
        ("jobexecutor", "It is over."),
    ]


@pytest.mark.parametrize("command", ["run", "run --json", "check", "cleanup", "graph", "status"])
def test_every_problem_of_a_model_is_told_and_nothing_is_contacted(
    command: str, lando: Lando, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tmp_path / "model.yaml"
    model.write_text(WRONG)
    done = lando(*command.split(), str(model))
    assert done.exit_code == 1
    told = done.stdout + done.stderr + caplog.text
    for place in ("depends on c", "absent.yaml does not exist", "nothing was "):
        assert place in told, told


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that nothing is asked of."""
    monkeypatch.setattr(phases, "connect", lambda settings, **options: nullcontext())


@pytest.mark.usefixtures("connected")
def test_what_the_cluster_would_refuse_is_told_by_a_check(lando: Lando, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Finding(reason="the quota is nearly used up.", is_error=False)
    taken = Finding(reason="the name is taken.", entry="sleep_one")
    for findings, code in (([], 0), ([odd], 0), ([odd, taken], 1)):
        monkeypatch.setattr(phases.preflight, "check", lambda model, cluster, found=findings: found)
        done = lando("check")
        assert done.exit_code == code
        assert [str(one) in done.stdout for one in (odd, taken)] == [one in findings for one in (odd, taken)]
        document = json.loads(lando("check", "--json").stdout)
        assert [one["reason"] for one in document["findings"]] == [one.reason for one in findings]
        assert lando("check", "--offline").exit_code == 0


@pytest.mark.usefixtures("connected")
def test_a_check_that_nobody_answers_says_so(lando: Lando, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(model: Any, cluster: Any) -> Any:
        raise Unavailable("cluster", "it does not answer")

    monkeypatch.setattr(phases.preflight, "check", away)
    done = lando("check")
    assert (done.exit_code, done.stderr) == (3, "lando: cluster: it does not answer\n")


def test_the_standing_of_jobs_is_a_table_or_a_document(lando: Lando, monkeypatch: pytest.MonkeyPatch) -> None:
    began = datetime(2026, 3, 4, 15, 6, 7, tzinfo=UTC)
    cause = Cause(category=Category.USER, sentence="It ended with exit code 3.", advice="Look.")
    failed = JobStanding(job="job-a", entry="a", phase="0", state="failed", began=began, duration_s=65.0, cause=cause)
    standing = Standing(namespace="default", jobs=(failed,), runs=("Run by ada since noon.",))
    cluster = SimpleNamespace(now=lambda: began)
    monkeypatch.setattr(phases_status, "connect", lambda settings, **options: nullcontext(cluster))
    monkeypatch.setattr(phases_status, "of_model", lambda model, cluster, now: standing)
    monkeypatch.setattr(phases_status, "of_namespace", lambda cluster, now: Standing(namespace="etl", jobs=()))
    assert lando("status").stdout.splitlines() == [
        "PHASE  ENTRY  JOB    STATE   TIME     WHY",
        "0      a      job-a  failed  0:01:05  It ended with exit code 3. Look.",
        "Run by ada since noon.",
    ]
    assert json.loads(lando("status", "--json").stdout) == {
        "namespace": "default",
        "runs": ["Run by ada since noon."],
        "jobs": [
            {
                "job": "job-a",
                "entry": "a",
                "phase": 0,
                "state": "failed",
                "began": "2026-03-04T15:06:07Z",
                "duration_s": 65.0,
                "cause": {"category": "user", "sentence": "It ended with exit code 3.", "advice": "Look."},
            }
        ],
    }
    assert lando("status", "-n", "etl").stdout == "There are no Jobs of any model in namespace etl.\n"


def test_a_cleanup_says_what_it_removes(lando: Lando, monkeypatch: pytest.MonkeyPatch) -> None:
    def cleanup(model: Any, cluster: Any, *, listener: Any, stop: Any) -> Outcome:
        listener.tell(events.JobRemoved(job="job-a", why="cleanup"))
        listener.tell(events.Ended(outcome=Outcome.COMPLETE, sentence="1 Job was removed."))
        return Outcome.COMPLETE

    monkeypatch.setattr(phases, "connect", lambda settings, **options: nullcontext())
    monkeypatch.setattr(phases, "cleanup", cleanup)
    assert lando("cleanup").stdout == "Removed Job job-a (cleanup)\n1 Job was removed.\n"
    told = [json.loads(line)["event"] for line in lando("cleanup", "--json").stdout.splitlines()]
    assert told == ["job_removed", "ended"]


def test_a_model_that_is_missing_is_one_sentence(lando: Lando) -> None:
    done = lando("check", "absent.yaml", "--offline")
    assert done.exit_code == 1
    assert "absent.yaml" in done.stdout


def test_a_model_that_is_started_from_the_wrong_folder_says_so(lando: Lando, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for name in ("jobermodel.yaml", "test-dir"):
        (tmp_path / name).rename(other / name)
    done = lando("graph", "elsewhere/jobermodel.yaml")
    assert done.exit_code == 1
    assert done.stderr.endswith("Paths in a model count from the current folder: start it in elsewhere.\n")


def test_a_refused_command_says_what_it_has_not_done(lando: Lando, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("jobernetes: []\n")
    for command, left in (("check", "created"), ("graph", "drawn"), ("cleanup", "removed")):
        assert lando(command, "empty.yaml").stderr.splitlines()[-1].endswith(f"1 problem; nothing was {left}."), command
    told = json.loads(lando("cleanup", "empty.yaml", "--json").stdout.splitlines()[-1])
    assert told["sentence"].endswith("nothing was removed.")


def test_a_model_that_is_meant_for_the_folder_above_says_so(
    lando: Lando, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "below"
    below.mkdir()
    (tmp_path / "jobermodel.yaml").rename(below / "jobermodel.yaml")
    monkeypatch.chdir(below)
    done = lando("check", "--offline")
    assert done.exit_code == 1
    assert done.stderr.endswith(f"Paths in a model count from the current folder: start it in {tmp_path}.\n")


def test_wrong_usage_is_not_taken_for_a_failed_job(lando: Lando) -> None:
    assert lando("run", "--no-such-option").exit_code == 1
    assert lando("graph", "--svg", "--mermaid").exit_code == 1
    with pytest.raises(SystemExit) as left:
        main(["--no-such-option"])
    assert left.value.code == 1


def test_a_broken_logging_file_is_one_sentence(
    lando: Lando, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logging.yaml").write_text("version: [")
    for module in (jobernetes_main, phases):
        monkeypatch.setattr(module, "setup_logging", setup_logging)
    done = lando("run")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 1
    assert capsys.readouterr().err.startswith("jobernetes: logging.yaml")


def test_checking_alone_contacts_nothing(lando: Lando, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit) as left:
        main(["advanced.yaml", "--check"])
    assert left.value.code == 0
    assert caplog.messages[-1] == "advanced.yaml can be run"


def test_a_graph_goes_to_the_screen_or_into_a_file(lando: Lando, tmp_path: Path) -> None:
    assert lando("graph", "advanced.yaml").stdout.startswith("flowchart")
    picture = tmp_path / "advanced.svg"
    assert lando("graph", "advanced.yaml", "-o", str(picture)).exit_code == 0
    assert "<svg" in picture.read_text()[:500]
    nowhere = lando("graph", "advanced.yaml", "-o", str(tmp_path / "absent" / "a.svg"))
    assert nowhere.exit_code == 1
    assert nowhere.stderr.endswith("a.svg: No such file or directory.\n")


def test_a_signal_ends_the_run_and_is_its_exit_code(
    lando: Lando, played: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = Stop()
    stopped.number = signal.SIGTERM
    stopped.set()

    def run(model: Any, cluster: Any, *, listener: Any, stop: Stop, **options: Any) -> Outcome:
        assert stop.is_set()
        return Outcome(128 + stop.number)

    played(run)
    # Not a signal to this very process: the limit that begins with one would end the tests.
    monkeypatch.setattr(running, "told_to_stop", lambda **options: nullcontext(stopped))
    assert lando("run", "--json").exit_code == 143
