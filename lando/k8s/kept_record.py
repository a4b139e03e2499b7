"""The run record as one transition reads and changes it."""

from __future__ import annotations

import logging

from lando import labels
from lando.decide import Failure, ObjectRef, RunRecord
from lando.errors import Conflict, NotFound, QuotaExceeded, Rejected, StepError
from lando.k8s import record
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.diagnosis.facts import mapping, uid
from lando.k8s.unfinished import StillThere, refused

log = logging.getLogger(__name__)


class KeptRecord:
    """The record of one run, made when it is first needed, and changed only in the version that is known here.

    So a request that was long on its way, of a lando that is no longer the active one, takes nothing back.
    """

    def __init__(self, cluster: Cluster, ref: ObjectRef, run_id: int, known: RunRecord | None) -> None:
        self.uid = known.uid if known else None
        """None: it is not there yet, or no more."""
        self._cluster = cluster
        self._ref = ref
        self._run_id = run_id
        self._version = known.version if known else ""

    def ensure(self) -> str:
        """Its UID, once it is there."""
        if self.uid is None:
            manifest = record.manifest(self._ref, self._run_id)
            try:
                made = self._cluster.create(manifest)
            except Conflict:
                made = self._unseen_record()
            except Rejected as error:
                raise refused(f"The cluster refused the run record {self._ref.name}: {error}") from error
            self.uid = uid(made)
            self._version = made["metadata"]["resourceVersion"]
        return self.uid

    def _unseen_record(self) -> Manifest:
        """The record that is there though none was seen, if it says nothing yet that this decision did not know."""
        try:
            there = self._cluster.get(self._ref.kind, self._ref.name)
        except NotFound:
            raise StillThere(f"ConfigMap {self._ref.name} went while it was to be adopted") from None
        if mapping(there["metadata"].get("labels")).get(labels.RUN_RECORD) != str(self._run_id):
            raise refused(f"The name {self._ref.name} is taken by a foreign ConfigMap.")
        if there["metadata"].get("deletionTimestamp"):
            raise StillThere(f"ConfigMap {self._ref.name} is still being deleted")
        if there.get("data"):
            raise Conflict("cluster", f"the run record {self._ref.name} was made by somebody else meanwhile")
        return there

    def patch(self, patch: Manifest) -> None:
        """Change it by a merge patch; Conflict where somebody else has changed or removed it since."""
        self.ensure()
        guarded = {"metadata": {"resourceVersion": self._version}, **patch}
        try:
            changed = self._cluster.patch(self._ref.kind, self._ref.name, guarded)
        except NotFound as error:
            raise Conflict(
                "cluster", f"the run record {self._ref.name} was removed by somebody else meanwhile"
            ) from error
        self._version = changed["metadata"]["resourceVersion"]

    def note_failure(self, failure: Failure | None) -> None:
        """Keep or forget a failure; where that can't be done it is logged only."""
        if failure is None and self.uid is None:
            return
        try:
            self.patch(record.failure_patch(failure))
        except (QuotaExceeded, Rejected, StepError) as error:
            # Without a record a crash may lose the cause; without going on its owner would never be told.
            log.warning("Run %d: the failure can't be noted: %s", self._run_id, error)
