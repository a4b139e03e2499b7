"""Runs kept by Bespin's admin REST API, ours or the original (bespin-admin-api contract).

State and step are letters there; :mod:`lando.bespin.letters` projects them. The original has no entity tags: a write is
guarded by ``If-Match`` only where the API gave a version. Conditions and warnings go to our own API, where one is
configured.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from lando.bespin import letters
from lando.bespin.documents import BespinJob, MethodsDocument, ShareGroup, StageGroup, moment, read
from lando.config import BespinApiSettings, LandoApiSettings
from lando.errors import NotFound, PeerError, Rejected, Unavailable, UnknownRun
from lando.messages.codec import progress_notice
from lando.runs import UNFINISHED, Attempt, Cause, Run, RunState, RunSummary, StepState
from lando.sources.attempts import AttemptTeller
from lando.sources.http import Answer, JsonApi, OnCall, lando_api

_PEER = "Bespin API"
IDS_PER_LIST = 100  # asked for at a time, so that the URL stays short
JOBS_PER_PAGE = 500
NO_LIST_S = 3600.0  # before a list that was too much is asked for again

log = logging.getLogger(__name__)


class BespinSource:
    """The admin routes that a cwl run needs."""

    def __init__(
        self,
        settings: BespinApiSettings,
        lando_settings: LandoApiSettings | None = None,
        *,
        on_call: OnCall | None = None,
    ) -> None:
        self._api = JsonApi(
            _PEER,
            f"{settings.url.rstrip('/')}/admin",
            settings.token,
            on_call=on_call,
            ca_file=settings.ssl_ca_cert,
            proxy=settings.proxy,
        )
        self._lando = lando_api(lando_settings, on_call) if lando_settings else None
        self._no_list_before = 0.0
        self._attempts = AttemptTeller(self._lando) if self._lando else None

    def close(self) -> None:
        """Close every connection."""
        self._api.close()
        if self._lando:
            self._lando.close()

    def get(self, run_id: int) -> Run:
        """The run as it is recorded now; :class:`lando.errors.UnknownRun` when there is none of that id."""
        try:
            answer = self._api.request("GET", f"jobs/{run_id}/")
        except NotFound as error:
            raise UnknownRun(f"The Bespin API knows no job {run_id}.") from error
        return _run(answer)

    def survey(self, run_ids: Collection[int]) -> dict[int, RunSummary]:
        """Jobs in S, R, r and c, and those of ``run_ids``: two lists of an API of ours, one whole list of the original,
        which has no such filters (bespin-admin-api contract, 2).

        One that has too many jobs to list them in time is asked for the jobs of ``run_ids`` one by one.
        """
        asked = frozenset(run_ids)
        try:
            if time.monotonic() < self._no_list_before:
                return self._one_by_one(asked)
            return self._listed(asked)
        except Unavailable as error:
            self.probe()  # is it away, or is only the list too much for it?
            log.warning("The jobs can't be listed, so that only those with objects are looked after: %s", error)
            self._no_list_before = time.monotonic() + NO_LIST_S
            return self._one_by_one(asked)

    def _listed(self, asked: frozenset[int]) -> dict[int, RunSummary]:
        states = [letters.STATES[state] for state in UNFINISHED]
        found: dict[int, RunSummary] = {}
        is_filtered = True
        for document in self._pages([("state", letter) for letter in states]):
            is_wanted = isinstance(document, Mapping) and document.get("state") in states
            is_filtered = is_filtered and is_wanted
            _note(found, document, is_wanted, asked)
        rest = sorted(asked - found.keys()) if is_filtered else []
        for start in range(0, len(rest), IDS_PER_LIST):
            query = [("id", str(run_id)) for run_id in rest[start : start + IDS_PER_LIST]]
            for document in self._api.items("jobs/", query=query):
                _note(found, document, False, asked)
        return found

    def _pages(self, query: Sequence[tuple[str, str]]) -> Iterator[Any]:
        """The jobs of a list, page by page of an API of ours; the original gives all at once, whatever is asked."""
        after, is_full = 0, True
        while is_full:
            number, last = 0, after
            page = [*query, ("after", str(after)), ("limit", str(JOBS_PER_PAGE))]
            for document in self._api.items("jobs/", query=page):
                job_id = document.get("id") if isinstance(document, Mapping) else None
                if isinstance(job_id, int):
                    if 0 < job_id <= after:
                        return  # the same list once more
                    last = max(last, job_id)
                number += 1
                yield document
            is_full = number == JOBS_PER_PAGE and last > after
            after = last

    def _one_by_one(self, asked: frozenset[int]) -> dict[int, RunSummary]:
        found: dict[int, RunSummary] = {}
        for run_id in sorted(asked):
            with contextlib.suppress(NotFound):
                _note(found, self._api.request("GET", f"jobs/{run_id}/").document, False, asked)
        return found

    def inputs(self, run: Run, name: str) -> Any:
        """The stage group, methods document or share group of the job; None where it has none."""
        job = _job(run)
        match name:
            case "stage_group":
                return self._part(StageGroup, "job-file-stage-groups", job.stage_group)
            case "methods_document":
                document = job.workflow_version.methods_document if job.workflow_version else None
                return self._part(MethodsDocument, "workflow-methods-documents", document)
            case "share_group":
                return self._part(ShareGroup, "share-groups", job.share_group)
            case _:
                raise KeyError(name)

    def _part(self, kind: Any, resource: str, part_id: int | None) -> Any:
        if part_id is None:
            return None
        return read(kind, self._api.request("GET", f"{resource}/{part_id}").document)

    def write(
        self, run: Run, *, state: RunState | None = None, steps: Mapping[str, StepState] | None = None
    ) -> tuple[Run, bytes | None]:
        """Write the letters that differ; a notice follows unless the only thing written is an empty step."""
        job = _job(run)
        body: dict[str, str] = {}
        if state is not None and letters.STATES[state] != job.state:
            body["state"] = letters.STATES[state]
        if steps is not None and letters.letter_of(steps) != job.step:
            body["step"] = letters.letter_of(steps)
        if not body:
            return run, None
        try:
            answer = self._api.request("PUT", f"jobs/{run.id}/", body, if_match=run.version)
        except NotFound as error:
            raise UnknownRun(f"The Bespin API knows no job {run.id} any more.") from error
        written = _run(answer)
        job = _job(written)
        if body == {"step": ""}:
            return written, None
        return written, progress_notice(job.id, job.state, job.step)

    def report_error(self, run: Run, step: str | None, cause: Cause, *, again: bool = False) -> None:
        """A6. Neither text nor step is ever empty, as the original's API refuses such records and the cause is lost.

        The cause's category goes to our own API only, told by its generations: the original has no place for it. Ours
        keeps what comes twice once.
        """
        letter, content = letters.error_letter(step), cause.text()
        body: dict[str, Any] = {"job": str(run.id), "job_step": letter, "content": content}
        if run.generation is not None:
            body |= {"category": cause.category.value, "generation": run.generation}
        elif again and self._is_told(run, letter, content):
            return
        self._api.request("POST", "job-errors/", body)

    def _is_told(self, run: Run, letter: str, content: str) -> bool:
        """Whether the error is on record; one from before the run's present end is another attempt's."""
        known = self._api.request("GET", "job-errors/", query=[("job", str(run.id))]).document
        ended = self.changed(run) if run.state is RunState.ERROR else None
        return isinstance(known, list) and any(
            isinstance(error, Mapping)
            and error.get("content") == content
            and error.get("job_step") == letter
            and not (ended and (created := moment(error.get("created"))) and created < ended)
            for error in known
        )

    def store_output(self, run: Run, ids: Mapping[str, str]) -> None:
        """A7, unless the very same ids are on record."""
        project = _job(run).output_project
        if project is None:
            raise Rejected(_PEER, f"job {run.id} has no output project to record its results in")
        wanted = {key: ids.get(key, "") for key in ("project_id", "readme_file_id")}
        if wanted == {"project_id": project.project_id, "readme_file_id": project.readme_file_id}:
            return
        body = {"id": project.id, "job": str(run.id), **wanted}
        self._api.request("PUT", f"job-dds-output-projects/{project.id}/", body)

    def set_condition(self, run: Run, step: str, sentence: str | None) -> None:
        """What the run waits for, told to our own API; only logged without one."""
        if sentence is None:
            log.info("Run %d: step %s waits no longer", run.id, step)
        else:
            log.info("Run %d: step %s waits: %s", run.id, step, sentence)
        self._condition(run, {"step": step, "sentence": sentence})

    def tell_attempts(self, run: Run, attempts: Sequence[Attempt]) -> None:
        """Which Jobs the steps were given to and how they ended, told to our own API; only logged without one."""
        for one in attempts:
            log.info("Run %d: attempt %d of step %s: %s", run.id, one.number, one.step, one.state.value)
        if self._attempts is not None:
            self._attempts.tell(run.id, attempts)

    def warn(self, run: Run, step: str, warnings: Sequence[str]) -> None:
        """What a successful step had to say, told to our own API; only logged without one."""
        for one in warnings:
            log.info("Run %d: step %s warns: %s", run.id, step, one)
        self._condition(run, {"step": step, "sentence": None, "warnings": list(warnings)})

    def _condition(self, run: Run, body: Mapping[str, Any]) -> None:
        if self._lando is not None:
            self._lando.request("PUT", f"runs/{run.id}/condition", body)

    def changed(self, run: Run) -> datetime | None:
        """When the job last changed, if the API said so."""
        return _job(run).changed

    def probe(self) -> None:
        """An empty answer of a route that both APIs have."""
        self._api.request("GET", "job-errors/", query=[("job", "0")])


def _job(run: Run) -> BespinJob:
    job = run.document
    if not isinstance(job, BespinJob):
        raise TypeError(f"run {run.id} was not read by the Bespin source")
    return job


def _note(found: dict[int, RunSummary], document: Any, is_wanted: bool, asked: frozenset[int]) -> None:
    """Add what a job of a list says of itself, if it is wanted or asked for; one that can't be read is left out."""
    if not isinstance(document, Mapping) or not (is_wanted or document.get("id") in asked):
        return
    try:
        run = _run(Answer(document=document))
    except PeerError as error:
        log.warning("A job of the list is left out: %s", error)
        return
    job = _job(run)
    found[run.id] = RunSummary(
        id=run.id,
        state=run.state,
        steps=run.steps,
        generation=run.generation,
        changed=job.changed,
        connection=job.job_settings.lando_connection if job.job_settings else None,
        held=run.held,
    )


def _run(answer: Answer) -> Run:
    job = read(BespinJob, answer.document)
    try:
        state = letters.state_of(job.state)
    except KeyError as error:
        raise Rejected(_PEER, f"answered job {job.id} with the unknown state {job.state!r}") from error
    return Run(
        id=job.id,
        kind="cwl",
        owner=job.user.username,
        name=job.name,
        state=state,
        steps=letters.steps_of(state, job.step),
        generation=job.generation,
        held=job.held,
        version=answer.etag,
        document=job,
    )
