"""The log of a run's step while its pod is there, for an API server that shows it to the run's owner."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lando import labels
from lando.config import STEP_TYPES
from lando.errors import NotFound
from lando.k8s.cluster import Cluster, LogLines


class _Text(Iterator[str]):
    """Lines as text that can be put together again."""

    def __init__(self, lines: LogLines) -> None:
        self._lines = lines

    def __next__(self) -> str:
        return next(self._lines) + "\n"

    def close(self) -> None:
        """End it at once, from any thread."""
        self._lines.close()


def live_logs(cluster: Cluster) -> Callable[[int, str, bool], Iterator[str] | None]:
    """``(run id, step, follow)`` to the log of the step's newest pod; None when there is no pod or no log yet."""

    def read(run_id: int, step: str, follow: bool) -> Iterator[str] | None:
        # Other kinds' steps are called as objects of the cluster are, which no step type is: it has an underscore.
        run, name = (
            (labels.BESPIN_JOB_ID, labels.BESPIN_JOB_STEP) if step in STEP_TYPES else (labels.RUN_ID, labels.RUN_STEP)
        )
        selector = f"{run}={run_id},{name}={step}"
        pods = cluster.list("Pod", selector)
        if not pods:
            return None
        newest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        pod, container = newest["metadata"]["name"], newest["spec"]["containers"][0]["name"]
        try:
            return _Text(cluster.pod_log_lines(pod, container, follow=follow))
        except NotFound:
            return None

    return read
