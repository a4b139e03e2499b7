"""The API fuzzed by hand: ``python -m tests.fuzz --examples 50``; ends with what was sent, and each finding."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

import schemathesis
from anyio.from_thread import start_blocking_portal
from fastapi.testclient import TestClient
from lando.api import setup
from lando.api.app import create_app
from lando.api.settings import Settings
from tests.fuzz.requests import Report, fuzz
from tests.unit.api.serving import Api, FakeBroker


def main() -> int:
    """Exit status 1, and each finding with the request that showed it, when there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=20, help="requests for each operation and role (20)")
    parser.add_argument("--seed", type=int, default=None, help="repeats a run; at random when not given")
    parser.add_argument("--only", default="", metavar="TEXT", help="operations whose path holds it")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}, schemathesis {schemathesis.__version__}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = _run(Path(folder), arguments.examples, seed, arguments.only)
    for place, shown in report.findings.items():
        print(f"\n--- {place}\n{shown}")
    print(f"{report} in {time.monotonic() - began:.0f} s")
    return 1 if report.findings else 0


def _run(folder: Path, examples: int, seed: int, only: str) -> Report:
    settings = Settings(
        database_url=f"sqlite:///{folder}/lando.db",
        key_file=str(folder / "server.key"),
        files_dir=str(folder / "files"),
        archive_url=str(folder / "archive"),
        results_roots=[str(folder / "results")],
        public_url="http://testserver",
    )
    broker = FakeBroker()
    app = create_app(settings, publishers=broker)
    with app.state.site.database.write() as session:
        embedded = setup.ensure_embedded_site(session, username="operator", key=app.state.site.key)
    tokens = {"operator": embedded.user_token, "lando": embedded.daemon_token}
    with start_blocking_portal() as portal:
        client = TestClient(app, raise_server_exceptions=False)
        client.portal = portal
        try:
            return fuzz(Api(app, client, broker, tokens), examples=examples, seed=seed, only=only)
        finally:
            app.state.site.database.close()
            client.close()


if __name__ == "__main__":
    sys.exit(main())
