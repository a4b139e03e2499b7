"""The live tree of a run, from its events: what it says, and in how many lines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lando.cli.phases_progress import Progress
from lando.cli.phases_tree import failures, outcome, tree
from lando.direct import events
from lando.direct.events import Ended, Event, JobReport, Outcome
from lando.phases.model import Entry, JobFile, Model, Phase, Settings
from lando.runs import Category, Cause

CAUSE = Cause(category=Category.USER, sentence="It ended with exit code 3.", log_tail="one\ntwo\x07\n")
IMAGE = Cause(category=Category.IMAGE, sentence="ErrImagePull: no such image.")


def entry(name: str, phase: int, *jobs: str, after: tuple[str, ...] = ()) -> Entry:
    files = tuple(
        JobFile(
            path=f"{job}.yaml", manifest={"metadata": {"name": job}}, entry=name, phase=phase, exploded=len(jobs) > 1
        )
        for job in jobs or (name,)
    )
    return Entry(name=name, job_path=f"{name}.yaml", depends_on=after, jobs=files)


def model(*phases: tuple[str, list[Entry]]) -> Model:
    made = tuple(Phase(index=at, name=name, entries=tuple(entries)) for at, (name, entries) in enumerate(phases))
    return Model(path="m.yaml", settings=Settings(), phases=made)


SMALL = model(
    ("prepare", [entry("schema", 0)]),
    ("load", [entry("fetch", 1, "fetch-a", "fetch-b"), entry("merge", 1, after=("fetch",))]),
    ("end", [entry("report", 2)]),
)


def told(of: Model, *moments: Event | float) -> Progress:
    """Events, and numbers that say when what follows is told."""
    progress, now = Progress(of, 0.0), 0.0
    for moment in moments:
        if isinstance(moment, float):
            now = moment
        else:
            progress.tell(moment, now)
    return progress


def created(name: str, entry: str, phase: int, attempt: int = 1) -> events.JobCreated:
    return events.JobCreated(job=name, entry=entry, phase=phase, attempt=attempt)


def began(jobs: int = 5) -> events.Began:
    return events.Began(namespace="default", jobs=jobs, complete=0)


IN_THE_SECOND_PHASE = (
    began(),
    events.PhaseBegan(index=0, name="prepare"),
    created("schema", "schema", 0),
    5.0,
    events.JobCompleted(job="schema", duration_s=5.0),
    events.PhaseBegan(index=1, name="load"),
    created("fetch-a", "fetch", 1),
    created("fetch-b", "fetch", 1),
)


def texts(progress: Progress, now: float, height: int | None = 40) -> list[str]:
    return [line.text for line in tree(progress, now, height)]


def test_a_phase_that_is_complete_is_one_line_and_the_one_under_way_shows_its_jobs() -> None:
    assert texts(told(SMALL, *IN_THE_SECOND_PHASE), 12.0) == [
        "m.yaml in namespace default: 1 of 5 Jobs complete, 2 running, 0:00:12",
        "✔ prepare: 1 Job complete",
        "▶ load: 0 of 3 Jobs complete",
        "├─ ▶ fetch  fetch-a  0:00:07",
        "├─ ▶ fetch  fetch-b  0:00:07",
        "└─ · merge  merge    after fetch",
        "· end: 1 Job",
    ]


def test_where_there_is_little_room_the_first_line_says_how_it_stands_before_what_it_is() -> None:
    progress = told(SMALL, *IN_THE_SECOND_PHASE)
    lines = [tree(progress, 12.0, 40, width)[0].text for width in (60, 44, 20)]
    state = "1 of 5 Jobs complete, 2 running, 0:00:12"
    assert lines == [f"m.yaml: {state}", state, state]


def test_a_job_whose_file_has_changed_says_so_until_it_is_made_again() -> None:
    found = events.JobFound(job="schema", entry="schema", phase=0, complete=True, changed=True)
    progress = told(SMALL, began(), found)
    assert "its file has changed (--changed runs it again)" in texts(progress, 1.0, None)[2]
    progress.tell(created("schema", "schema", 0), 2.0)
    assert "its file has changed" not in texts(progress, 3.0, None)[2]


def test_what_a_job_waits_for_and_why_one_failed_stand_beside_it() -> None:
    progress = told(
        SMALL,
        *IN_THE_SECOND_PHASE,
        events.JobWaits(job="fetch-a", cause=IMAGE),
        9.0,
        events.JobFailed(job="fetch-b", cause=CAUSE, again=False),
    )
    assert texts(progress, 12.0)[3:5] == [
        "├─ … fetch  fetch-a  0:00:07  waits: ErrImagePull: no such image.",
        "├─ ✘ fetch  fetch-b  0:00:04  failed: It ended with exit code 3.",
    ]
    assert texts(progress, 12.0)[0].endswith("1 of 5 Jobs complete, 1 waiting, 1 failed, 0:00:12")
    assert [line.text for line in failures(progress)] == [
        "",
        "fetch-b failed: It ended with exit code 3.",
        "  | one",
        "  | two ",
    ]


def test_a_wait_that_is_over_is_no_longer_told() -> None:
    waits = events.JobWaits(job="fetch-a", cause=IMAGE)
    progress = told(SMALL, *IN_THE_SECOND_PHASE, waits, events.JobWaits(job="fetch-a", cause=None))
    assert texts(progress, 6.0)[3] == "├─ ▶ fetch  fetch-a  0:00:01"


def test_a_job_that_can_not_be_made_yet_is_to_come_once_it_can() -> None:
    former = Cause(category=Category.INFRASTRUCTURE, sentence="Pods of a former Job are still at work.")
    waits = (began(), events.PhaseBegan(index=0, name="prepare"), events.JobWaits(job="schema", cause=former))
    assert texts(told(SMALL, *waits), 3.0)[2] == ("└─ … schema  schema  waits: Pods of a former Job are still at work.")
    assert texts(told(SMALL, *waits, events.JobWaits(job="schema", cause=None)), 3.0)[2] == "└─ · schema  schema"


def test_a_job_that_is_made_again_says_which_attempt_it_is() -> None:
    progress = told(
        SMALL,
        *IN_THE_SECOND_PHASE,
        events.JobFailed(job="fetch-a", cause=CAUSE, again=True),
        events.JobRemoved(job="fetch-a", why="failed before"),
        8.0,
        created("fetch-a", "fetch", 1, 2),
    )
    assert texts(progress, 9.0)[3] == "├─ ▶ fetch  fetch-a  0:00:01  attempt 2"
    assert list(failures(progress)) == []


def test_jobs_of_an_earlier_run_count() -> None:
    found = events.JobFound(job="schema", entry="schema", phase=0, complete=True)
    running = events.JobFound(job="fetch-a", entry="fetch", phase=1, complete=False)
    assert texts(told(SMALL, began(), found, running), 3.0)[1:4] == [
        "✔ prepare: 1 Job complete",
        "▶ load: 0 of 3 Jobs complete",
        "├─ ▶ fetch  fetch-a",
    ]


def test_what_is_made_again_as_it_was_changed_is_still_to_come() -> None:
    found = events.JobFound(job="schema", entry="schema", phase=0, complete=True, changed=True)
    kept, remade = Progress(SMALL, 0.0), Progress(SMALL, 0.0, is_changed_remade=True)
    for progress in (kept, remade):
        progress.tell(found, 0.0)
    assert [one.jobs["schema"].is_complete for one in (kept, remade)] == [True, False]


def test_before_anything_begins_it_says_how_far_the_checks_are() -> None:
    progress = told(SMALL)
    for kind in ("Job", "Lease", "Job"):
        progress.called("create", kind)
    assert texts(progress, 2.0)[0] == (
        "m.yaml in namespace default: checking it against the cluster, 2 of 5 Jobs so far, 0:00:02"
    )


def test_the_last_tree_is_whole_with_each_time_and_their_sum_last() -> None:
    names = ("schema", "fetch-a", "fetch-b", "merge", "report")
    every = [events.JobCompleted(job=name, duration_s=5.0) for name in names]
    ended = Ended(
        outcome=Outcome.COMPLETE,
        sentence="All 5 Jobs are complete.",
        jobs=tuple(JobReport(job=name, duration_s=65.0) for name in names),
    )
    removed = [events.JobRemoved(job="report", why="cleanup")]
    progress = told(SMALL, *IN_THE_SECOND_PHASE, *every, *removed, ended)
    assert texts(progress, 30.0, height=None) == [
        "m.yaml in namespace default: 5 of 5 Jobs complete, 0:00:30",
        "✔ prepare: 1 Job complete",
        "└─ ✔ schema  schema  0:01:05",
        "✔ load: 3 Jobs complete",
        "├─ ✔ fetch  fetch-a  0:01:05",
        "├─ ✔ fetch  fetch-b  0:01:05",
        "└─ ✔ merge  merge    0:01:05",
        "✔ end: 1 Job complete",
        "└─ ✔ report  report  0:01:05  removed",
    ]
    assert [line.text for line in outcome(progress)] == ["All 5 Jobs are complete.", "Total: 0:05:25"]


# --- large models ------------------------------------------------------------------------------------------------


def large(phases: int, jobs: int) -> Model:
    return model(
        *((f"phase-{at}", [entry(f"job-{at}-{number}", at) for number in range(jobs)]) for at in range(phases))
    )


def halfway(of: Model) -> Iterator[Event]:
    """The first half of the phases is complete; of the next, a third is complete, one has failed, two run."""
    yield began(sum(1 for _ in of.jobs()))
    middle = len(of.phases) // 2
    for phase in of.phases[: middle + 1]:
        yield events.PhaseBegan(index=phase.index, name=phase.name)
        jobs = [job for one in phase.entries for job in one.jobs]
        done = jobs if phase.index < middle else jobs[: len(jobs) // 3]
        for job in done:
            yield created(job.name, job.entry, job.phase)
            yield events.JobCompleted(job=job.name, duration_s=1.0)
        for job in [] if phase.index < middle else jobs[-3:]:
            yield created(job.name, job.entry, job.phase)
        if phase.index == middle:
            yield events.JobFailed(job=jobs[-1].name, cause=CAUSE, again=False)


@pytest.mark.parametrize("height", [8, 24, 50])
@pytest.mark.parametrize(("phases", "jobs"), [(1, 500), (500, 1), (10, 50), (25, 20), (2, 3)])
def test_it_never_takes_more_lines_than_there_are_and_always_shows_what_failed(
    phases: int, jobs: int, height: int
) -> None:
    of = large(phases, jobs)
    progress = told(of, *halfway(of))
    lines = texts(progress, 60.0, height)
    assert len(lines) <= height
    if jobs > 1:
        assert any("✘ " in line for line in lines), lines


def test_jobs_for_which_there_is_no_room_are_counted_by_state() -> None:
    of = large(1, 60)
    lines = texts(told(of, *halfway(of)), 60.0, 12)
    assert lines[1:] == [
        "▶ phase-0: 20 of 60 Jobs complete".replace("▶", "✘"),
        *(f"├─ · job-0-{number}  job-0-{number}" for number in range(20, 26)),
        "├─ ▶ job-0-57  job-0-57  0:01:00",
        "├─ ▶ job-0-58  job-0-58  0:01:00",
        "├─ ✘ job-0-59  job-0-59  0:00:00  failed: It ended with exit code 3.",
        "└─ … and 51 more: 31 pending, 20 complete",
    ]


def test_many_phases_are_counted_before_and_behind_the_one_under_way() -> None:
    of = large(40, 2)
    lines = texts(told(of, *halfway(of)), 60.0, 16)
    assert lines[1] == "✔ 19 more phases before"
    assert lines[2] == "✔ phase-19: 2 Jobs complete"
    assert lines[3].startswith("✘ phase-20: ")
    assert lines[-1] == "· 16 more phases to come"
