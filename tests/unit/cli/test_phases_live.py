"""The live tree on a terminal: what is left on it, and that it can be read without colours."""

from __future__ import annotations

import io
import re

import pytest
from lando.cli.phases_live import LiveTree
from lando.direct import events
from lando.direct.events import Event, Outcome
from lando.phases.model import Entry, Finding, JobFile, Model, Phase, Settings
from lando.runs import Category, Cause
from rich.console import Console

ENTRIES = tuple(
    Entry(
        name=f"entry-{number}",
        job_path="a.yaml",
        jobs=(
            JobFile(path="a.yaml", manifest={"metadata": {"name": f"job-{number}"}}, entry=f"entry-{number}", phase=0),
        ),
    )
    for number in range(60)
)
MODEL = Model(path="m.yaml", settings=Settings(), phases=(Phase(index=0, name="load", entries=ENTRIES),))
CAUSE = Cause(
    category=Category.USER,
    sentence="It ended with exit code 3, which is [bold]more[/bold] than a line of this terminal can hold.",
    log_tail="the last words",
)
BEGAN = events.Began(namespace="default", jobs=60, complete=0)
CREATED = events.JobCreated(job="job-59", entry="entry-59", phase=0, attempt=1)
FAILED = events.JobFailed(job="job-59", cause=CAUSE, again=False)
ENDED = events.Ended(outcome=Outcome.FAILED, sentence="1 Job failed.")


def left(*told: Event) -> str:
    """What a terminal of 80 by 12 was sent for these events."""
    out = io.StringIO()
    with LiveTree(MODEL, Console(file=out, force_terminal=True, width=80, height=12), clock=lambda: 0.0) as live:
        for event in told:
            live.tell(event)
    return out.getvalue()


def plain(text: str) -> list[str]:
    """Its lines, without what steers a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "\n").splitlines()


def test_the_whole_tree_stays_and_below_it_what_failed_and_how_it_ended() -> None:
    lines = plain(left(BEGAN, CREATED, FAILED, ENDED))
    at = len(lines) - 1 - lines[::-1].index("├─ · entry-0   job-0")
    assert lines[at + 58] == "├─ · entry-58  job-58"
    assert lines[at + 59].startswith("└─ ✘ entry-59  job-59  0:00:00  failed: It ended with exit code 3")
    assert len(lines[at + 59]) == 80
    assert lines[-4:] == [
        f"job-59 failed: {CAUSE.sentence}",
        "  | the last words",
        "1 Job failed.",
        "Total: 0:00:00",
    ]


def test_trouble_stays_above_the_tree() -> None:
    log = events.JobLog(job="job-a", log_tail="last words")
    lines = plain(left(BEGAN, events.Trouble(sentence="The cluster does not answer."), CREATED, log, ENDED))
    last = max(at for at, line in enumerate(lines) if line.startswith("m.yaml in namespace"))
    assert "The cluster does not answer." in lines[:last]
    assert "Job job-a:   | last words" in lines[:last]


def test_the_terminal_has_its_cursor_back() -> None:
    sent = left(BEGAN, ENDED)
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")


def test_a_run_that_never_began_leaves_only_why() -> None:
    problem = events.Problem(finding=Finding(reason="the name is taken.", entry="entry-1"))
    refused = events.Ended(outcome=Outcome.REFUSED, sentence="One problem was found; nothing was created.")
    lines = plain(left(problem, refused))
    assert "entry entry-1: the name is taken." in lines
    assert lines[-1] == "One problem was found; nothing was created."


def test_a_failure_of_the_program_itself_leaves_the_terminal_in_order() -> None:
    out = io.StringIO()
    live = LiveTree(MODEL, Console(file=out, force_terminal=True, width=80, height=12))
    with pytest.raises(ZeroDivisionError), live:
        raise ZeroDivisionError
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-9]m")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert coloured.search(left(BEGAN, CREATED, FAILED, ENDED))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured.search(left(BEGAN, CREATED, FAILED, ENDED))
