"""Fixtures for every test: the services that tests may ask for."""

from tests.services.control_plane import kubeconfig
from tests.services.health import asks
from tests.services.log_lines import log_lines
from tests.services.postgres import postgres, postgres_server, postgres_url
from tests.services.rabbitmq import queue_name, rabbitmq, rabbitmq_server

__all__ = [
    "asks",
    "kubeconfig",
    "log_lines",
    "postgres",
    "postgres_server",
    "postgres_url",
    "queue_name",
    "rabbitmq",
    "rabbitmq_server",
]
