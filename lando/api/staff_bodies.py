"""The types of the bodies by which staff set a site up; what is written and never shown is named with the routes."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from lando import units
from lando.api.bodies import (
    MAX_ID,
    AnyText,
    Body,
    JsonObject,
    JsonValue,
    LongName,
    Name,
    Reference,
    ShortText,
    StepType,
    Tag,
    Url,
)
from lando.errors import InputError
from lando.stores.urls import without_user_info


def _memory(text: str) -> str:
    try:
        units.mebibytes(text)
    except InputError as error:
        raise ValueError(str(error)) from error
    return text


def _broker(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_broker = parts.scheme in ("amqp", "amqps", "memory") and bool(parts.hostname)
    except ValueError:
        is_broker = False
    if not is_broker:
        raise ValueError("Must look like amqps://user:password@host/vhost.")
    return url


def _json_text(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("Must be JSON in a text.") from error
    return text


def _cwl_fields(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = [field.get("name") for field in fields]
    if not all(isinstance(name, str) and name for name in names) or not all("type" in field for field in fields):
        raise ValueError("Each of the fields needs a name and a type.")
    if len(set(names)) < len(names):
        raise ValueError("Each of the fields needs a name of its own.")
    return fields


def _without_user_info(url: str) -> str:
    if without_user_info(url) != url:
        raise ValueError("May hold no user name and password: everybody is shown it.")
    return url


OpenUrl = Annotated[Url, AfterValidator(_without_user_info)]
"""A URL that is shown to everybody."""
Memory = Annotated[Name, Field(max_length=64), AfterValidator(_memory)]
Count = Annotated[int, Field(ge=1, le=MAX_ID)]
Gibibytes = Annotated[int, Field(ge=0, le=MAX_ID)]
JsonInText = Annotated[AnyText, AfterValidator(_json_text)]
CwlFields = Annotated[list[JsonObject], AfterValidator(_cwl_fields)]


class UserBody(Body):
    """Somebody who signs in; without a password only by token."""

    username: Annotated[Name, Field(max_length=150)]
    first_name: Annotated[ShortText, Field(max_length=150)] = ""
    last_name: Annotated[ShortText, Field(max_length=150)] = ""
    email: Annotated[ShortText, Field(max_length=254)] = ""
    is_staff: bool = False
    is_active: bool = True
    password: Annotated[str, Field(min_length=1, max_length=1024)] | None = None


class FlavorBody(Body):
    """An amount of CPU and memory (a Kubernetes quantity)."""

    name: Name
    cpus: Count = 1
    memory: Memory = "1Gi"


class RuntimeBody(Body):
    """The images and commands of a cluster's steps."""

    name: Name


class RuntimeStepBody(Body):
    """What one step of a runtime consists of."""

    runtime: Reference
    step_type: StepType
    image_name: LongName
    base_command: list[AnyText] = []  # noqa: RUF012 - pydantic copies it
    flavor: Reference


class ConnectionBody(Body):
    """How a lando daemon is reached: by host and login, or by ``url``."""

    cluster_type: Literal["k8s", "vm"] = "k8s"
    host: ShortText = ""
    username: ShortText = ""
    password: ShortText = ""
    queue_name: Name
    url: Annotated[LongName, AfterValidator(_broker)] | None = None
    message_format: Literal["json", "pickle"] = "json"


class SettingsBody(Body):
    """A runtime and the daemon that serves it."""

    name: Name
    lando_connection: Reference
    job_runtime_openstack: Reference | None = None
    job_runtime_k8s: Reference | None = None


class StrategyBody(Body):
    """Settings, flavor and the size of the output volume (GiB, and GiB per GiB of input) that jobs get."""

    name: Name
    job_flavor: Reference
    job_settings: Reference
    volume_size_base: Gibibytes = 100
    volume_size_factor: Gibibytes = 0
    volume_mounts: JsonInText = '{"/dev/vdb1": "/work"}'


class ShareGroupBody(Body):
    """People with whom results are shared; ``users`` are ids of dds-users."""

    name: Name
    email: Annotated[ShortText, Field(max_length=254)] = ""
    users: list[Reference] = []  # noqa: RUF012


class StorageUserBody(Body):
    """A person as the data store knows them."""

    name: Name
    dds_id: Name


class EndpointBody(Body):
    """A data service; ``agent_key`` is a secret."""

    name: Name
    api_root: Annotated[AnyText, AfterValidator(_without_user_info)] = ""
    agent_key: ShortText = ""


class CredentialBody(Body):
    """A service credential at an endpoint; ``token`` is its secret."""

    user: Reference
    endpoint: Reference
    token: ShortText = ""
    dds_id: ShortText = ""


class WorkflowBody(Body):
    """A workflow that everybody may run; deprecated in state ``D``."""

    name: Name
    tag: Tag
    state: Literal["A", "D"] = "A"


class NewVersionBody(Body):
    """A version whose file lies at ``url``; ``fields`` are its CWL inputs, read from that file when left out."""

    workflow: Reference
    version: Tag
    type: Literal["packed", "zipped"] = "packed"
    workflow_path: AnyText = "#main"
    description: AnyText = ""
    url: OpenUrl
    version_info_url: OpenUrl | None = None
    fields: CwlFields = []  # noqa: RUF012


class VersionBody(NewVersionBody):
    """Also whether the web front end offers it."""

    enable_ui: bool = True


class ConfigurationBody(Body):
    """What the site fixes for the jobs of a workflow, and their strategy and share group."""

    workflow: Reference
    tag: Tag
    system_job_order: JsonObject
    default_job_strategy: Reference
    share_group: Reference


class OverridableConfigurationBody(ConfigurationBody):
    """Also which keys of the system job order users may set themselves."""

    overridable: list[Name] = []  # noqa: RUF012


class ToolDetailsBody(Body):
    """The tools that a version consists of."""

    workflow_version: Reference
    details: JsonValue


class MethodsBody(Body):
    """The text that describes a version's methods."""

    workflow_version: Reference
    content: AnyText
