"""A user of a site who speaks plain HTTP to it, as any client does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.services.providing import rest
from tests.services.stack import Stack

EXAMPLES = Path(__file__).parents[2] / "examples"
ENDED = ("F", "E", "C")


@cache
def packed(workflow: Path) -> Any:
    """The workflow as one document, by the reference implementation."""
    done = subprocess.run(
        [sys.executable, "-m", "cwltool", "--quiet", "--pack", str(workflow)],
        capture_output=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


class User:
    """What a person does with a client of their own."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """One request that has to succeed; its JSON."""
        response = self.stack.request(method, path, **arguments)
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def create_job(self, example: str, changes: Mapping[str, Any] | None = None) -> int:
        """The user flow up to a job that is authorized but not started."""
        folder = EXAMPLES / example
        order = yaml.safe_load((folder / "job-order.yaml").read_text()) | dict(changes or {})
        tag = self.call(
            "POST", "/api/lando/v1/workflows", json={"name": example, "packed": packed(folder / "workflow.cwl")}
        )["tag"]
        self.call("POST", "/api/v2/job-templates/init", json={"tag": tag})
        group = self.call("POST", "/api/v2/job-file-stage-groups/", json={})["id"]
        for sequence, value in enumerate(list(_files(order))):
            source = folder / value.pop("location", value.get("path"))
            value["path"] = source.name
            kept = self.call("POST", "/api/lando/v1/files", params={"name": source.name}, data=source.read_bytes())
            self.call(
                "POST",
                "/api/v2/url-job-input-files/",
                json={
                    "stage_group": group,
                    "url": kept["url"],
                    "destination_path": source.name,
                    "size": kept["size"],
                    "sequence_group": 0,
                    "sequence": sequence,
                },
            )
        body = {"tag": tag, "name": f"{example} by hand", "fund_code": "F-1", "stage_group": group, "job_order": order}
        self.call("POST", "/api/v2/job-templates/validate", json=body)
        return int(self.call("POST", "/api/v2/job-templates/create-job", json=body)["job"])

    def act(self, job: int, action: str) -> Any:
        """start, cancel or restart."""
        return self.call("POST", f"/api/v2/jobs/{job}/{action}/", json={})

    def job(self, job: int) -> Any:
        return self.call("GET", f"/api/v2/jobs/{job}/")

    def run(self, job: int) -> Any:
        return self.call("GET", f"/api/lando/v1/runs/{job}")

    def wait(self, job: int, until: Callable[[Any], bool], timeout_s: float = 60) -> Any:
        """The job as soon as ``until`` holds of it."""
        asked = time.monotonic()
        deadline = asked + timeout_s
        while True:
            document = self.job(job)
            if until(document):
                return document
            if time.monotonic() > deadline:
                logs = "\n".join(f"== {name}\n{self.stack.log(name)[-3000:]}" for name in ("lando", "watcher"))
                pytest.fail(f"job {job} stays {document['state']}/{document['step']}\n{logs}")
            asked = rest(asked, at_least_s=0.05)

    def wait_for_end(self, job: int, timeout_s: float = 90) -> Any:
        return self.wait(job, lambda document: document["state"] in ENDED, timeout_s)


def _files(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("class") == "File":
            yield value
        for part in value.values():
            yield from _files(part)
    elif isinstance(value, list):
        for part in value:
            yield from _files(part)
