"""Runs as text: what a person sees in a terminal, in a pipe, and in the live view. Pure."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

import typer

from lando.client.views import OutputFile, RunView, StepView
from lando.logs import plain
from lando.units import binary_size, decimal_size

LOG_LINES = 12  # of a failed step's log that are shown with its cause
PHASE_LINES = 40  # Jobs of one phase that are shown, the most telling
_WORTH = ("Failed", "Running", "Canceled", "Pending", "Complete")
_MARKS = {"Pending": "·", "Running": "▶", "Complete": "✔", "Failed": "✘", "Canceled": "⊘"}
_STYLES = {
    "Pending": "dim",
    "Running": "bold cyan",
    "Complete": "green",
    "Failed": "bold red",
    "Finished": "bold green",
    "Error": "bold red",
    "Canceled": "yellow",
    "Canceling": "yellow",
}


@dataclass(frozen=True)
class Line:
    """One line with the style that a terminal gives it."""

    text: str
    style: str = ""


def tree(run: RunView, now: datetime) -> Iterator[Line]:
    """A run with its steps, then why it failed, what it waits for and what its owner should know."""
    yield Line(headline(run, now), _STYLES.get(run.state, "bold"))
    for phase, grouped in groupby(run.steps, key=lambda step: step.phase):
        steps = list(grouped)
        yield from _phase(run, phase, steps, now) if phase else _steps(run, steps, now)
    if run.cause:
        yield Line(f"why: {run.cause}", "red")
        yield from (Line(f"   | {text}", "dim") for text in _last_lines(run))
    if run.condition and not run.over:
        yield Line(f"waits for: {run.condition}", "yellow")
    for warning in run.warnings:
        yield Line(f"note: {warning}", "yellow")
    if told := volume(run):
        yield Line(told, "dim")


def _phase(run: RunView, phase: str, steps: Sequence[StepView], now: datetime) -> Iterator[Line]:
    """A phase's Jobs; of one still to come only how many, of one that is complete as well until the run is over, and of
    many those worth a look."""
    counts = Counter(step.state for step in steps)
    jobs = "1 Job" if len(steps) == 1 else f"{len(steps)} Jobs"
    if len(counts) == 1 and steps[0].state in ("Complete", "Pending"):
        state = steps[0].state
        told = f"{jobs} complete" if state == "Complete" else jobs
        yield Line(f"{_MARKS[state]} {phase}: {told}", _STYLES[state])
        if state == "Pending" or not run.over:
            return
    else:
        state = next((one for one in ("Failed", "Canceled") if counts[one]), "Running")
        yield Line(f"{_MARKS[state]} {phase}: {counts['Complete']} of {jobs} complete", _STYLES.get(state, ""))
    shown = set(sorted(range(len(steps)), key=lambda index: (_WORTH.index(steps[index].state), index))[:PHASE_LINES])
    picked = [step for index, step in enumerate(steps) if index in shown]
    yield from _steps(run, picked, now, left=counts - Counter(step.state for step in picked))


def _steps(
    run: RunView, steps: Sequence[StepView], now: datetime, left: Mapping[str, int] | None = None
) -> Iterator[Line]:
    """One line per step, then ``left``, how many more there are by their state."""
    width = max((len(title(step.name)) for step in steps), default=0)
    for index, step in enumerate(steps):
        is_last = index == len(steps) - 1 and not left
        mark = _MARKS.get(step.state, " ")
        text = f"{'└─' if is_last else '├─'} {mark} {title(step.name):<{width}}  {step.state:<8}  "
        text += "  ".join(part for part in (_step_times(step, now), step.sentence) if part)
        yield Line(text.rstrip(), _STYLES.get(step.state, ""))
        yield from (Line(f"{' ' if is_last else '│'}      {text}", "dim") for text in _attempts(run, step, now))
    if left:
        kinds = ", ".join(f"{number} {state}" for state, number in left.items())
        yield Line(f"└─ … and {sum(left.values())} more: {kinds}", "dim")


def volume(run: RunView) -> str:
    """How full its output volume was last; empty where nobody said."""
    use = run.document.get("volume")
    if not use:
        return ""
    share = use["used"] / use["size"]
    return f"output volume: {share:.0%} full, {binary_size(use['used'])} of {binary_size(use['size'])}"


def _attempts(run: RunView, step: StepView, now: datetime) -> Iterator[str]:
    """The attempts of a step that has had several."""
    made = [attempt for attempt in run.attempts if attempt.step == step.name]
    for attempt in made if len(made) > 1 else ():
        text = f"attempt {attempt.number}: {attempt.state}"
        if attempt.began and (attempt.ended or attempt.state == "Running"):
            text += f" {'for' if attempt.ended is None else 'after'} {duration((attempt.ended or now) - attempt.began)}"
        why = f"{attempt.category}: {attempt.sentence}" if attempt.category else attempt.sentence
        yield f"{text}, {why}" if why else text


def _last_lines(run: RunView) -> list[str]:
    """What of the failed step's log belongs below its cause; ``lando logs`` has the rest."""
    lines = [line for line in run.cause_details.splitlines() if line.strip()]
    return [line for line in lines if not line.endswith(run.cause)][-LOG_LINES:]


def headline(run: RunView, now: datetime) -> str:
    """``run 3 "batch 17" (exome/1): Running for 12 s, since 2026-03-04 15:06:07 UTC``."""
    text = f'run {run.id} "{run.name}"'
    if run.workflow:
        text += f" ({run.workflow})"
    text += f": {run.state}"
    if run.created is None:
        return text
    spent = duration(((run.ended if run.over else None) or now) - run.created)
    if run.over:
        return f"{text} after {spent}" if run.ended else text
    return f"{text}, created {spent} ago"


def title(step: str) -> str:
    """``run_workflow`` in words."""
    return step.replace("_", " ")


def _step_times(step: StepView, now: datetime) -> str:
    parts = []
    if step.started is not None and (step.ended is not None or step.state == "Running"):
        parts.append(duration((step.ended or now) - step.started))
    if step.attempt is not None and step.attempt > 1:
        parts.append(f"attempt {step.attempt}")
    return ", ".join(parts)


def duration(span: timedelta) -> str:
    """A time in words: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def changes(before: RunView | None, after: RunView) -> Iterator[str]:
    """What is new in ``after``, line by line, for readers that can't redraw."""
    old_steps = {step.name: step for step in before.steps} if before else {}
    state = [f"run {after.id}: {after.state}"] if before is None or before.state != after.state else []
    if not after.over:
        yield from state
    for step in after.steps:
        old = old_steps.get(step.name)
        why = step.sentence if old is None or step.sentence != old.sentence else ""  # which may come after the state
        if step.state == (old.state if old else "Pending") and (old is None or step.attempt == old.attempt):
            if why:
                yield f"{title(step.name)}: {why}"
            continue
        spent = f" ({duration(step.ended - step.started)})" if step.started and step.ended else ""
        attempt = f", attempt {step.attempt}" if step.attempt is not None and step.attempt > 1 else ""
        yield f"{title(step.name)}: {step.state}{spent}{attempt}{f': {why}' if why else ''}"
    if after.over:
        yield from state
    if after.condition and after.condition != (before.condition if before else "") and not after.over:
        yield f"waits for: {after.condition}"
    for warning in after.warnings:
        if before is None or warning not in before.warnings:
            yield f"note: {warning}"
    if after.cause and after.cause != (before.cause if before else ""):
        yield f"why: {after.cause}"
        yield from (f"   | {text}" for text in _last_lines(after))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Columns aligned to the left, two blanks between them."""
    lines = [list(headings), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def runs_table(runs: Sequence[RunView], now: datetime) -> Iterator[str]:
    """One line per run: number, state, step, age, name."""
    rows = [
        (
            str(run.id),
            run.state,
            _current_step(run),
            f"{duration(now - run.created)} ago" if run.created else "",
            run.name,
        )
        for run in runs
    ]
    return table(("ID", "STATE", "STEP", "CREATED", "NAME"), rows)


def history_table(run: RunView) -> Iterator[str]:
    """One line per change of the run and per attempt that Lando made by itself, oldest first."""
    rows = []
    for entry in run.document.get("activities") or ():
        attempt, job = entry.get("attempt"), entry.get("job")
        rows.append(
            (
                str(entry["created"]),
                str(entry["state"]),
                str(entry["step"] or ""),
                "" if attempt is None else str(attempt),
                f"{job} ({entry.get('uid')})" if job else "",
                ": ".join(str(entry[key]) for key in ("category", "sentence") if entry.get(key)),
            )
        )
    return table(("TIME", "STATE", "STEP", "ATTEMPT", "JOB (UID)", "WHY"), rows)


def _age(run: RunView, now: datetime) -> str:
    return f"{duration(now - run.created)} ago" if run.created else ""


def _current_step(run: RunView) -> str:
    """Of a phased run, whose steps may be many at work, how far it has got."""
    if run.kind == "phases":
        progress = run.document.get("progress") or {}
        return f"{progress.get('Complete', 0)} of {sum(progress.values())} Jobs"
    current = [step for step in run.steps if step.state in ("Running", "Failed")]
    return title(current[-1].name) if current else ""


def outputs_table(files: Sequence[OutputFile]) -> Iterator[str]:
    """One line per result: size and path."""
    return table(("SIZE", "PATH"), [(decimal_size(file.size), file.path) for file in files])


def steps_table(run: RunView) -> Iterator[str]:
    """One line per step: its state and how long it took."""
    rows = []
    for step in run.steps:
        spent = duration(step.ended - step.started) if step.started and step.ended else ""
        rows.append((title(step.name), step.state, spent))
    return table(("STEP", "STATE", "TIME"), rows)


def utc_now() -> datetime:
    """Aware, in UTC."""
    return datetime.now(UTC)


def finding_line(finding: object, *, is_error: bool) -> str:
    """What is wrong with a file, with a word for how bad it is."""
    word, colour = ("error  ", "red") if is_error else ("warning", "yellow")
    shown = word if os.environ.get("NO_COLOR") else typer.style(word, fg=colour)
    return f"{shown}  {plain(finding)}"
