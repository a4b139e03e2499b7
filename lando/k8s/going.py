"""Waits until objects are gone, told by a watch, not by polling."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from lando import labels
from lando.decide import ObjectRef, Plan
from lando.errors import Expired
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.diagnosis.facts import ENDED_PHASES, mapping, name, phase, uid
from lando.k8s.observe import owning_job
from lando.k8s.unfinished import Halted, StillThere


@dataclass(frozen=True, kw_only=True)
class Going:
    """What one run waits to be rid of."""

    cluster: Cluster
    selector: str
    """Of the run's objects."""
    may_act: Callable[[], bool]

    def wait(self, refs: Collection[ObjectRef], plan: Plan, limit_s: float) -> None:
        """Return once all of ``refs`` and the pods of the Jobs among them are gone.

        Raises StillThere when that takes longer than ``limit_s``, and Halted.
        """
        wanted = {ref.name for ref in refs}
        job_names = {ref.name for ref in refs if ref.kind == "Job"}
        end = time.monotonic() + limit_s
        for kind in sorted({ref.kind for ref in refs}):
            self._until_none(kind, lambda item: name(item) in wanted, end)
        if job_names:
            steps = {step.name for step in plan.steps if step.job and step.job.name in job_names}

            def is_at_work(pod: Manifest) -> bool:
                key = labels.step_key(mapping(pod["metadata"].get("labels")))
                ours = key is not None and key.step in steps and bool(owning_job(pod))
                return ours and phase(pod) not in ENDED_PHASES

            self._until_none("Pod", is_at_work, end)

    def _until_none(self, kind: str, counts: Callable[[Manifest], bool], end: float) -> None:
        while True:
            page = self.cluster.list_page(kind, self.selector)
            there = {uid(item): name(item) for item in page.items if counts(item)}
            if not there:
                return
            left_s = end - time.monotonic()
            if left_s <= 0:
                raise StillThere(f"{kind} {', '.join(sorted(there.values()))} of a former attempt is still going")
            timeout_s = max(int(left_s), 1)
            watch = self.cluster.watch(kind, self.selector, page.resource_version, timeout_s=timeout_s)
            try:
                for event in watch:
                    item = event["object"]
                    if event["type"] == "DELETED" or not counts(item):
                        there.pop(uid(item), None)
                    if not there:
                        return
                    if not self.may_act():
                        raise Halted
            except Expired:
                continue
            finally:
                watch.close()
