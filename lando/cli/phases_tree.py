"""A run of a model as a tree of its phases and Jobs, in as many lines as there are. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lando.cli.phases_progress import JobView, Progress, State
from lando.cli.rendering import Line
from lando.direct.events import Outcome
from lando.jobernetes.lines import words
from lando.logs import plain
from lando.phases.model import Phase
from lando.units import clock_time, count

_MARKS = {
    State.PENDING: "·",
    State.RUNNING: "▶",
    State.WAITING: "…",
    State.COMPLETE: "✔",
    State.FAILED: "✘",
}
_STYLES = {
    State.PENDING: "dim",
    State.RUNNING: "bold cyan",
    State.WAITING: "yellow",
    State.COMPLETE: "green",
    State.FAILED: "bold red",
}
_WORTH = (State.FAILED, State.WAITING, State.RUNNING, State.PENDING, State.COMPLETE)
"""What is shown first where there is not room for all."""
_ENDS = {Outcome.COMPLETE: "bold green", Outcome.INTERRUPTED: "yellow", Outcome.TERMINATED: "yellow"}
_LONGEST_NAME = 40  # characters of a column
LEAST_HEIGHT = 8  # lines; less is drawn by no terminal that anyone looks at


@dataclass(frozen=True)
class _Part:
    """A phase: its heading, and the Jobs to show below it."""

    heading: Line
    jobs: tuple[JobView, ...]


def tree(progress: Progress, now: float, height: int | None = None, width: int | None = None) -> list[Line]:
    """The run at ``now``, in at most ``height`` lines: phases that are complete are one line, and of a phase with too
    many Jobs the most telling are shown. Without ``height`` everything, with the time of each Job. ``width`` is in
    characters; only the first line is shortened here."""
    head = [Line(headline(progress, now, width), "bold")]
    parts = [_part(progress, phase, now, is_whole=height is None) for phase in progress.model.phases]
    if height is None:
        return [*head, *_lines(progress, parts, None, now)]
    return [*head, *_lines(progress, parts, max(height, LEAST_HEIGHT) - len(head), now)]


def headline(progress: Progress, now: float, width: int | None = None) -> str:
    """``jobermodel.yaml in namespace default: 3 of 5 Jobs complete, 2 running, 0:00:12``; in ``width`` characters, if
    need be without what it is called."""
    path = progress.model.path
    state = _state(progress, now)
    whole = [f"{path} in namespace {progress.model.settings.kubernetes_namespace}: {state}", f"{path}: {state}", state]
    return next((line for line in whole if width is None or len(line) <= width), state)


def _state(progress: Progress, now: float) -> str:
    jobs = progress.jobs.values()
    spent = clock_time(now - progress.began)
    if not progress.is_checked:
        asked = f", {progress.asked} of {len(jobs)} Jobs so far" if progress.asked else ""
        return f"checking it against the cluster{asked}, {spent}"
    counts = Counter(job.state for job in jobs)
    complete = sum(job.is_complete for job in jobs)
    parts = [f"{complete} of {len(jobs)} Jobs complete"]
    parts += [
        f"{counts[state]} {state.value}" for state in (State.RUNNING, State.WAITING, State.FAILED) if counts[state]
    ]
    return ", ".join([*parts, spent])


def _part(progress: Progress, phase: Phase, now: float, *, is_whole: bool) -> _Part:
    jobs = progress.of(phase.entries)
    done = sum(job.is_complete for job in jobs)
    if done == len(jobs):
        state, text = State.COMPLETE, f"{count(done, 'Job')} complete"
    elif phase.index in progress.entered:
        state = State.FAILED if any(job.state is State.FAILED for job in jobs) else State.RUNNING
        text = f"{done} of {count(len(jobs), 'Job')} complete"
    else:
        state, text = State.PENDING, count(len(jobs), "Job")
    is_open = is_whole or state in (State.RUNNING, State.FAILED)
    return _Part(Line(f"{_MARKS[state]} {phase.name}: {text}", _STYLES[state]), tuple(jobs) if is_open else ())


def _lines(progress: Progress, parts: Sequence[_Part], room: int | None, now: float) -> Iterator[Line]:
    if room is not None and len(parts) + 2 * sum(bool(part.jobs) for part in parts) > room:
        parts = _folded(parts, max(room // 2, 1))
    rest = None if room is None else room - len(parts)
    opened = sum(bool(part.jobs) for part in parts)
    for part in parts:
        yield part.heading
        if part.jobs:
            given = None if rest is None else max(rest // opened, 0)
            shown = list(_jobs_of(progress, part.jobs, given, now))
            opened -= 1
            rest = None if rest is None else rest - len(shown)
            yield from shown


def _folded(parts: Sequence[_Part], room: int) -> list[_Part]:
    """The phases around the first one that is under way, and how many there are before and behind it."""
    at = next((index for index, part in enumerate(parts) if part.jobs), 0)
    first = max(at - 1, 0)
    last = min(first + max(room - 2, 1 + (at > first)), len(parts))
    before, behind = first, len(parts) - last
    folded = list(parts[first:last])
    if before:
        folded.insert(0, _Part(Line(f"✔ {count(before, 'more phase')} before", "green"), ()))
    if behind:
        folded.append(_Part(Line(f"· {count(behind, 'more phase')} to come", "dim"), ()))
    return folded


def _jobs_of(progress: Progress, jobs: Sequence[JobView], room: int | None, now: float) -> Iterator[Line]:
    """One line per Job, and one for those for which there is no room."""
    shown = list(jobs)
    if room is not None and len(jobs) > room:
        if room == 0:
            return
        order = sorted(range(len(jobs)), key=lambda index: (_WORTH.index(jobs[index].state), index))
        shown = [jobs[index] for index in sorted(order[: room - 1])]
    left = Counter(job.state for job in jobs) - Counter(job.state for job in shown)
    entry_width = min(max((len(job.file.entry) for job in shown), default=0), _LONGEST_NAME)
    name_width = min(max((len(job.file.name) for job in shown), default=0), _LONGEST_NAME)
    for index, job in enumerate(shown):
        branch = "└─" if index == len(shown) - 1 and not left else "├─"
        names = f"{_cut(job.file.entry, entry_width)}  {_cut(job.file.name, name_width)}"
        text = f"{branch} {_MARKS[job.state]} {names}  {_remark(progress, job, now)}"
        yield Line(text.rstrip(), _STYLES[job.state])
    if left:
        kinds = ", ".join(f"{left[state]} {state.value}" for state in _WORTH if left[state])
        yield Line(f"└─ … and {sum(left.values())} more: {kinds}", "dim")


def _remark(progress: Progress, job: JobView, now: float) -> str:
    """Its time, and what is to be said of it."""
    spent = job.duration_s
    if spent is None and job.began is not None and job.state in (State.RUNNING, State.WAITING):
        spent = now - job.began
    parts = [] if spent is None else [clock_time(spent)]
    if job.attempt > 1:
        parts.append(f"attempt {job.attempt}")
    if job.state is State.WAITING and job.cause is not None:
        parts.append(f"waits: {plain(job.cause.sentence)}")
    elif job.cause is not None:
        parts.append(f"failed: {plain(job.cause.sentence)}")
    elif job.state is State.PENDING and progress.ended is None and (missing := progress.missing(job)):
        parts.append(f"after {', '.join(missing)}")
    if job.is_removed:
        parts.append("removed")
    if job.is_changed:
        parts.append("its file has changed (--changed runs it again)")
    return "  ".join(parts)


def outcome(progress: Progress) -> Iterator[Line]:
    """What stands below the last tree: what failed and why, how the run ended, and its total run time."""
    yield from failures(progress)
    if progress.ended is not None:
        yield Line(plain(progress.ended.sentence), _ENDS.get(progress.ended.outcome, "bold red"))
        if progress.is_checked:
            yield Line(f"Total: {clock_time(sum(job.duration_s or 0.0 for job in progress.jobs.values()))}")


def failures(progress: Progress) -> Iterator[Line]:
    """Each Job that failed for good, why, and the end of its log."""
    for job in progress.jobs.values():
        if job.state is State.FAILED and job.cause is not None:
            yield Line("")
            yield Line(f"{job.file.name} failed: {words(job.cause)}", "bold red")
            yield from (Line(f"  | {plain(line)}", "dim") for line in job.cause.log_tail.rstrip().splitlines())


def _cut(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"
