"""The parts of a site are started in an order that suits nobody: each waits for what is not there, and says so."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from tests.chaos.site import RESYNC_S, Site
from tests.services.postgres import local_postgres, require_driver
from tests.services.providing import wait_until
from tests.services.proxy import Proxy
from tests.services.rabbitmq import local_broker

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.service("postgres"), pytest.mark.timeout(300)]

LIMIT_S = 90.0


@pytest.fixture
def installed() -> Iterator[Site]:
    """A site that has been set up and is switched off altogether."""
    require_driver()
    with contextlib.ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="lando-order-")))
        folder.chmod(0o755)
        for name in ("broker", "stack", "database"):
            (folder / name).mkdir()
        broker = parts.enter_context(local_broker(folder / "broker"))
        database = parts.enter_context(local_postgres(folder / "database"))
        between = Proxy(("127.0.0.1", broker.port))
        parts.callback(between.close)
        made = Site(folder, broker, database, between)
        parts.callback(made.close)
        parts.enter_context(made.stack)
        made.prepare()
        made.stack.kill("cluster", signal.SIGTERM)
        database.stop()
        broker.stop(signal.SIGKILL)
        yield made


def start(site: Site, part: str) -> None:
    match part:
        case "database":
            site.database.start()
        case "broker":
            site.broker.start()
        case "cluster":
            site.stack.start_cluster()
        case _:
            site.stack.start_process(part)


def readiness(site: Site, part: str) -> Callable[[], str]:
    """What ``/readyz`` says."""

    def read() -> str:
        try:
            return requests.get(f"{site.stack.url_of(part)}/readyz", timeout=10).text
        except requests.RequestException:
            return ""

    return read


def wait_for_word(site: Site, part: str, *words: str) -> None:
    """Wait until the part says one of ``words``."""
    read = readiness(site, part)
    wait_until(lambda: any(word in read() for word in words), LIMIT_S, what=f"{part} saying {words}")


def run_one_job(site: Site) -> None:
    for part in ("server", "lando", "watcher"):
        site.stack.wait_for(f"{site.stack.url_of(part)}/readyz")
    job = site.create_job(site.create_workflow())
    site.write_plan(job, 0.05)
    site.ask("POST", f"/api/v2/jobs/{job}/start/", {})
    wait_until(lambda: site.ask("GET", f"/api/v2/jobs/{job}/")["state"] in "FE", LIMIT_S, what="the job's end")
    assert site.ask("GET", f"/api/v2/jobs/{job}/")["state"] == "F"
    for part in ("server", "lando", "watcher"):
        assert site.stack.is_running(part)
        assert "Traceback" not in site.stack.log(part)


def test_daemons_that_are_first_wait_for_everything_one_after_the_other(installed: Site) -> None:
    for part in ("lando", "watcher", "server"):
        start(installed, part)
    wait_for_word(installed, "lando", "broker:")
    wait_for_word(installed, "server", "database:")
    start(installed, "broker")
    wait_for_word(installed, "lando", "Bespin API:", "cluster:")
    start(installed, "database")
    wait_for_word(installed, "server", '"ok"')
    wait_for_word(installed, "lando", "cluster:")
    start(installed, "cluster")
    run_one_job(installed)


def test_wrong_tokens_are_waited_for_until_they_are_corrected(installed: Site, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("api", "lando", "watcher")}
    for file in files.values():
        file.write_text("0" * 40)
    right = {name: Path(file).read_text() for name, file in installed.stack.cluster["token_files"].items()}
    urls = {
        name: installed.stack.url + path for name, path in (("bespin_api", "/api/v2"), ("lando_api", "/api/lando/v1"))
    }
    for part in ("broker", "database", "cluster", "server"):
        start(installed, part)
    installed.stack.cluster["token_files"] = {name: str(files[name]) for name in right}
    installed.stack.write_config(
        resync_s=RESYNC_S, **{name: {"url": url, "token_file": str(files["api"])} for name, url in urls.items()}
    )
    start(installed, "lando")
    start(installed, "watcher")
    wait_for_word(installed, "lando", "401")
    wait_until(lambda: "Unauthorized" in installed.stack.log("watcher"), LIMIT_S, what="the watcher's complaint")

    files["api"].write_text(installed.stack.signin.daemon)
    wait_for_word(installed, "lando", "Unauthorized")
    for name, token in right.items():
        files[name].write_text(token)
    run_one_job(installed)
    for part in ("lando", "watcher"):
        assert not [token for token in right.values() if token.strip() in installed.stack.log(part)]
