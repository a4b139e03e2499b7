"""Forgetting uploads that nothing refers to: a submission that was given up, an upload that broke off, a crash.

An upload is kept while an input or a workflow version names it, and for a while after it was made, so that whoever
uploads has the time to name it. The inputs of a deleted job, which can't run again, keep theirs for as long.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from lando.api.database import Database
from lando.api.files import FileStore, FileUrls
from lando.api.models import Job, UploadedFile, UrlInputFile, WorkflowVersion, now
from lando.errors import LandoError

logger = logging.getLogger(__name__)

FIRST_SWEEP_S = 60.0
SWEEP_S = 3600.0
BATCH = 200


class UnusedFiles:
    """Sweeps now and then while the server runs; several servers of one site may do so side by side."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        *,
        keep_s: float,
        sweep_s: float = SWEEP_S,
        also: Callable[[], object] = lambda: None,
    ) -> None:
        """``also`` forgets what else is swept as often."""
        self._database = database
        self._files = files
        self._keep_s = keep_s
        self._sweep_s = sweep_s
        self._also = also
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sweep, the first time after a while: a start has better to do."""
        self._thread = threading.Thread(target=self._run, name="unused files", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End after the batch in hand."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def sweep(self) -> int:
        """Remove what is too old and unused; how many files went."""
        removed, last = 0, ""
        while not self._stop.is_set():
            with self._database.write() as session:
                batch = self._old(session, last)
                unused = _unused(session, batch, now() - timedelta(seconds=self._keep_s))
                session.execute(delete(UploadedFile).where(UploadedFile.id.in_(unused)))
            for file_id in unused:  # after the commit: a row never stands for a file that is gone
                self._files.remove(file_id)
            removed += len(unused)
            if len(batch) < BATCH:
                return removed + self._sweep_folder()
            last = batch[-1].id
        return removed

    def _old(self, session: Session, after: str) -> Sequence[UploadedFile]:
        # Locked, so that nobody names a file while it goes: whoever wants to asks for its row first.
        return session.scalars(
            select(UploadedFile)
            .where(UploadedFile.id > after, UploadedFile.created < now() - timedelta(seconds=self._keep_s))
            .order_by(UploadedFile.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()

    def _sweep_folder(self) -> int:
        """Remove old files that no row knows: of uploads that a crash cut off."""
        removed = 0
        old = self._files.older_than(time.time() - self._keep_s)
        while not self._stop.is_set() and (batch := [path for path, _ in zip(old, range(BATCH), strict=False)]):
            with self._database.read() as session:
                known = set(
                    session.scalars(select(UploadedFile.id).where(UploadedFile.id.in_([p.name for p in batch])))
                )
            for path in batch:
                if path.name not in known:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _run(self) -> None:
        pause = min(FIRST_SWEEP_S, self._sweep_s)
        while not self._stop.wait(pause * random.uniform(0.5, 1.5)):  # noqa: S311 - jitter, not a secret
            pause = self._sweep_s
            try:
                if removed := self.sweep():
                    logger.info("Removed %d uploaded files that nothing refers to", removed)
                self._also()
            except (LandoError, OSError) as error:
                logger.warning("Unused uploads and old mails can't be removed now: %s", error)
            except Exception:
                logger.exception("The sweep of unused uploads failed and goes on")


def _unused(session: Session, files: Sequence[UploadedFile], before: datetime) -> list[str]:
    """The ids of those that neither a workflow version names nor an input, but for those of jobs deleted ``before``."""
    urls = {FileUrls.stored(file.id, file.name): file.id for file in files}
    deleted = exists().where(
        Job.stage_group_id == UrlInputFile.stage_group_id, Job.state == "D", Job.last_updated < before
    )
    named = set(session.scalars(select(WorkflowVersion.url).where(WorkflowVersion.url.in_(urls))))
    named.update(session.scalars(select(UrlInputFile.url).where(UrlInputFile.url.in_(urls), ~deleted)))
    return [file_id for url, file_id in urls.items() if url not in named]
