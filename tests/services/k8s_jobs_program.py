"""A program as a user of k8s-jobs writes it: makes thumbnails of albums, each by a Job, and cleans up behind itself.

Run by the original as it stands, and by ours with another prefix in its imports. Takes the definitions file and the
namespace from the environment, and prints what it saw as lines of JSON.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from jinja2.exceptions import UndefinedError
from k8s_jobs.config import JobManagerFactory  # type: ignore[import-not-found]
from k8s_jobs.exceptions import NotFoundException  # type: ignore[import-not-found]
from k8s_jobs.manager import JobDeleter, JobManager  # type: ignore[import-not-found]
from kubernetes import config
from kubernetes.client import V1Job

DEFINITION = """
- name: thumbnails
  spec: |
    apiVersion: batch/v1
    kind: Job
    metadata:
      name: thumbs-{{ album }}
    spec:
      backoffLimit: 0
      parallelism: {{ workers | default(1) }}
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: resize
              image: busybox:1
              command: {{ command | default(["echo", "nothing to do"]) }}
              env: {{ env | default([]) | tojson }}
"""
ALBUMS = {
    "summer": {"command": ["sh", "-c", "echo resizing; echo done"], "workers": 1},
    "winter": {"command": ["sh", "-c", "echo $SIZE px"], "env": [{"name": "SIZE", "value": "640"}]},
    "broken": {"command": ["sh", "-c", "echo no disk; exit 4"]},
    "empty": {},
}
said = threading.Lock()


def say(**what: object) -> None:
    with said:
        print(json.dumps(what, sort_keys=True), flush=True)


def refused(work: Callable[[], object]) -> str:
    try:
        work()
    except (NotFoundException, UndefinedError, ValueError) as error:
        return next(
            kind.__name__ for kind in (NotFoundException, UndefinedError, ValueError) if isinstance(error, kind)
        )
    return "nothing"


def main() -> None:
    config.load_kube_config()
    path = os.environ["JOB_DEFINITIONS_CONFIG_PATH"]
    with open(path, "w") as file:
        file.write("[]")
    os.utime(path, (1, 1))
    factory = JobManagerFactory.from_env()
    manager = factory.manager()
    say(before=refused(lambda: manager.create_job("thumbnails", {"album": "early"})))
    with open(path, "w") as file:
        file.write(DEFINITION)

    deleted: list[str] = []
    all_deleted = threading.Event()
    read = threading.Event()

    def keep(job: V1Job) -> None:
        if not read.is_set():
            raise RuntimeError("its logs are not read yet")
        deleted.append(job.metadata.annotations["owner"])
        if set(deleted) == set(ALBUMS):
            all_deleted.set()

    def make(album: str) -> tuple[str, str]:
        mine = factory.manager()

        def own(job: dict[str, dict[str, dict[str, str]]]) -> None:
            job["metadata"].setdefault("annotations", {})["owner"] = album
            job["metadata"]["labels"]["season"] = album

        name = mine.create_job("thumbnails", {"album": album, **ALBUMS[album]}, pre_create=own)
        while not mine.job_is_finished(name):
            time.sleep(0.05)
        return album, name

    stop = JobDeleter(manager).run_background_cleanup(interval_sec=0.1, retention_period_sec=0, delete_callback=keep)
    try:
        with ThreadPoolExecutor(len(ALBUMS)) as threads:
            names = dict(threads.map(make, ALBUMS))
        for album, name in sorted(names.items()):
            status = manager.job_status(manager.read_job(name))
            logs = [logs for _, logs in sorted(manager.job_logs(name, limit=20).items())]
            found = [job.metadata.name == name for job in manager.list_jobs(season=album)]
            failed = status == JobManager.JobStatus.FAILED
            say(
                album=album,
                name=name[:-24],
                length=len(name),
                status=status.value,
                failed=failed,
                logs=logs,
                found=found,
            )
        say(missing=refused(lambda: manager.create_job("thumbnails", {"workers": 2})))
        say(unknown=refused(lambda: manager.create_job("posters")))
        read.set()
        say(deleted=all_deleted.wait(100) and sorted(set(deleted)))
        while list(manager.fetch_jobs("thumbnails")):
            time.sleep(0.05)
        say(gone=[refused(lambda name=name: manager.read_job(name)) for name in names.values()])
    finally:
        stop()
    say(threads=threading.active_count())


if __name__ == "__main__":
    main()
