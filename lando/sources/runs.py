"""Runs of the kinds besides cwl, kept by our own API: states and steps in words, written under their version."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from lando.bespin.documents import moment
from lando.config import LandoApiSettings
from lando.errors import NotFound, Rejected, UnknownRun
from lando.phases.files import Bundle
from lando.phases.reading import read
from lando.plans.phases import KIND, RESOURCES, Submission, Unreadable
from lando.runs import UNFINISHED, Attempt, Cause, Run, RunState, RunSummary, StepState
from lando.sources.attempts import AttemptTeller
from lando.sources.http import Answer, JsonApi, OnCall, lando_api

IDS_PER_LIST = 100  # asked for at a time, so that the URL stays short
RUNS_PER_PAGE = 500
SUBMISSIONS_KEPT = 32  # of up to 4 MiB each; a look at every step of a run does not fetch it again
_PEER = "Lando API"
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
"""What a document of another shape leads to."""

log = logging.getLogger(__name__)


class RunsSource:
    """The routes ``admin/runs`` and, for what a run waits for and its attempts, ``runs``."""

    def __init__(self, settings: LandoApiSettings, *, on_call: OnCall | None = None) -> None:
        self._api: JsonApi = lando_api(settings, on_call)
        self._attempts = AttemptTeller(self._api)
        self._submissions: OrderedDict[str, Submission] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close every connection."""
        self._api.close()

    def get(self, run_id: int) -> Run:
        """The run as it is recorded now; :class:`lando.errors.UnknownRun` when there is none of that id."""
        try:
            return self._run(self._api.request("GET", f"admin/runs/{run_id}"))
        except NotFound as error:
            raise UnknownRun(f"The Lando API knows no run {run_id}.") from error

    def survey(self, run_ids: Collection[int]) -> dict[int, RunSummary]:
        """Unfinished runs and those of ``run_ids``: one list, page by page, and one for each hundred of the rest.

        None of an API of a version that has no runs of these kinds.
        """
        unfinished = [("state", state.value) for state in UNFINISHED]
        try:
            found = {summary.id: summary for summary in self._pages(unfinished)}
        except NotFound:
            log.info("The Lando API keeps no phased runs: its server is older.")
            return {}
        rest = sorted(set(run_ids) - found.keys())
        for start in range(0, len(rest), IDS_PER_LIST):
            ids = [("id", str(run_id)) for run_id in rest[start : start + IDS_PER_LIST]]
            found |= {summary.id: summary for summary in self._pages(ids)}
        return found

    def _pages(self, query: list[tuple[str, str]]) -> Iterator[RunSummary]:
        after, is_full = 0, True
        while is_full:
            page = [*query, ("after", str(after)), ("limit", str(RUNS_PER_PAGE))]
            documents = list(self._api.items("admin/runs", query=page))
            for document in documents:
                try:
                    yield _summary(document)
                except _UNREADABLE as error:
                    log.warning("A run of the list is left out, it can't be read: %r", error)
            is_full = len(documents) == RUNS_PER_PAGE and documents[-1]["id"] > after
            after = documents[-1]["id"] if documents else after

    def inputs(self, run: Run, name: str) -> Any:
        """None: a model holds all that its Jobs are made of."""
        return None

    def write(
        self, run: Run, *, state: RunState | None = None, steps: Mapping[str, StepState] | None = None
    ) -> tuple[Run, bytes | None]:
        """Write what differs, guarded by the version that was read; no notice follows."""
        body: dict[str, Any] = {}
        if state is not None and state is not run.state:
            body["state"] = state.value
        known = {name: one for name, one in (steps or {}).items() if name != RESOURCES}
        if changed := {name: one.value for name, one in known.items() if run.steps.get(name) is not one}:
            body["steps"] = changed
        if not body:
            return replace(run, steps=dict(steps)) if steps is not None else run, None
        try:
            answer = self._api.request("PUT", f"admin/runs/{run.id}", body, if_match=run.version)
        except NotFound as error:
            raise UnknownRun(f"The Lando API knows no run {run.id} any more.") from error
        return self._run(answer), None

    def report_error(self, run: Run, step: str | None, cause: Cause, *, again: bool = False) -> None:
        """The API keeps what comes twice once, so that it may be told ``again``."""
        body = {
            "step": _row(step),
            "category": cause.category.value,
            "content": cause.text(),
            "exit_code": cause.exit_code,
            "generation": run.generation,
        }
        self._api.request("POST", f"admin/runs/{run.id}/errors", body)

    def store_output(self, run: Run, ids: Mapping[str, str]) -> None:
        """Nothing: these runs report no ids."""

    def set_condition(self, run: Run, step: str, sentence: str | None) -> None:
        """What the run waits for."""
        self._condition(run, {"step": _row(step), "sentence": sentence})

    def warn(self, run: Run, step: str, warnings: Sequence[str]) -> None:
        """What a successful step had to say."""
        self._condition(run, {"step": _row(step), "sentence": None, "warnings": list(warnings)})

    def _condition(self, run: Run, body: Mapping[str, Any]) -> None:
        self._api.request("PUT", f"runs/{run.id}/condition", body)

    def tell_attempts(self, run: Run, attempts: Sequence[Attempt]) -> None:
        """Which Jobs the steps were given to and how they ended."""
        self._attempts.tell(run.id, attempts)

    def changed(self, run: Run) -> datetime | None:
        """When state or a step last changed."""
        return run.changed

    def probe(self) -> None:
        """An empty list; an older API, which has none, answers, too."""
        with suppress(NotFound):
            self._api.request("GET", "admin/runs", query=[("limit", "1"), ("id", "0")])

    def _run(self, answer: Answer) -> Run:
        document = answer.document
        try:
            summary = _summary(document)
            owner, name, digest = str(document["owner"]), str(document["name"]), str(document["document_digest"])
        except _UNREADABLE as error:
            raise Rejected(_PEER, f"answered with a run that can't be read: {error!r}") from error
        if summary.kind != KIND:
            raise Rejected(_PEER, f"answered run {summary.id} with the unknown kind {summary.kind!r}")
        submission = self._submission(summary.id, digest)
        return Run(
            id=summary.id,
            kind=summary.kind,
            owner=owner,
            name=name,
            state=summary.state,
            steps=_with_resources(submission, summary.steps),
            generation=summary.generation,
            held=summary.held,
            version=answer.etag,
            changed=summary.changed,
            document=submission,
        )

    def _submission(self, run_id: int, digest: str) -> Submission | Unreadable:
        with self._lock:
            if (known := self._submissions.get(digest)) is not None:
                self._submissions.move_to_end(digest)
                return known
        document = self._api.request("GET", f"admin/runs/{run_id}/document").document
        try:
            model, findings = read(Bundle(document["files"]), document["model"])
            restricted = document.get("restricted") is not False
        except _UNREADABLE as error:
            raise Rejected(_PEER, f"answered run {run_id} with a document that can't be read: {error!r}") from error
        if model is None:
            return Unreadable(reason=next(str(finding) for finding in findings if finding.is_error))
        submission = Submission(model=model, restricted=restricted)
        with self._lock:
            self._submissions[digest] = submission
            if len(self._submissions) > SUBMISSIONS_KEPT:
                self._submissions.popitem(last=False)
        return submission


def _with_resources(submission: Submission | Unreadable, steps: Mapping[str, StepState]) -> dict[str, StepState]:
    """The step that makes the resources is no row of the API: it was done before any other began."""
    if isinstance(submission, Unreadable) or not submission.model.resources:
        return dict(steps)
    is_begun = any(state is not StepState.PENDING for state in steps.values())
    return {RESOURCES: StepState.COMPLETE if is_begun else StepState.PENDING, **steps}


def _row(step: str | None) -> str | None:
    return None if step == RESOURCES else step


def _summary(document: Mapping[str, Any]) -> RunSummary:
    connection, generation = document.get("lando_connection"), document.get("generation")
    return RunSummary(
        id=int(document["id"]),
        kind=str(document["kind"]),
        state=RunState(document["state"]),
        steps={str(name): StepState(state) for name, state in document["steps"].items()},
        generation=None if generation is None else int(generation),
        changed=moment(document.get("last_updated") or ""),
        connection=None if connection is None else int(connection),
        held=bool(document.get("held")),
    )
