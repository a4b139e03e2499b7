"""``/api/v2/admin``: what staff set up, as far as the original has routes for it, in its shapes.

Each is a narrower form of what :mod:`lando.api.routes.administration` describes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import joinedload

from lando.api import documents
from lando.api import models as m
from lando.api.resource import Resource, add_routes, plain
from lando.api.routes import BESPIN
from lando.api.routes import administration as ours
from lando.api.shapes import catalog as shapes
from lando.api.staff_bodies import ConfigurationBody, ConnectionBody, NewVersionBody, WorkflowBody

router = APIRouter(prefix=f"{BESPIN}/admin", tags=["staff"])

_ONCE = ("POST",)
_CONNECTION = plain(ConnectionBody, {}, "password", "url", "message_format")


def _resources() -> list[Resource[Any]]:
    return [
        replace(ours.WORKFLOWS, show=plain(WorkflowBody, {}), writes=_ONCE),
        replace(ours.VERSIONS, body=NewVersionBody, writes=_ONCE),
        replace(ours.TOOL_DETAILS, writes=_ONCE),
        replace(
            ours.CONFIGURATIONS,
            body=ConfigurationBody,
            show=lambda _site, row: documents.workflow_configuration(row),
            shape=shapes.Configuration,
            writes=_ONCE,
        ),
        replace(ours.STRATEGIES, writes=("POST", "DELETE")),
        replace(ours.SETTINGS, writes=_ONCE),
        replace(ours.CONNECTIONS, show=_CONNECTION, writes=_ONCE),
        replace(
            ours.CREDENTIALS,
            show=lambda _site, row: documents.admin_credential(row),
            shape=shapes.AdminCredential,
            body=None,
            options=(joinedload(m.StorageCredential.endpoint),),
        ),
    ]


for _resource in _resources():
    add_routes(router, _resource)
