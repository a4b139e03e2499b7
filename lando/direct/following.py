"""Keeps a view of a model's Jobs true: one watch of its Jobs, one of their pods, one of warnings."""

from __future__ import annotations

import threading
import time
from functools import partial

from lando.direct.session import Session
from lando.direct.view import View
from lando.errors import LandoError, Unavailable
from lando.k8s.cluster import Cluster
from lando.k8s.reflector import Reflector
from lando.phases.labels import ENTRY
from lando.phases.model import Model

SELECTOR_LIMIT = 2000  # characters of a selector that names Jobs; it is part of a URL
RELIST_S = 0.2  # at least, between lists where the cluster can't be watched
BACKOFF_S = (0.5, 5.0)  # first and longest wait after an error: a cluster that is back is to be noticed soon
END_S = 3.0  # for threads to end
_WATCH = "watch"


class Following:
    """The reflectors of one run and their threads."""

    def __init__(
        self, model: Model, cluster: Cluster, view: View, session: Session, *, are_rights_told: bool = False
    ) -> None:
        """``are_rights_told``: the checks have said which rights are missing."""
        self._session = session
        self._untold = set() if are_rights_told else {"pods", "events"}
        """What may turn out to be unreadable."""
        relist_s = max(model.settings.refresh_time, RELIST_S)
        self._jobs = Reflector(
            cluster,
            "Job",
            view.on_job,
            label_selector=ENTRY,
            backoff_s=BACKOFF_S,
            relist_s=relist_s,
            on_word=self._job_word,
        )
        self._pods = Reflector(
            cluster,
            "Pod",
            view.on_pod,
            label_selector=_pods_of(model),
            backoff_s=BACKOFF_S,
            relist_s=relist_s,
            on_word=partial(self._word, "pods"),
        )
        events = Reflector(
            cluster,
            "Event",
            view.on_event,
            field_selector="type=Warning",
            backoff_s=BACKOFF_S,
            relist_s=relist_s,
            on_word=partial(self._word, "events"),
        )
        self._reflectors = (self._jobs, self._pods, events)
        self._threads = [
            threading.Thread(target=one.run, name=f"watch {one.kind}", daemon=True) for one in self._reflectors
        ]

    def start(self) -> None:
        """Returns when the Jobs that are there are in the view, and their pods if they may be read.

        Raises Stopped and Unreachable.
        """
        for thread in self._threads:
            thread.start()
        while not self._jobs.synced.is_set() or not (self._pods.synced.is_set() or self._pods.last_error):
            self._session.look_up()
            self._session.wait()

    def stop(self) -> None:
        """End the threads, or leave those that wait for a cluster that does not answer."""
        for reflector in self._reflectors:
            reflector.stop()
        until = time.monotonic() + END_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(until - time.monotonic(), 0.0))

    def _job_word(self, error: LandoError | None) -> None:
        if error is None:
            self._session.outage.well(_WATCH)
        else:
            self._session.outage.met(_WATCH, error)
        self._session.waiting.ring()

    def _word(self, what: str, error: LandoError | None) -> None:
        """Of what only makes causes longer: a missing right is told once."""
        self._session.waiting.ring()
        if isinstance(error, Unavailable) and error.status == 403 and what in self._untold:
            self._untold.discard(what)
            self._session.word(f"The {what} can't be read, so that less is known of why a Job waits or failed: {error}")


def _pods_of(model: Model) -> str:
    """A selector for the pods of the model's Jobs; for those of all Jobs where it would be too long."""
    named = f"job-name in ({','.join(job.name for job in model.jobs())})"
    return named if len(named) < SELECTOR_LIMIT else "job-name"
