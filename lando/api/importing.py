"""What staff once set up at an original bespin-api, carried over: workflows, and where and how their jobs run.

It is read by the original's own routes (bespin-user-api contract, 7.1) and written at once. What is known here by its
name is left as it is, so that the import may be repeated until both are the same and the site has moved. Jobs are not
carried over: their ids are left out here instead, because objects in the cluster are named by them.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lando.api import models as m
from lando.api import setup
from lando.api.keys import token_hash
from lando.api.notices import wording
from lando.api.run_ids import skip_ids
from lando.errors import InputError

Item = Mapping[str, Any]

_PBKDF2 = re.compile(
    r"pbkdf2_sha256\$[1-9][0-9]{0,6}\$[^$]+\$(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
)
"""A password as Django keeps it; one that is read wrong would fail each sign-in, and more rounds take minutes."""


class Reader(Protocol):
    """Reads lists of the original, below ``/api``; raises a PeerError."""

    def items(self, path: str) -> Iterator[Any]:
        """The elements of the list at ``path``."""


@dataclass(frozen=True)
class Original:
    """The lists that an import needs."""

    lists: Mapping[str, list[Item]]
    runtimes: Mapping[int, Item]
    """By the id of job settings, the runtime as jobs show it: there is no list of them."""
    last_job: int
    """The highest id of a job."""


@dataclass
class Imported:
    """What came of it."""

    new: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    next_job: int = 0
    """The id that the next job gets."""
    left: list[str] = field(default_factory=list)
    """What is left for the operator to do, in sentences."""


LISTS = {
    "share groups": "v2/admin/share-groups/",
    "connections": "v2/admin/lando-connections/",
    "settings": "v2/admin/job-settings/",
    "strategies": "v2/job-strategies/",
    "credentials": "v2/admin/dds-user-credentials/",
    "credential ids": "v2/dds-user-credentials/",
    "workflows": "v2/admin/workflows/",
    "versions": "v2/admin/workflow-versions/",
    "methods": "v2/admin/workflow-methods-documents/",
    "tool details": "v2/admin/workflow-version-tool-details/",
    "configurations": "v2/admin/workflow-configurations/",
    "job tokens": "admin/job-tokens/",
    "email templates": "v2/admin/email-templates/",
}


def read(reader: Reader) -> Original:
    """All that an import needs of the original; its list of jobs is read as it comes."""
    lists = {name: list(reader.items(path)) for name, path in LISTS.items()}
    runtimes: dict[int, Item] = {}
    last = 0
    for job in reader.items("v2/admin/jobs/"):
        last = max(last, int(job["id"]))
        settings = job.get("job_settings") or {}
        if settings.get("job_runtime_k8s"):
            runtimes[int(settings["id"])] = settings["job_runtime_k8s"]
    return Original(lists=lists, runtimes=runtimes, last_job=last)


def write(session: Session, original: Original, *, operator: str) -> Imported:
    """Add what is not known yet; service credentials become those of the user ``operator``.

    Raises InputError when there is no such user, or something can't be taken as it is.
    """
    done = Imported()
    _Import(session, original, done, setup.user_named(session, operator)).all()
    highest = session.scalars(select(func.max(m.Job.id))).one() or 0
    first = skip_ids(session, 0)
    if first <= original.last_job:
        first = skip_ids(session, original.last_job + 1 - first)
    done.next_job = max(first, highest + 1)
    return done


class _Import:
    """Each family after those that it refers to; ``ids`` lead from the original's to our rows."""

    def __init__(self, session: Session, original: Original, done: Imported, operator: m.User) -> None:
        self._session = session
        self._original = original
        self._done = done
        self._operator = operator
        self._ids: dict[tuple[str, int], Any] = {}

    def all(self) -> None:
        self._each("share groups", self._share_group)
        self._each("connections", self._connection)
        self._each("settings", self._settings)
        self._each("strategies", self._strategy)
        self._each("credentials", self._credential)
        self._each("workflows", self._workflow)
        self._each("versions", self._version)
        self._each("methods", self._methods)
        self._each("tool details", self._tool_details)
        self._each("configurations", self._configuration)
        self._each("job tokens", self._job_token)
        self._each("email templates", self._email_template)

    def _each(self, family: str, add: Any) -> None:
        for item in self._original.lists[family]:
            try:
                row, is_new = add(item)
            except (KeyError, TypeError) as error:
                raise InputError(f"The original's {family} hold one that can't be read: {error!r}.") from error
            self._session.flush()
            self._ids[family, int(item["id"])] = row
            (self._done.new if is_new else self._done.known)[family] += 1

    def _known(self, model: Any, *conditions: Any) -> Any:
        return self._session.scalars(select(model).where(*conditions).order_by(model.id)).first()

    def _share_group(self, item: Item) -> tuple[Any, bool]:
        if known := self._known(m.ShareGroup, m.ShareGroup.name == item["name"]):
            return known, False
        members = [(one["name"], one["dds_id"]) for one in item["users"]]
        return setup.create_share_group(self._session, item["name"], email=item["email"], members=members), True

    def _connection(self, item: Item) -> tuple[Any, bool]:
        found = self._known(
            m.LandoConnection,
            m.LandoConnection.host == item["host"],
            m.LandoConnection.queue_name == item["queue_name"],
        )
        if found:
            return found, False
        if not item.get("password"):
            self._left(f"The password of the lando connection to {item['host']} has to be set: its list hides it.")
        login = {key: item.get(key) or "" for key in ("host", "username", "password")}
        # Whoever reads the queue now may be the original's lando.
        made = setup.create_lando_connection(
            self._session, queue_name=item["queue_name"], message_format="pickle", **login
        )
        made.cluster_type = item.get("cluster_type", "k8s")
        return made, True

    def _settings(self, item: Item) -> tuple[Any, bool]:
        if known := self._known(m.JobSettings, m.JobSettings.name == item["name"]):
            return known, False
        runtime = self._original.runtimes.get(int(item["id"]))
        if runtime is None:
            self._left(f"The job settings {item['name']} have no runtime: no job shows which steps they have.")
        made = m.JobSettings(
            name=item["name"],
            lando_connection_id=self._ids["connections", int(item["lando_connection"])].id,
            runtime_id=self._runtime(item["name"], runtime).id if runtime else None,
        )
        self._session.add(made)
        return made, True

    def _runtime(self, name: str, runtime: Item) -> m.JobRuntime:
        if known := self._known(m.JobRuntime, m.JobRuntime.name == name):
            found: m.JobRuntime = known
            return found
        steps = [
            setup.RuntimeStep(
                step_type=step["step_type"],
                image_name=step["image_name"],
                base_command=step["base_command"],
                flavor=self._flavor(step["flavor"]),
            )
            for step in runtime["steps"]
        ]
        return setup.create_runtime(self._session, name, steps)

    def _flavor(self, item: Item) -> m.JobFlavor:
        found: m.JobFlavor | None = self._known(m.JobFlavor, m.JobFlavor.name == item["name"])
        return found or setup.create_flavor(self._session, item["name"], cpus=item["cpus"], memory=item["memory"])

    def _strategy(self, item: Item) -> tuple[Any, bool]:
        if known := self._known(m.JobStrategy, m.JobStrategy.name == item["name"]):
            return known, False
        made = setup.create_strategy(
            self._session,
            item["name"],
            settings=self._ids["settings", int(item["job_settings"])],
            flavor=self._flavor(item["job_flavor"]),
            volume_size_base=int(item["volume_size_base"]),
            volume_size_factor=int(item["volume_size_factor"]),
        )
        made.volume_mounts = item["volume_mounts"]
        return made, True

    def _credential(self, item: Item) -> tuple[Any, bool]:
        place = item["endpoint"]
        ids = {int(one["id"]): one["dds_id"] for one in self._original.lists["credential ids"]}
        dds_id = str(ids.get(int(item["id"]), item.get("dds_id", "")))
        endpoint = self._known(m.StorageEndpoint, m.StorageEndpoint.name == place["name"])
        if endpoint is not None:
            same = m.StorageCredential.endpoint_id == endpoint.id, m.StorageCredential.dds_id == dds_id
            if known := self._known(m.StorageCredential, *same):
                return known, False
        made = setup.create_credential(
            self._session,
            self._operator,
            endpoint=place["name"],
            api_root=place.get("api_root", ""),
            agent_key=place.get("agent_key", ""),
            token=item.get("token", ""),
            dds_id=dds_id,
        )
        return made, True

    def _workflow(self, item: Item) -> tuple[Any, bool]:
        if known := self._known(m.Workflow, m.Workflow.tag == item["tag"]):
            return known, False
        made = setup.create_workflow(self._session, item["name"], tag=item["tag"])
        made.state = item.get("state", "A")
        return made, True

    def _version(self, item: Item) -> tuple[Any, bool]:
        workflow = self._ids["workflows", int(item["workflow"])]
        known = self._known(
            m.WorkflowVersion,
            m.WorkflowVersion.workflow_id == workflow.id,
            m.WorkflowVersion.version == str(item["version"]),
        )
        if known:
            return known, False
        made = setup.create_workflow_version(
            self._session,
            workflow,
            str(item["version"]),
            url=item["url"],
            fields=item["fields"],
            kind=item.get("type", "packed"),
            workflow_path=item.get("workflow_path", ""),
            description=item.get("description", ""),
            version_info_url=item.get("version_info_url") or None,
        )
        made.enable_ui = bool(item.get("enable_ui", True))
        return made, True

    def _methods(self, item: Item) -> tuple[Any, bool]:
        version: m.WorkflowVersion = self._ids["versions", int(item["workflow_version"])]
        if version.methods_document is not None:
            return version.methods_document, False
        version.methods_document = m.MethodsDocument(content=item["content"])
        return version.methods_document, True

    def _tool_details(self, item: Item) -> tuple[Any, bool]:
        version: m.WorkflowVersion = self._ids["versions", int(item["workflow_version"])]
        if version.tool_details is not None:
            return version.tool_details, False
        version.tool_details = m.ToolDetails(details=item["details"])
        return version.tool_details, True

    def _configuration(self, item: Item) -> tuple[Any, bool]:
        workflow = self._ids["workflows", int(item["workflow"])]
        known = self._known(
            m.WorkflowConfiguration,
            m.WorkflowConfiguration.workflow_id == workflow.id,
            m.WorkflowConfiguration.tag == item["tag"],
        )
        if known:
            return known, False
        order = item["system_job_order"]
        made = setup.create_configuration(
            self._session,
            workflow,
            item["tag"],
            strategy=self._ids["strategies", int(item["default_job_strategy"])],
            share_group=self._ids["share groups", int(item["share_group"])],
            system_job_order=json.loads(order) if isinstance(order, str) else order,
        )
        return made, True

    def _job_token(self, item: Item) -> tuple[Any, bool]:
        """Only those that no job has used: here they would serve once more."""
        known = self._known(m.JobToken, m.JobToken.token == item["token"])
        if known or item.get("job") is not None:
            return known, False
        return setup.create_job_token(self._session, item["token"]), True

    def _email_template(self, item: Item) -> tuple[Any, bool]:
        if known := self._known(m.EmailTemplate, m.EmailTemplate.name == item["name"]):
            return known, False
        texts = {key: item[key] for key in ("subject_template", "body_template")}
        try:
            for text in texts.values():
                wording.check(text)
        except InputError as error:
            self._left(f"The email template {item['name']} is left out: {error}")
            return None, False
        made = m.EmailTemplate(name=item["name"], **texts)
        self._session.add(made)
        return made, True

    def _left(self, sentence: str) -> None:
        self._done.left.append(sentence)


def write_users(session: Session, rows: Iterable[Mapping[str, str]]) -> Imported:
    """Add users as the original's database has them, with passwords and tokens; who is known gets what they lack.

    Each row has ``username``, and may have ``email``, ``first_name``, ``last_name``, ``is_staff``, ``is_active``,
    ``password`` (in the form ``pbkdf2_sha256$…``) and ``token``. Raises InputError.
    """
    done = Imported()
    for row in rows:
        name = (row.get("username") or "").strip()
        user = session.scalars(select(m.User).where(m.User.username == name)).first()
        (done.known if user else done.new)["users"] += 1
        if user is None:
            user = setup.create_user(session, name, email=row.get("email") or "", is_staff=_is_true(row, "is_staff"))
            user.first_name, user.last_name = row.get("first_name") or "", row.get("last_name") or ""
            user.is_active = _is_true(row, "is_active", otherwise=True)
        password = row.get("password") or ""
        if user.password_hash is None and password.startswith("pbkdf2_sha256$"):
            if not _PBKDF2.fullmatch(password):
                raise InputError(f"The password of {name} is damaged: it must be pbkdf2_sha256$rounds$salt$hash.")
            user.password_hash = password
        token = (row.get("token") or "").strip()
        if token and session.scalars(select(m.Token).where(m.Token.hash == token_hash(token))).first() is None:
            setup.import_token(session, name, token)
            done.new["tokens"] += 1
    return done


def users_of(text: Iterable[str]) -> Iterator[Mapping[str, str]]:
    """The rows of a CSV file with a head; raises InputError when it names no ``username``."""
    reader = csv.DictReader(text)
    if "username" not in (reader.fieldnames or ()):
        raise InputError("The first line of the users' file has to name its columns, username among them.")
    yield from reader


def _is_true(row: Mapping[str, str], name: str, *, otherwise: bool = False) -> bool:
    return {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}.get(
        (row.get(name) or "").strip().lower(), otherwise
    )
