"""Making a site usable: the rows that staff set up, written to the database directly.

``lando admin`` calls these one by one, ``lando up`` calls :func:`ensure_embedded_site`. Each function adds to the
session it is given (the caller commits) and raises InputError, naming the field, for what can't be as given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from lando import units
from lando.api import auth
from lando.api import models as m
from lando.api.keys import ServerKey, token_hash
from lando.config import STEP_TYPES
from lando.errors import InputError

Row = TypeVar("Row", bound=m.Base)

DAEMON_USER = "lando"
EMBEDDED_IMAGE = "lando-steps:local"
EMBEDDED_QUEUE = "lando"
EMBEDDED_BROKER = "memory://lando"
DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class RuntimeStep:
    """What one step type of a runtime consists of."""

    step_type: str
    image_name: str
    base_command: Sequence[str]
    flavor: m.JobFlavor


@dataclass(frozen=True, kw_only=True)
class EmbeddedSite:
    """The sign-ins of a site that ``lando up`` has set up."""

    user_token: str = field(repr=False)
    """Of the person who started it."""
    daemon_token: str = field(repr=False)
    """Of the daemons."""
    queue: str = EMBEDDED_QUEUE
    broker: str = EMBEDDED_BROKER


# --- people ----------------------------------------------------------------------------------------------------------


def create_user(
    session: Session,
    username: str,
    *,
    password: str | None = None,
    is_staff: bool = False,
    first_name: str = "",
    last_name: str = "",
    email: str = "",
) -> m.User:
    """A new user; without a password only tokens sign in."""
    username = username.strip()
    if not username or len(username) > 150 or "\0" in username:
        raise InputError("A user name has 1 to 150 characters.", field="username")
    if password is not None and not password:
        raise InputError("The password is empty; leave it out for a user who signs in by token only.", field="password")
    _refuse_second(session, m.User.username, username, "user")
    user = m.User(
        username=username,
        password_hash=auth.hash_password(password) if password is not None else None,
        is_staff=is_staff,
        first_name=first_name,
        last_name=last_name,
        email=email,
    )
    return _added(session, user)


def user_named(session: Session, username: str) -> m.User:
    """The user of that name; raises InputError."""
    user = session.scalars(select(m.User).where(m.User.username == username)).first()
    if user is None:
        raise InputError(f"There is no user {username!r}.", field="username")
    return user


def issue_token(session: Session, key: ServerKey, username: str) -> str:
    """The user's API token, made when there is none yet."""
    token, _ = auth.issue_token(session, key, user_named(session, username).id)
    return token


def renew_token(session: Session, key: ServerKey, username: str) -> str:
    """A new API token for the user; the one before it no longer works."""
    user = user_named(session, username)
    row = auth.current_token(session, user.id)
    if row is not None:
        session.delete(row)
        session.flush()
    return auth.issue_token(session, key, user.id)[0]


def import_token(session: Session, username: str, token: str) -> None:
    """Let a token that exists elsewhere sign the user in, as when a site moves; it can't be shown again."""
    if len(token) != 40 or any(character not in "0123456789abcdef" for character in token):
        raise InputError("A token has 40 hexadecimal digits in lower case.", field="token")
    _refuse_second(session, m.Token.hash, token_hash(token), "token")
    _added(session, m.Token(user_id=user_named(session, username).id, serial=None, hash=token_hash(token)))


def create_job_token(session: Session, token: str) -> m.JobToken:
    """A job token, for sites that require them."""
    token = _named(token, "token")
    _refuse_second(session, m.JobToken.token, token, "job token")
    return _added(session, m.JobToken(token=token))


# --- storage ---------------------------------------------------------------------------------------------------------


def create_share_group(
    session: Session, name: str, *, email: str = "", members: Sequence[tuple[str, str]] = ()
) -> m.ShareGroup:
    """A share group; ``members`` are pairs of name and id in the data store."""
    group = m.ShareGroup(name=_named(name), email=email)
    for member_name, dds_id in members:
        known = session.scalars(select(m.StorageUser).where(m.StorageUser.dds_id == dds_id)).first()
        group.users.append(known or m.StorageUser(name=member_name, dds_id=dds_id))
    return _added(session, group)


def create_credential(
    session: Session,
    user: m.User,
    *,
    endpoint: str,
    api_root: str = "",
    agent_key: str = "",
    token: str = "",
    dds_id: str = "",
) -> m.StorageCredential:
    """A service credential at the endpoint of that name, which is made when it is new."""
    row = session.scalars(select(m.StorageEndpoint).where(m.StorageEndpoint.name == endpoint)).first()
    if row is None:
        row = _added(
            session, m.StorageEndpoint(name=_named(endpoint, "endpoint"), api_root=api_root, agent_key=agent_key)
        )
    return _added(session, m.StorageCredential(user_id=user.id, endpoint_id=row.id, token=token, dds_id=dds_id))


# --- where and how jobs run ------------------------------------------------------------------------------------------


def create_flavor(session: Session, name: str, *, cpus: int, memory: str) -> m.JobFlavor:
    """An amount of CPU and memory (a Kubernetes quantity)."""
    _refuse_second(session, m.JobFlavor.name, _named(name), "flavor")
    flavor = m.JobFlavor(name=_named(name))
    change_flavor(flavor, cpus=cpus, memory=memory)
    return _added(session, flavor)


def change_flavor(flavor: m.JobFlavor, *, cpus: int | None = None, memory: str | None = None) -> None:
    """Give a flavor other amounts, where they are named; jobs under way keep what their pods were made with."""
    if cpus is not None:
        if cpus < 1:
            raise InputError("A flavor has at least one CPU.", field="cpus")
        flavor.cpus = cpus
    if memory is not None:
        units.mebibytes(memory)
        flavor.memory = memory.strip()


def flavor_named(session: Session, name: str) -> m.JobFlavor:
    """The flavor of that name; raises InputError that names those there are."""
    flavor: m.JobFlavor | None = _by(session, m.JobFlavor.name, name)
    if flavor is None:
        known = ", ".join(session.scalars(select(m.JobFlavor.name).order_by(m.JobFlavor.name))) or "none"
        raise InputError(f"There is no flavor {name!r}; there are: {known}.", field="name")
    return flavor


def create_runtime(session: Session, name: str, steps: Sequence[RuntimeStep]) -> m.JobRuntime:
    """The images and commands of a cluster's steps; all but record_output_project are needed."""
    given = [step.step_type for step in steps]
    for step_type in given:
        if step_type not in STEP_TYPES:
            raise InputError(f"{step_type!r} is no step type; use {', '.join(STEP_TYPES)}.", field="steps")
    missing = [step_type for step_type in STEP_TYPES[:-1] if step_type not in given]
    if missing:
        raise InputError(f"The runtime lacks the steps {', '.join(missing)}.", field="steps")
    _refuse_second(session, m.JobRuntime.name, _named(name), "runtime")
    runtime = m.JobRuntime(name=_named(name))
    runtime.steps = [
        m.JobRuntimeStep(
            step_type=step.step_type,
            image_name=_named(step.image_name, "image_name"),
            base_command=list(step.base_command),
            flavor=step.flavor,
        )
        for step in steps
    ]
    return _added(session, runtime)


def create_lando_connection(
    session: Session,
    *,
    queue_name: str,
    host: str = "",
    username: str = "",
    password: str = "",
    url: str | None = None,
    message_format: str = "json",
) -> m.LandoConnection:
    """How a lando daemon is reached: by ``url`` or by host and login."""
    if not host and not url:
        raise InputError("A lando connection needs a host or a URL.", field="host")
    if message_format not in ("json", "pickle"):
        raise InputError(f"message_format is json or pickle, not {message_format!r}.", field="message_format")
    connection = m.LandoConnection(
        cluster_type="k8s",
        queue_name=_named(queue_name, "queue_name"),
        host=host,
        username=username,
        password=password,
        url=url,
        message_format=message_format,
    )
    return _added(session, connection)


def create_job_settings(
    session: Session, name: str, *, connection: m.LandoConnection, runtime: m.JobRuntime
) -> m.JobSettings:
    """A runtime and the daemon that serves it."""
    _refuse_second(session, m.JobSettings.name, _named(name), "job settings")
    return _added(session, m.JobSettings(name=_named(name), lando_connection_id=connection.id, runtime_id=runtime.id))


def create_strategy(
    session: Session,
    name: str,
    *,
    settings: m.JobSettings,
    flavor: m.JobFlavor,
    volume_size_base: int = 100,
    volume_size_factor: int = 0,
) -> m.JobStrategy:
    """Settings, flavor and size of the output volume (GiB, and GiB per GiB of input) that jobs get."""
    if volume_size_base < 1 or volume_size_factor < 0:
        raise InputError("The volume has at least 1 GiB, and a factor of 0 or more.", field="volume_size_base")
    _refuse_second(session, m.JobStrategy.name, _named(name), "job strategy")
    strategy = m.JobStrategy(
        name=_named(name),
        job_settings_id=settings.id,
        job_flavor_id=flavor.id,
        volume_size_base=volume_size_base,
        volume_size_factor=volume_size_factor,
    )
    return _added(session, strategy)


# --- workflows -------------------------------------------------------------------------------------------------------


def create_workflow(session: Session, name: str, *, tag: str) -> m.Workflow:
    """A public workflow."""
    _refuse_second(session, m.Workflow.tag, _tag(tag), "workflow")
    return _added(session, m.Workflow(name=_named(name), tag=_tag(tag)))


def create_workflow_version(
    session: Session,
    workflow: m.Workflow,
    version: str,
    *,
    url: str,
    fields: Sequence[Mapping[str, Any]],
    kind: str = "packed",
    workflow_path: str = "#main",
    description: str = "",
    version_info_url: str | None = None,
    methods: str | None = None,
) -> m.WorkflowVersion:
    """A version whose file lies at ``url``; ``fields`` are its CWL inputs, each with ``name`` and ``type``."""
    if kind not in ("packed", "zipped"):
        raise InputError(f"A version's type is packed or zipped, not {kind!r}.", field="type")
    for one in fields:
        if not isinstance(one.get("name"), str) or "type" not in one:
            raise InputError("Each of the fields needs a name and a type.", field="fields")
    version = _tag(version, "version")
    same = select(m.WorkflowVersion).where(m.WorkflowVersion.workflow == workflow, m.WorkflowVersion.version == version)
    if session.scalars(same).first() is not None:
        raise InputError(f"There is a version {version!r} of {workflow.tag!r} already.", field="version")
    row = m.WorkflowVersion(
        workflow=workflow,
        version=version,
        url=_named(url, "url"),
        fields=[dict(one) for one in fields],
        type=kind,
        workflow_path=workflow_path,
        description=description,
        version_info_url=version_info_url,
        enable_ui=True,
    )
    _added(session, row)
    if methods is not None:
        row.methods_document = m.MethodsDocument(content=methods)
    session.flush()
    return row


def create_configuration(
    session: Session,
    workflow: m.Workflow,
    tag: str,
    *,
    strategy: m.JobStrategy,
    share_group: m.ShareGroup,
    system_job_order: Mapping[str, Any] | None = None,
    overridable: Sequence[str] = (),
) -> m.WorkflowConfiguration:
    """What the site fixes for jobs of a workflow; users may only set the ``overridable`` keys of it themselves."""
    order = dict(system_job_order or {})
    try:
        json.dumps(order, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"The system job order is no JSON: {error}.", field="system_job_order") from error
    configuration = m.WorkflowConfiguration(
        tag=_tag(tag),
        workflow_id=workflow.id,
        system_job_order=order,
        overridable=list(overridable),
        default_job_strategy_id=strategy.id,
        share_group_id=share_group.id,
    )
    return _added(session, configuration)


# --- the embedded site -----------------------------------------------------------------------------------------------


def ensure_embedded_site(
    session: Session,
    *,
    username: str,
    key: ServerKey,
    cpus: int = 1,
    memory: str = "1Gi",
) -> EmbeddedSite:
    """Set up what ``lando up`` needs, where it is not there yet; safe to call at every start.

    A staff user ``username`` and the daemons' user with their tokens, and the defaults by which a submitted workflow
    becomes a job: flavors (``cpus`` and ``memory`` for the workflow), runtime, connection, settings, strategy, share
    group and a credential without a data service.
    """
    person = _user(session, username, is_staff=True)
    _user(session, DAEMON_USER, is_staff=True)
    if _first(session, m.StorageCredential) is None:
        create_credential(session, person, endpoint="none")
    if _by(session, m.ShareGroup.name, DEFAULT) is None:
        create_share_group(session, DEFAULT)
    if _by(session, m.JobStrategy.name, DEFAULT) is None:
        _embedded_strategy(session, cpus, memory)
    return EmbeddedSite(
        user_token=issue_token(session, key, username),
        daemon_token=issue_token(session, key, DAEMON_USER),
    )


def change_defaults(
    session: Session, *, broker: str, queue: str, image: str | None, cpus: int | None, memory: str | None
) -> str:
    """Give the default settings another broker and queue; its steps another image, its flavor other amounts, if named.

    Jobs read these when they are started, so those under way are not touched. Returns the image of the steps.
    """
    strategy = _by(session, m.JobStrategy.name, DEFAULT)
    connection, steps = strategy.job_settings.lando_connection, strategy.job_settings.runtime.steps
    connection.url, connection.queue_name = broker, _named(queue, "queue_name")
    change_flavor(strategy.job_flavor, cpus=cpus, memory=memory)
    if image is not None:
        for step in steps:
            step.image_name = image
    return str(steps[0].image_name)


def _embedded_strategy(session: Session, cpus: int, memory: str) -> None:
    small = create_flavor(session, "step", cpus=1, memory="256Mi")
    flavor = create_flavor(session, DEFAULT, cpus=cpus, memory=memory)
    steps = [
        RuntimeStep(
            step_type=step_type,
            image_name=EMBEDDED_IMAGE,
            base_command=["python", "-m", f"lando.steps.{step_type}"],
            flavor=small,
        )
        for step_type in STEP_TYPES[:-1]
    ]
    runtime = create_runtime(session, DEFAULT, steps)
    connection = create_lando_connection(session, queue_name=EMBEDDED_QUEUE, url=EMBEDDED_BROKER)
    settings = create_job_settings(session, DEFAULT, connection=connection, runtime=runtime)
    create_strategy(session, DEFAULT, settings=settings, flavor=flavor, volume_size_base=1, volume_size_factor=0)


def _user(session: Session, username: str, *, is_staff: bool) -> m.User:
    known = session.scalars(select(m.User).where(m.User.username == username)).first()
    return known or create_user(session, username, is_staff=is_staff)


def _added(session: Session, row: Row) -> Row:
    session.add(row)
    session.flush()
    return row


def _first(session: Session, model: type[Row]) -> Row | None:
    return session.scalars(select(model).limit(1)).first()


def _by(session: Session, column: InstrumentedAttribute[str], value: str) -> Any:
    return session.scalars(select(column.class_).where(column == value)).first()


def _refuse_second(session: Session, column: InstrumentedAttribute[str], value: str, what: str) -> None:
    if _by(session, column, value) is not None:
        shown = f" {value!r}" if column.key != "hash" else ""
        raise InputError(f"There is a {what}{shown} already.", field=column.key)


def _named(text: str, field_name: str = "name") -> str:
    text = text.strip()
    if not text or "\0" in text:
        raise InputError(f"{field_name} may not be empty.", field=field_name)
    return text


def _tag(text: str, field_name: str = "tag") -> str:
    text = _named(text, field_name)
    if "/" in text or len(text) > 255:
        raise InputError(f"{field_name} may not hold a slash, and has 255 characters at most.", field=field_name)
    return text
