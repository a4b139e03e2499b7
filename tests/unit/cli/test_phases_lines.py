"""What the loggers of the original say of a run (phases contract, 10), and how they are set up."""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from lando.direct import events
from lando.direct.events import Event, Outcome
from lando.errors import ConfigError
from lando.jobernetes import lines, setup_logging
from lando.phases.model import Entry, Finding, JobFile, Model, Phase, Settings
from lando.runs import Category, Cause

SUPPLIED = Path(__file__).parents[3] / "examples" / "phases" / "logging.yaml"
CAUSE = Cause(
    category=Category.USER, sentence="It ended with exit code 3.", advice="Look.", log_tail="one\n\x1b[2Jtwo\n"
)
EXECUTOR = "jobernetes.jobexecutor"


def job(name: str, entry: str, phase: int = 0) -> JobFile:
    return JobFile(path=f"{name}.yaml", manifest={"metadata": {"name": name}}, entry=entry, phase=phase)


MODEL = Model(
    path="jobermodel.yaml",
    settings=Settings(parallelization=2, cleanup=True),
    phases=(Phase(index=0, name="load", entries=(Entry(name="a", job_path="a.yaml", jobs=(job("job-a", "a"),)),)),),
)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "jobernetes")
    return caplog


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """What a test sets up is taken back."""
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    loggers = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    disabled = [logger.disabled for logger in loggers]
    yield
    for logger, was in zip(loggers, disabled, strict=True):
        logger.disabled = was
    logging.raiseExceptions = raises
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            events.Began(namespace="default", jobs=3, complete=1),
            ["INFO Running 3 Jobs in namespace default; complete already: 1"],
        ),
        (events.PhaseBegan(index=0, name="load"), ["INFO Phase 0 (load) begins"]),
        (events.JobCreated(job="job-a", entry="a", phase=0, attempt=1), ["INFO Created Job job-a"]),
        (
            events.JobCreated(job="job-a", entry="a", phase=0, attempt=2, after=("b", "c")),
            ["INFO Created Job job-a, attempt 2: its dependencies are done (b, c)"],
        ),
        (
            events.JobFound(job="job-a", entry="a", phase=0, complete=True, changed=True),
            [
                "INFO Job job-a is complete already; its file says something else since: "
                "`lando phases run --changed` runs it again"
            ],
        ),
        (events.JobFound(job="job-a", entry="a", phase=0, complete=False), ["INFO Job job-a runs already"]),
        (events.LimitReached(limit=2), ["INFO The limit of 2 Jobs at once is reached"]),
        (events.JobCompleted(job="job-a", duration_s=3725.9), ["INFO Job job-a completed after 1:02:05"]),
        (
            events.JobFailed(job="job-a", cause=CAUSE, again=True),
            [
                "ERROR Job job-a failed: It ended with exit code 3. Look. It is made again.",
                "ERROR Job job-a:   | one",
                "ERROR Job job-a:   |  [2Jtwo",
            ],
        ),
        (events.JobWaits(job="job-a", cause=CAUSE), ["WARNING Job job-a waits: It ended with exit code 3. Look."]),
        (events.JobWaits(job="job-a", cause=None), ["INFO Job job-a waits no longer"]),
        (
            events.JobLog(job="job-a", log_tail="one\ntwo\n"),
            ["INFO The log of Job job-a, which is reverted:", "INFO Job job-a:   | one", "INFO Job job-a:   | two"],
        ),
        (events.JobRemoved(job="job-a", why="cleanup"), ["INFO Removed Job job-a (cleanup)"]),
        (events.ResourceApplied(kind="ConfigMap", name="texts"), ["INFO Applied ConfigMap texts"]),
        (events.Trouble(sentence="The cluster\ndoes not answer."), ["WARNING The cluster does not answer."]),
        (
            events.Problem(finding=Finding(reason="it is taken.", file="a.yaml", line=3, phase="load", entry="a")),
            ["WARNING a.yaml:3: phase load, entry a: it is taken."],
        ),
        (
            events.Ended(
                outcome=Outcome.COMPLETE,
                sentence="Everything is finished.",
                jobs=(events.JobReport(job="job-a", duration_s=5.7), events.JobReport(job="job-b", duration_s=60)),
            ),
            ["INFO Everything is finished.", "INFO job-a: 0:00:05", "INFO job-b: 0:01:00", "INFO Total: 0:01:05"],
        ),
        (events.Ended(outcome=Outcome.TERMINATED, sentence="It was stopped."), ["WARNING It was stopped."]),
        (
            events.Ended(
                outcome=Outcome.FAILED, sentence="1 Job failed.", jobs=(events.JobReport(job="job-a", duration_s=None),)
            ),
            ["ERROR 1 Job failed.", "INFO job-a: -", "INFO Total: 0:00:00"],
        ),
    ],
)
def test_each_event_is_a_line(event: Event, expected: list[str], said: pytest.LogCaptureFixture) -> None:
    lines.Lines().tell(event)
    assert [f"{record.levelname} {record.getMessage()}" for record in said.records] == expected
    assert {record.name for record in said.records} == {EXECUTOR}


def test_the_report_comes_before_a_cleanup_and_once(said: pytest.LogCaptureFixture) -> None:
    jobs = (events.JobReport(job="job-a", duration_s=5.0),)
    listener = lines.Lines()
    for event in (
        events.CleanupBegan(jobs=jobs),
        events.JobRemoved(job="job-a", why="cleanup"),
        events.Ended(outcome=Outcome.COMPLETE, sentence="All 1 Jobs are complete.", jobs=jobs),
    ):
        listener.tell(event)
    assert said.messages == [
        "Everything is finished; the Jobs are removed",
        "job-a: 0:00:05",
        "Total: 0:00:05",
        "Removed Job job-a (cleanup)",
        "All 1 Jobs are complete.",
    ]


def test_the_start_names_the_model_s_path(said: pytest.LogCaptureFixture) -> None:
    lines.loaded(MODEL)
    assert [(record.name, record.getMessage()) for record in said.records] == [
        ("jobernetes.jobmodel", "Loaded jobermodel.yaml: 1 phase, 1 Job"),
        (
            "jobernetes.jobconfig",
            "Namespace default, at most 2 Jobs at once, after a failure: stop, cleanup after the last phase",
        ),
    ]


def test_every_problem_is_a_warning_and_their_number_an_error(said: pytest.LogCaptureFixture) -> None:
    wrong = Finding(reason="job_path does not exist.", file="jobermodel.yaml", line=7, phase="load", entry="a")
    odd = Finding(reason="the key jobname is not known.", file="jobermodel.yaml", is_error=False)
    lines.problems("jobermodel.yaml", [wrong, odd, wrong])
    assert [(record.levelname, record.getMessage()) for record in said.records] == [
        ("WARNING", "jobermodel.yaml:7: phase load, entry a: job_path does not exist."),
        ("WARNING", "jobermodel.yaml: the key jobname is not known."),
        ("WARNING", "jobermodel.yaml:7: phase load, entry a: job_path does not exist."),
        ("ERROR", "jobermodel.yaml can't be run: 2 problems; nothing was created."),
    ]


@pytest.mark.usefixtures("logging_as_before")
def test_without_a_file_lines_go_to_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    logging.getLogger().handlers[:] = []
    setup_logging()
    lines.jobexecutor.info("hello")
    lines.jobexecutor.debug("not this")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(f" - {EXECUTOR} - INFO - hello\n")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("logging_as_before")
def test_the_supplied_file_logs_to_standard_output_and_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logging.yaml").write_text(SUPPLIED.read_text())
    setup_logging()
    lines.jobexecutor.info("hello")
    lines.jobexecutor.error("broken")
    out, err = capsys.readouterr()
    assert [line.split(" - ", 1)[1] for line in out.splitlines()] == [
        f"{EXECUTOR} - INFO - hello",
        f"{EXECUTOR} - ERROR - broken",
    ]
    assert err == ""
    assert (tmp_path / "info.log").read_text() == out
    assert (tmp_path / "errors.log").read_text() == out.splitlines(keepends=True)[1]
    files = [h for h in logging.getLogger().handlers if isinstance(h, logging.handlers.RotatingFileHandler)]
    assert [(h.maxBytes, h.backupCount) for h in files] == [(10 * 2**20, 20)] * 2


@pytest.mark.usefixtures("logging_as_before")
def test_a_folder_that_can_t_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load(SUPPLIED.read_text())
    for handler in ("info_file", "error_file"):
        content["handlers"][handler]["filename"] = f"absent/{handler}.log"
    (tmp_path / "logging.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    setup_logging()
    lines.jobexecutor.info("hello")
    assert [line.split(" - ", 1)[1] for line in capsys.readouterr().out.splitlines()] == [
        "jobernetes - WARNING - The log file absent/info_file.log can't be written (No such file or directory); "
        "it goes without.",
        "jobernetes - WARNING - The log file absent/error_file.log can't be written (No such file or directory); "
        "it goes without.",
        f"{EXECUTOR} - INFO - hello",
    ]


@pytest.mark.usefixtures("logging_as_before")
def test_a_file_that_silences_what_exists_does_not_silence_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load(SUPPLIED.read_text())
    del content["disable_existing_loggers"]  # true is what Python takes then
    file = tmp_path / "logging.yaml"
    file.write_text(yaml.safe_dump(content))
    setup_logging()
    for logger in (lines.jobmodel, lines.jobconfig, lines.jobexecutor):
        logger.info("hello")
    assert capsys.readouterr().out.count("hello") == 3


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize(
    "text",
    [
        "version: [",
        "just text",
        "version: 2",
        "{version: 1, handlers: {a: {class: no.such.Class}}}",
        "{version: 1, handlers: 5}",
    ],
)
def test_a_broken_file_is_one_sentence(text: str, tmp_path: Path) -> None:
    file = tmp_path / "logging.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        setup_logging(str(file))
    assert str(raised.value).startswith(str(file))
    assert "\n" not in str(raised.value)
