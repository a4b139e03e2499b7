"""Jobs of definitions as text. Pure; the documents are the API's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from lando.cli import rendering
from lando.cli.rendering import Line
from lando.logs import plain

EVENTS = 30
"""Of a Job, that are shown to people, the latest."""
LEAST_WHY = 20
"""Columns for the cause, however narrow the terminal."""
_STYLES = {"Running": "bold cyan", "Complete": "bold green", "Failed": "bold red"}

Document = Mapping[str, Any]


def table(jobs: Sequence[Document], now: datetime, width: int | None) -> Iterator[str]:
    """One line per Job: name, definition, state, age, cause; no wider than ``width`` where the cause alone is cut."""
    rows = []
    for job in jobs:
        created = _time(job.get("created"))
        rows.append(
            (
                plain(job["job_name"]),
                plain(job.get("job_definition_name")),
                "Deleting" if _is_going(job) else plain(job["state"]),
                f"{rendering.duration(now - created)} ago" if created else "",
                plain((job.get("cause") or {}).get("sentence")),
            )
        )
    headings = ("JOB", "DEFINITION", "STATE", "CREATED", "WHY")
    if width is not None:
        taken = sum(max(map(len, column)) + 2 for column in list(zip(headings, *rows, strict=True))[:-1])
        room = max(width - taken, LEAST_WHY)
        rows = [(*row[:-1], row[-1] if len(row[-1]) <= room else f"{row[-1][: room - 1].rstrip()}…") for row in rows]
    return rendering.table(headings, rows)


def job(found: Document, told: Document, now: datetime) -> Iterator[Line]:
    """One Job: how it stands, why, what to do, its log's end, and its events."""
    state = str(found["state"])
    yield Line(plain(_headline(found, now)), _STYLES.get(state, "bold"))
    if _is_going(found):
        yield Line("it is being deleted", "dim")
    if found.get("user"):
        yield Line(f"made by: {plain(found['user'])}")
    if found.get("kept"):
        yield Line(f"gone from the cluster; this is what was kept at {plain(found['kept'])}", "dim")
    if found.get("lost"):
        yield Line(f"lost: {plain(found['lost'])}", "yellow")
    yield from cause(found)
    for pod, messages in (told.get("terminations") or {}).items():
        for container, message in messages.items():
            yield Line(f"{plain(pod)}/{plain(container)} left the message: {plain(message)}")
    events = told.get("events") or ()
    if events:
        earlier = f"; {len(events) - EVENTS} earlier ones by --json" if len(events) > EVENTS else ""
        yield Line(f"events, oldest first{earlier}:")
        yield from (Line(f"  {_event(event)}", "dim") for event in events[-EVENTS:])


def cause(found: Document) -> Iterator[Line]:
    """Why it failed or what it waits for, and what to do."""
    why = found.get("cause") or {}
    if why.get("sentence"):
        is_over = found["state"] != "Running"
        style = "red" if is_over else "yellow"
        yield Line(f"{'why' if is_over else 'waits for'}: {plain(why['sentence'])}", style)
    if why.get("advice"):
        yield Line(f"what to do: {plain(why['advice'])}")
    if why.get("log_tail"):
        lines = str(why["log_tail"]).rstrip("\n").split("\n")[-rendering.LOG_LINES :]
        yield from (Line(f"   | {plain(line)}", "dim") for line in lines)


def _headline(found: Document, now: datetime) -> str:
    """``greet-92bb1d (greet): Failed after 12 s, created 3 min 20 s ago``."""
    text = f"{found['job_name']}"
    if found.get("job_definition_name"):
        text += f" ({found['job_definition_name']})"
    text += f": {found['state']}"
    created, (began, ended) = _time(found.get("created")), _span(found)
    if began is not None and (ended is not None or found["state"] == "Running"):
        text += f" {'after' if ended else 'for'} {rendering.duration((ended or now) - began)}"
    return f"{text}, created {rendering.duration(now - created)} ago" if created else text


def _is_going(found: Document) -> bool:
    return bool((found.get("status") or {}).get("deletion_timestamp")) and not found.get("kept")


def _span(found: Document) -> tuple[datetime | None, datetime | None]:
    """When it began and ended; a Job that failed has no time of completion, but a condition."""
    status = found.get("status") or {}
    ends = [
        one.get("last_transition_time")
        for one in status.get("conditions") or ()
        if one.get("status") == "True" and one.get("type") == found["state"]
    ]
    return _time(status.get("start_time")), _time(status.get("completion_time") or next(iter(ends), None))


def _event(event: Document) -> str:
    count = f" ({event['count']} times)" if (event.get("count") or 1) > 1 else ""
    return plain(f"{event.get('time')} {event.get('object')}, {event.get('reason')}{count}: {event.get('message')}")


class Prefix:
    """What begins a line, where there is more than one source: pod and container, short and for each always the same.

    Of the pod's name only what comes after the Job's.
    """

    def __init__(self, job: str, *, is_shown: bool) -> None:
        self._job = job
        self.is_shown = is_shown

    def __call__(self, pod: str, container: str) -> str:
        return plain(f"{pod.removeprefix(f'{self._job}-')}/{container} | ") if self.is_shown else ""


def _time(text: Any) -> datetime | None:
    """An HTTP date."""
    try:
        return parsedate_to_datetime(text) if isinstance(text, str) else None
    except ValueError:
        return None
