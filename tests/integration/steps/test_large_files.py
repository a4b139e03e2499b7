"""A file of any size is staged from, and saved to, every store in the same memory: the real programs, measured.

``LANDO_STORE_TEST_MIB`` is the file's size in MiB; ``make big`` takes 1024 and prints the figures.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.services import certificates
from tests.services.dukeds import DukeDS, duke_data_service
from tests.services.stores import (
    GS_VARIABLE,
    google_client,
    google_storage,
    s3_environment,
    s3_storage,
)

MIB = 1 << 20
SIZE = int(os.environ.get("LANDO_STORE_TEST_MIB", "96")) * MIB
PEAKS = {"file": 64, "gs": 112, "s3": 160, "dds": 96, "https": 64}  # most MiB of a program, whatever the file's size
MEASURED = """
import runpy, sys
peak_file, module, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    with open("/proc/self/status") as status:
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    with open(peak_file, "w") as file:
        file.write(peak)
"""
"""Runs a program and leaves the most memory that it ever had, in KiB; rusage would count its parent's too."""


class Steps:
    """The volumes of a job, and its programs as processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {**os.environ, "LANDO_TERMINATION_LOG": str(root / "termination-log")}
        self.results = root / "results"
        (self.results / "docs").mkdir(parents=True)
        (self.results / "docs/README.md").write_text("# Report")
        with (self.results / "large").open("wb") as file:
            file.truncate(SIZE)

    def save(self, store: str) -> tuple[dict[str, str], int]:
        """Save the results; the ids, and the peak of memory."""
        command = {
            "destination": "title",
            "readme_file_path": "results/docs/README.md",
            "paths": [str(self.results)],
            "store": {"url": store, "project": "42-x"},
        }
        peak = self._run("save_output", command, str(self.root / "outfile"))
        return json.loads((self.root / "termination-log").read_text()), peak

    def stage(self, item: dict[str, Any], **policy: Any) -> int:
        """Stage the large file; the peak of memory."""
        dest = self.root / "staged/large"
        policy = {"schemes": ["https", "gs", "s3", "dds"], "allow_local_addresses": True, **policy}
        peak = self._run("stage_data", {"items": [{**item, "dest": str(dest)}], "policy": policy})
        assert dest.stat().st_size == SIZE
        dest.unlink()
        return peak

    def _run(self, step: str, command: dict[str, Any], *more: str) -> int:
        (self.root / "command.json").write_text(json.dumps(command))
        arguments = [self.root / "peak", f"lando.steps.{step}", self.root / "command.json", *more]
        program = [sys.executable, "-c", MEASURED, *map(str, arguments)]
        ended = subprocess.run(program, env=self.environment, capture_output=True, text=True, timeout=600, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return int((self.root / "peak").read_text()) << 10


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path)


def check(what: str, peak: int) -> None:
    print(f"{what}: {SIZE // MIB} MiB in a peak of {peak // MIB} MiB")
    assert peak < PEAKS[what.split()[0]] * MIB


@pytest.mark.parametrize("scheme", ["file", "gs", "s3", "dds"])
def test_a_large_file_goes_there_and_back_in_little_memory(
    scheme: str, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        service: DukeDS | None = None
        match scheme:
            case "file":
                url = (steps.root / "store").as_uri()
            case "gs":
                url = "gs://bucket/results"
                monkeypatch.setenv(GS_VARIABLE, stack.enter_context(google_storage()).url)
                stack.enter_context(google_client())
                steps.environment[GS_VARIABLE] = os.environ[GS_VARIABLE]
            case "s3":
                url = "s3://bucket/results"
                server = stack.enter_context(s3_storage())
                requests.put(f"{server}/bucket", timeout=10).raise_for_status()
                steps.environment |= s3_environment(server)
            case _:
                url = "dds:"
                service = stack.enter_context(duke_data_service())
                (steps.root / "config").write_text(service.config())
                steps.environment["DDSCLIENT_CONF"] = str(steps.root / "config")
        ids, peak = steps.save(url)
        check(f"{scheme} saved", peak)
        item = {"type": "url", "source": f"{ids['project_id']}/results/large"}
        if service is not None:
            item = {"type": "DukeDS", "source": service.paths(ids["project_id"])["results/large"]["id"]}
        check(f"{scheme} staged", steps.stage(item, store_roots=[url], file_roots=[str(steps.root)]))


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def https(folder: Path, keys: certificates.Certificates) -> Iterator[str]:
    """The address of a folder's files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys.server, keys.server_key)
    handler = type(
        "Handler", (_Files,), {"__init__": lambda self, *args: _Files.__init__(self, *args, directory=folder)}
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_large_file_comes_over_https_in_little_memory(steps: Steps, tmp_path: Path) -> None:
    keys = certificates.make(tmp_path / "keys")
    steps.environment["REQUESTS_CA_BUNDLE"] = str(keys.ca)
    with https(steps.results, keys) as url:
        check("https staged", steps.stage({"type": "url", "source": f"{url}/large", "size": SIZE}))
