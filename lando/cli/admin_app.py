"""``lando admin``: what an operator does on the server's own database (not through the API)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lando.cli.options import AsJson

app = typer.Typer(help="Users, tokens, workflows: on the server's database.", no_args_is_help=True)

SettingsFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="The API server's settings; else its environment.")
]
UserName = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]


@app.command()
def migrate(
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="VERSION", help="An older one: what came since goes, with what it holds."),
    ] = None,
    config: SettingsFile = None,
) -> None:
    """Bring the database's schema up to date.

    SQLite is brought up to date by itself; for PostgreSQL run this before a new version's server starts. A server works
    with a newer schema than its own, so --to is needed only to go back by more than one version.
    """
    from lando.cli import administration

    administration.migrate(config, to=to)


Skipped = Annotated[
    int, typer.Option("--skip-ids", min=0, help="More ids than jobs were made since: theirs are not given again.")
]


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")], config: SettingsFile = None
) -> None:
    """Save the server's database, key and uploaded files, while it runs or not.

    PostgreSQL is saved by pg_dump. Logs and results are where the settings put them: save those besides.
    """
    from lando.cli import administration

    administration.back_up(config, folder)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What 'lando admin backup' saved.")],
    skip_ids: Skipped = 1000,
    config: SettingsFile = None,
) -> None:
    """Put a backup back, where there is no database yet and before the server starts."""
    from lando.cli import administration

    administration.restore(config, folder, skip_ids=skip_ids)


@app.command()
def skip_ids(
    count: Annotated[int, typer.Argument(metavar="COUNT", min=0, help="More than jobs were made since.")],
    config: SettingsFile = None,
) -> None:
    """Leave out ids of jobs, after a database was put back by other means than 'lando admin restore'.

    Objects, logs and results are named by them, and those of jobs that were made since the backup may still be there.
    """
    from lando.cli import administration

    administration.skip_ids(config, count)


@app.command("import")
def import_site(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The original bespin-api, e.g. https://bespin.example.org.")
    ],
    token_file: Annotated[
        Path,
        typer.Option("--token-file", metavar="FILE", exists=True, dir_okay=False, help="Holds a token of its staff."),
    ],
    operator: Annotated[str, typer.Option("--operator", metavar="NAME", help="Whose the service credentials become.")],
    config: SettingsFile = None,
) -> None:
    """Carry over what staff set up at an original bespin-api.

    Workflows with their versions and configurations, strategies, job settings, connections, share groups, credentials
    and unused job tokens. What is known here by its name is left as it is, so it may be repeated. Jobs stay where they
    are; new ones get ids that none of them has.
    """
    from lando.cli import administration

    administration.import_site(config, url, token_file.read_text("utf-8").strip(), operator=operator)


@app.command()
def import_users(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="CSV with a head, username in it.")
    ],
    config: SettingsFile = None,
) -> None:
    """Add users from an original bespin-api's database, with their passwords and tokens.

    The columns are username, email, first_name, last_name, is_staff, is_active, password (pbkdf2_sha256$...), token.
    """
    from lando.cli import administration

    administration.import_users(config, file)


@app.command()
def setup(
    user: Annotated[str, typer.Argument(metavar="NAME", help="A first user, who becomes staff.")],
    broker: Annotated[str, typer.Option("--broker", envvar="LANDO_BROKER", help="URL of the broker, amqp://….")],
    queue: Annotated[str, typer.Option("--queue", help="The lando daemon's queue.")] = "lando",
    image: Annotated[
        str | None, typer.Option("--image", help="Image of the steps, built from the Dockerfile; kept where left out.")
    ] = None,
    cpus: Annotated[
        int | None, typer.Option("--cpus", min=1, help="CPUs of a workflow's step: 1; kept where left out.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", help="Memory of a workflow's step: 1Gi; kept where left out.")
    ] = None,
    config: SettingsFile = None,
) -> None:
    """Make a new site usable.

    Makes a first user, the daemons' user and the defaults for jobs. Prints both tokens as JSON, and on standard error
    what to do next. Safe to repeat: broker, queue and what else is named are then changed, the rest is kept.

    \b
    Example:
      lando admin setup ada --broker amqps://lando:…@mq.example.org/ --image example.org/lando:1.0
    """
    from lando.cli import administration

    administration.setup(config, user, broker=broker, queue=queue, image=image, cpus=cpus, memory=memory)


@app.command()
def users(as_json: AsJson = False, config: SettingsFile = None) -> None:
    """List the users."""
    from lando.cli import administration

    administration.users(config, as_json=as_json)


@app.command()
def add_user(
    name: UserName,
    staff: Annotated[bool, typer.Option("--staff", help="May use the admin routes.")] = False,
    email: Annotated[str, typer.Option("--email", help="Where notices go.")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read a password from standard input; else only tokens sign in.")
    ] = False,
    config: SettingsFile = None,
) -> None:
    """Make a user, and print a token.

    Example: lando admin add-user bob --email bob@example.org
    """
    from lando.cli import administration

    administration.add_user(config, name, staff=staff, email=email, password_stdin=password_stdin)


@app.command()
def token(
    name: UserName,
    renew: Annotated[bool, typer.Option("--renew", help="Make a new one; the old one no longer works.")] = False,
    config: SettingsFile = None,
) -> None:
    """Print a user's token."""
    from lando.cli import administration

    administration.token(config, name, renew=renew)


@app.command()
def flavors(as_json: AsJson = False, config: SettingsFile = None) -> None:
    """List the flavors: the CPUs and memory that steps and workflows get."""
    from lando.cli import administration

    administration.flavors(config, as_json=as_json)


@app.command()
def set_flavor(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, e.g. default: of the workflows' steps.")],
    cpus: Annotated[int | None, typer.Option("--cpus", min=1, help="CPUs.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Memory, e.g. 16Gi.")] = None,
    config: SettingsFile = None,
) -> None:
    """Give a flavor other amounts; jobs that start from now on get them.

    Example: lando admin set-flavor default --cpus 8 --memory 32Gi
    """
    from lando.cli import administration

    administration.set_flavor(config, name, cpus=cpus, memory=memory)


@app.command()
def notices(
    retry: Annotated[bool, typer.Option("--retry", help="Have those that were given up tried again.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that were delivered in the last month.")
    ] = False,
    as_json: AsJson = False,
    config: SettingsFile = None,
) -> None:
    """List the notices about runs that wait or were given up, with why."""
    from lando.cli import administration

    administration.notices(config, retry=retry, everything=everything, as_json=as_json)


@app.command()
def workflows(as_json: AsJson = False, config: SettingsFile = None) -> None:
    """List workflows, their versions and configurations."""
    from lando.cli import administration

    administration.workflows(config, as_json=as_json)


@app.command()
def add_workflow(
    file: Annotated[
        Path,
        typer.Argument(metavar="WORKFLOW", help="A CWL file, or a .zip of CWL files."),
    ],
    tag: Annotated[str, typer.Option("--tag", help="Its short name, e.g. exome.")],
    version: Annotated[str, typer.Option("--version", help="E.g. 4.1.0.")],
    url: Annotated[
        str | None,
        typer.Option("--url", help="Where the pods fetch this very file, packed; by default the server keeps it."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    configuration: Annotated[str, typer.Option("--configuration", help="Tag of its configuration.")] = "default",
    system_job_order: Annotated[
        Path | None, typer.Option("--system-job-order", help="Inputs that the site fixes, YAML or JSON.")
    ] = None,
    config: SettingsFile = None,
) -> None:
    """Add a version of a public workflow; prints the tag by which jobs are made of it.

    \b
    Example:
      lando admin add-workflow exome.cwl --tag exome --version 4.1.0
    """
    from lando.cli import administration

    administration.add_workflow(
        config,
        file,
        tag=tag,
        version=version,
        url=url,
        name=name,
        configuration=configuration,
        system_job_order=system_job_order,
    )
