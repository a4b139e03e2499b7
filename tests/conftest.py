"""For every test: the services that it may ask for, logging as it was before it; and which files are begun first."""

import gc
import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from tests.services.control_plane import kubeconfig
from tests.services.health import asks
from tests.services.log_lines import log_lines
from tests.services.postgres import postgres, postgres_server, postgres_url
from tests.services.published import published
from tests.services.published_definitions import definitions_with_the_oldest_client, published_definitions
from tests.services.rabbitmq import queue_name, rabbitmq, rabbitmq_server

__all__ = [
    "asks",
    "definitions_with_the_oldest_client",
    "kubeconfig",
    "log_lines",
    "postgres",
    "postgres_server",
    "postgres_url",
    "published",
    "published_definitions",
    "queue_name",
    "rabbitmq",
    "rabbitmq_server",
]

settings.register_profile("lando", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lando")  # no test times the clock, so neither does hypothesis

LONG = (
    "integration/test_chaos.py",
    "integration/test_one_job_for_real.py",
    "integration/test_production_page.py",
    "integration/test_rolling_restart.py",
    "contract/test_queue_on_rabbitmq.py",
    "integration/test_starting_in_any_order.py",
    "contract/test_api_databases.py",
    "contract/test_migrations.py",
    "e2e/test_runs.py",
    "integration/test_stopping_while_peers_are_silent.py",
    "integration/test_standby.py",
    "e2e/test_demo_for_everyone.py",
    "integration/test_bad_input_for_real.py",
    "node/test_mounting_volumes.py",
    "steps/test_run_workflow.py",
    "node/test_running_pods.py",
    "integration/test_kubectl.py",
    "integration/test_workflow_shapes.py",
    "integration/test_no_secret_is_told.py",
    "integration/test_hostile_messages.py",
    "e2e/test_up.py",
    "e2e/test_upkeep.py",
    "integration/test_definitions_page.py",
    "steps/test_killed_anywhere.py",
    "node/test_unruly_programs.py",
    "integration/test_every_part_twice.py",
    "contract/test_definitions_by_servers.py",
    "integration/test_node_for_an_ordinary_user.py",
)
"""Files that take longest, so that no worker is left alone with one of them at the end."""


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What a test changes of the process's logging ends with it: its standard output is closed by then."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are processors: now and then one waits for a thread or a peer."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get("/".join(item.path.parts[-2:]), len(LONG)))


def pytest_collection_finish() -> None:
    """Modules and tests stay for good: the garbage collector need not look at them each time."""
    gc.collect()
    gc.freeze()
