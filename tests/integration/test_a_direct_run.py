"""A model on the embedded cluster, over HTTP and with real processes, by nothing but the cluster's API."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from lando.config import ClusterSettings
from lando.direct import runner
from lando.direct.events import Ended, Event, JobCompleted, JobCreated, JobFailed, JobRemoved, Outcome
from lando.k8s.cluster import KubernetesCluster
from lando.local.cluster import LocalCluster
from tests.unit.direct.running import entry, model


class Told(list[Event]):
    def tell(self, event: Event) -> None:
        self.append(event)

    def jobs(self, kind: type[Any]) -> list[str]:
        return [event.job for event in self if isinstance(event, kind)]


def test_two_phases_run_on_the_embedded_cluster(tmp_path: Path) -> None:
    first = [entry("fetch", "fetch-a", "fetch-b"), entry("merge", needs=["fetch"])]
    good = model(first, [entry("report", phase=1)], cleanup=True)
    bad = model([entry("broken", command="false")], [entry("never", phase=1)])
    with LocalCluster(tmp_path, sandbox="substitute") as local:
        settings = ClusterSettings(
            namespace=local.namespace, host=local.url, token=local.token, ssl_ca_cert=str(local.ca_file)
        )
        with KubernetesCluster(settings) as cluster:
            told = Told()
            assert runner.run(good, cluster, listener=told, stop=threading.Event()) is Outcome.COMPLETE
            assert sorted(told.jobs(JobCreated)[:2]) == ["fetch-a", "fetch-b"]
            assert told.jobs(JobCreated)[2:] == told.jobs(JobCompleted)[2:] == ["merge", "report"]
            assert sorted(told.jobs(JobRemoved)) == ["fetch-a", "fetch-b", "merge", "report"]
            told = Told()
            assert runner.run(bad, cluster, listener=told, stop=threading.Event()) is Outcome.FAILED
            (failed,) = [event for event in told if isinstance(event, JobFailed)]
            assert (failed.job, failed.cause.exit_code) == ("broken", 1)
            ended = told[-1]
            assert isinstance(ended, Ended)
            assert ended.jobs[1].duration_s is None
