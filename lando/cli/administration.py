"""What ``lando admin`` does: opens the server's database and calls :mod:`lando.api.setup`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from lando.api import backup, importing, run_ids
from lando.api import models as m
from lando.api import settings as api_settings
from lando.api import setup as sites
from lando.api.database import Database, time_of
from lando.api.files import FileStore, FileUrls
from lando.api.keys import ServerKey, load_or_create
from lando.api.mail_addresses import is_address
from lando.api.migrating import versions
from lando.api.notices import telling
from lando.api.registering import slug
from lando.api.schema_version import HEAD
from lando.api.usage import STATE_WORDS
from lando.cli import rendering
from lando.cwl_inputs import main_process
from lando.errors import InputError
from lando.sources.http import JsonApi


@dataclass(frozen=True)
class _Site:
    database: Database
    key: ServerKey


@contextmanager
def _site(config: Path | None) -> Iterator[_Site]:
    settings = api_settings.load(config)
    database = Database(settings.database_url)
    try:
        if database.is_sqlite:
            database.migrate()
        else:
            database.require_current()
        yield _Site(database, load_or_create(settings.key_file))
    finally:
        database.close()


def migrate(config: Path | None, *, to: str | None) -> None:
    """Bring the schema up to date, or to the version ``to``."""
    if to is not None and to not in (known := versions()):
        raise InputError(f"There is no version {to} of the schema; this program knows {', '.join(known)}.", field="to")
    database = Database(api_settings.load(config).database_url)
    try:
        before = database.version()
        database.migrate(to or HEAD)
        after = database.version()
    finally:
        database.close()
    was = "" if before == after else f" (was {before or 'empty'})"
    typer.echo(f"the database is at version {after}{was}")


def back_up(config: Path | None, folder: Path) -> None:
    """Save database, key and files."""
    backup.back_up(api_settings.load(config), folder)
    typer.echo(f"saved into {folder}: keep it as safe as the key in it")


def restore(config: Path | None, folder: Path, *, skip_ids: int) -> None:
    """Put back what was saved; says what is left to do."""
    first = backup.restore(api_settings.load(config), folder, skip=skip_ids)
    typer.echo(f"restored from {folder}: the next job gets the id {first}")


def skip_ids(config: Path | None, count: int) -> None:
    """Leave out ids of jobs and runs."""
    with _site(config) as site, site.database.write() as session:
        first = run_ids.skip_ids(session, count)
    typer.echo(f"the next job gets the id {first}")


def import_site(config: Path | None, url: str, token: str, *, operator: str) -> None:
    """Carry over what staff set up at the original whose address is ``url``."""
    base = url.rstrip("/").removesuffix("/v2").removesuffix("/api")
    with closing(JsonApi("Bespin API", f"{base}/api", token)) as reader:
        original = importing.read(reader)
    with _site(config) as site, site.database.write() as session:
        done = importing.write(session, original, operator=operator)
    for family in importing.LISTS:
        if family in done.new or family in done.known:
            typer.echo(f"{family}: {done.new[family]} new, {done.known[family]} known")
    typer.echo(f"the next job gets the id {done.next_job}")
    for sentence in done.left:
        typer.echo(f"left to do: {sentence}", err=True)


def import_users(config: Path | None, file: Path) -> None:
    """Add the users of a CSV file."""
    with open(file, encoding="utf-8", newline="") as text, _site(config) as site, site.database.write() as session:
        done = importing.write_users(session, importing.users_of(text))
    typer.echo(f"users: {done.new['users']} new, {done.known['users']} known; tokens: {done.new['tokens']} new")


def setup(
    config: Path | None, user: str, *, broker: str, queue: str, image: str | None, cpus: int | None, memory: str | None
) -> None:
    """Make the site usable; prints the tokens, and on standard error what to do with them."""
    if urlsplit(broker).scheme not in ("amqp", "amqps") or not urlsplit(broker).hostname:
        raise InputError("The broker's URL must look like amqps://user:password@host/vhost.", field="broker")
    with _site(config) as site, site.database.write() as session:
        made = sites.ensure_embedded_site(session, username=user, key=site.key)
        image = sites.change_defaults(session, broker=broker, queue=queue, image=image, cpus=cpus, memory=memory)
    typer.echo(json.dumps({"user": user, "user_token": made.user_token, "daemon_token": made.daemon_token}))
    for line in next_steps(queue, image):
        typer.echo(line, err=True)


def next_steps(queue: str, image: str) -> Iterator[str]:
    """What is left to do after ``lando admin setup``."""
    yield "The site is set up. Next:"
    yield f"- in k8s.config: daemon_token is bespin_api.token, and {queue} is work_queue.listen_queue"
    yield "- start the API server: lando serve --daemons k8s.config"
    yield "- start the daemons: python -m lando.k8s.lando k8s.config, and python -m lando.k8s.watcher k8s.config"
    yield "- submit as the user, with LANDO_URL and LANDO_TOKEN, which is user_token: lando submit …"
    if image == sites.EMBEDDED_IMAGE:
        yield f"note: the steps' image is {image}, which only the embedded cluster has; set yours with --image"


def users(config: Path | None, *, as_json: bool) -> None:
    """List the users by name."""
    with _site(config) as site, site.database.read() as session:
        rows = [
            {"name": user.username, "staff": user.is_staff, "active": user.is_active, "email": user.email}
            for user in session.scalars(select(m.User).order_by(m.User.username))
        ]
    _show(rows, as_json=as_json)


def add_user(config: Path | None, name: str, *, staff: bool, email: str, password_stdin: bool) -> None:
    """Make the user; prints a token."""
    if email and not is_address(email):
        raise InputError(f"{email!r} is no mail address.", field="email")
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    with _site(config) as site, site.database.write() as session:
        sites.create_user(session, name, password=password, is_staff=staff, email=email)
        issued = sites.issue_token(session, site.key, name)
    typer.echo(issued)


def token(config: Path | None, name: str, *, renew: bool) -> None:
    """Print the user's token, a new one with ``renew``."""
    with _site(config) as site, site.database.write() as session:
        issue = sites.renew_token if renew else sites.issue_token
        issued = issue(session, site.key, name)
    typer.echo(issued)


def flavors(config: Path | None, *, as_json: bool) -> None:
    """List the flavors by name."""
    with _site(config) as site, site.database.read() as session:
        rows = [
            {"name": flavor.name, "cpus": flavor.cpus, "memory": flavor.memory}
            for flavor in session.scalars(select(m.JobFlavor).order_by(m.JobFlavor.name))
        ]
    _show(rows, as_json=as_json)


def set_flavor(config: Path | None, name: str, *, cpus: int | None, memory: str | None) -> None:
    """Give the flavor other amounts; prints what it has now."""
    if cpus is None and memory is None:
        raise InputError("Say what the flavor should have: --cpus, --memory or both.")
    with _site(config) as site, site.database.write() as session:
        flavor = sites.flavor_named(session, name)
        sites.change_flavor(flavor, cpus=cpus, memory=memory)
        line = f"{flavor.name}: {flavor.cpus} CPUs, {flavor.memory}"
    typer.echo(line)


def notices(config: Path | None, *, retry: bool, everything: bool, as_json: bool) -> None:
    """List notices, the newest last; with ``retry`` those that were given up are tried again."""
    with _site(config) as site, site.database.write() as session:
        if retry:
            given_up = m.Notice.state == telling.FAILED
            values = {"state": telling.WAITING, "attempts": 1, "settled": None, "due": time_of(session)}
            session.execute(update(m.Notice).where(given_up).values(**values))
        query = select(m.Notice).order_by(m.Notice.id)
        if not everything:
            query = query.where(m.Notice.state != telling.DELIVERED)
        rows = [
            {
                "id": row.id,
                "run": row.job_id,
                "told": STATE_WORDS[row.job_state],
                "by": row.channel,
                "state": row.state,
                "tries": row.attempts,
                "why": row.last_error,
            }
            for row in session.scalars(query)
        ]
    _show(rows, as_json=as_json)


def workflows(config: Path | None, *, as_json: bool) -> None:
    """List each version with the tags by which jobs are made of it."""
    with _site(config) as site, site.database.read() as session:
        versions = session.scalars(
            select(m.WorkflowVersion).join(m.Workflow).order_by(m.Workflow.tag, m.WorkflowVersion.id)
        )
        configurations: dict[int, list[str]] = {}
        for row in session.scalars(select(m.WorkflowConfiguration).order_by(m.WorkflowConfiguration.id)):
            configurations.setdefault(row.workflow_id, []).append(row.tag)
        rows = [
            {"tag": f"{version.tag}/{configuration}", "name": version.workflow.name, "url": version.url}
            for version in versions
            for configuration in configurations.get(version.workflow_id, ["(no configuration)"])
        ]
    _show(rows, as_json=as_json)


def add_workflow(
    config: Path | None,
    file: Path,
    *,
    tag: str,
    version: str,
    url: str | None,
    name: str | None,
    configuration: str,
    system_job_order: Path | None,
) -> None:
    """Add a version whose file lies at ``url``, or is kept by the server; what it is, is read from ``file``."""
    from lando.submission import joborder

    if not file.is_file():
        raise InputError(f"There is no workflow file {file}.", field="workflow")
    read = _zipped(file) if file.suffix.lower() == ".zip" else _packed(file)
    order = joborder.load(system_job_order) if system_job_order else {}
    with _site(config) as site, site.database.write() as session:
        known = session.scalars(select(m.Workflow).where(m.Workflow.tag == tag)).first()
        row = known or sites.create_workflow(session, name or read.name, tag=tag)
        sites.create_workflow_version(
            session,
            row,
            version,
            url=url or _keep(config, session, f"{slug(read.name)}{read.suffix}", read.data),
            fields=read.fields,
            kind=read.kind,
            workflow_path=read.path,
            description=read.description,
        )
        if not _has_configuration(session, row, configuration):
            sites.create_configuration(
                session,
                row,
                configuration,
                strategy=_default(session, m.JobStrategy),
                share_group=_default(session, m.ShareGroup),
                system_job_order=order,
            )
    typer.echo(f"{tag}/{version}/{configuration}")


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What a workflow's file is."""

    name: str
    kind: str
    suffix: str
    path: str
    fields: list[dict[str, Any]]
    description: str
    data: bytes


def _packed(file: Path) -> _Read:
    from lando.submission import workflow

    packed = workflow.pack(file)
    process = main_process(packed.document)
    return _Read(
        name=packed.name,
        kind="packed",
        suffix=".cwl",
        path=process.path,
        fields=process.fields,
        description=process.description,
        data=json.dumps(packed.document, ensure_ascii=False, indent=1).encode(),
    )


def _zipped(file: Path) -> _Read:
    from lando.steps import check_workflow

    with tempfile.TemporaryDirectory() as folder:
        found = check_workflow.of_archive(file, Path(folder))
    return _Read(
        name=found["label"] or file.stem,
        kind="zipped",
        suffix=".zip",
        path=found["workflow_path"],
        fields=found["fields"],
        description=found["description"],
        data=file.read_bytes(),
    )


def _keep(config: Path | None, session: Session, name: str, data: bytes) -> str:
    """Store a file at the server, as the daemons' user; what to record as its URL."""
    kept = FileStore(api_settings.load(config).files_dir).save(data)
    owner = sites.user_named(session, sites.DAEMON_USER)
    session.add(m.UploadedFile(id=kept.id, owner_id=owner.id, name=name, size=kept.size, sha256=kept.sha256))
    return FileUrls.stored(kept.id, name)


def _has_configuration(session: Session, workflow: m.Workflow, tag: str) -> bool:
    query = select(m.WorkflowConfiguration.id).where(
        m.WorkflowConfiguration.workflow_id == workflow.id, m.WorkflowConfiguration.tag == tag
    )
    return session.scalars(query).first() is not None


def _default(session: Session, model: Any) -> Any:
    """The row called ``default``, else the first one."""
    row = session.scalars(select(model).order_by(model.name != sites.DEFAULT, model.id).limit(1)).first()
    if row is None:
        raise InputError("The site has no defaults for jobs yet; run 'lando admin setup' first.")
    return row


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not rows:
        typer.echo("none")
    else:
        cells = [[_cell(value) for value in row.values()] for row in rows]
        for line in rendering.table([heading.upper() for heading in rows[0]], cells):
            typer.echo(line)


def _cell(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
