"""``lando definitions …`` and ``lando run``: definitions of Jobs, and Jobs from those of a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lando.cli.options import AsJson, Token, Url
from lando.cli.phases_app import Command, Context, Kubeconfig

app = typer.Typer()
group = typer.Typer()
app.add_typer(group, name="definitions")


def _complete_definition(context: typer.Context, incomplete: str) -> list[str]:
    from lando.cli import completing

    return completing.definitions(context, incomplete)


def _complete_job(context: typer.Context, incomplete: str) -> list[str]:
    from lando.cli import completing

    return completing.jobs(context, incomplete)


JobName = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="As 'lando run' and 'lando definitions jobs' name it.", autocompletion=_complete_job
    ),
]


@group.callback(invoke_without_command=True)
def definitions(context: typer.Context, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List definitions, and look after their Jobs.

    Alone it lists what 'lando run' makes Jobs of, with the arguments. One line each; '*' marks arguments that have
    to be given. With 'lando up' they are in $LANDO_HOME/definitions.yaml
    (~/.local/share/lando unless set), and what is written there is in force at once.

    \b
    Examples:
      lando definitions
      lando definitions --json | jq .greet.arguments    the JSON Schema of its arguments
      lando definitions jobs --definition greet         its Jobs, and how they stand
    """
    if context.invoked_subcommand is not None:
        given = [name for name in ("as_json", "url", "token") if _is_typed(context, name)]
        if given:
            option = given[0].removeprefix("as_")
            raise typer.BadParameter(f"--{option} has to come after {context.invoked_subcommand!r}, not before it")
        return
    from lando.cli import definitions as commands

    commands.show(url, token, as_json=as_json)


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@group.command(cls=Command)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The definitions file, or a ConfigMap's manifest.")],
    definition: Annotated[str | None, typer.Argument(metavar="NAME", help="Show what this one makes.")] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Its arguments; KEY:=JSON for any JSON.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask the cluster, too, which then makes nothing.")] = False,
    root: Annotated[
        Path | None, typer.Option("--root", metavar="FOLDER", help="Take the paths of spec_path to be below it.")
    ] = None,
    as_json: AsJson = False,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Where --dry-run would make the Jobs.")
    ] = "default",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Check a definitions file, without a server.

    Everything that is wrong with it, its templates and the manifests that they make is a line: file, line, key. With
    NAME, what that definition makes of its arguments is printed, and all else goes to standard error. With --dry-run
    the cluster says whether it takes the Job, or those of all definitions that need no arguments; templates in
    ConfigMaps are looked at only then.

    Exit 0 if the file can be used, 1 if not, 3 if the cluster can't be reached.

    \b
    Examples:
      lando definitions check definitions.yaml
      lando definitions check definitions.yaml greet name=Ada times=2
      lando definitions check configmap.yaml --dry-run -n batch --root ./image
    """
    from lando.cli import definitions_check as commands

    asked = commands.Asked(namespace=namespace, kubeconfig=kubeconfig, context=context) if dry_run else None
    raise typer.Exit(commands.check(file, definition, arguments or [], root=root, asked=asked, as_json=as_json))


@group.command()
def jobs(
    definition: Annotated[
        str | None,
        typer.Option(
            "--definition",
            metavar="DEFINITION",
            help="Only those of this definition.",
            autocompletion=_complete_definition,
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="The newest so many.")] = 100,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List Jobs of definitions.

    The newest last, with why they failed or what they wait for. Those that are in the cluster: Jobs that have ended
    go after a while, but 'show' and 'logs' still know them.

    \b
    Examples:
      lando definitions jobs
      lando definitions jobs --definition greet --limit 10
      lando definitions jobs --json | jq -r '.[] | select(.state == "Failed").job_name'
    """
    from lando.cli import definition_jobs as commands

    commands.jobs(url, token, definition, limit=limit, as_json=as_json)


@group.command()
def show(job: JobName, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """Show one Job.

    How it stands and since when, why, what to do about it, and what the cluster told of it. One that is gone from
    the cluster is shown as it was, where the server keeps an archive.

    \b
    Examples:
      lando definitions show greet-92bb1d259a50733a4bdb4fe6
      lando definitions show greet-92bb1d259a50733a4bdb4fe6 --json | jq -r .cause.sentence
    """
    from lando.cli import definition_jobs as commands

    commands.show(url, token, job, as_json=as_json)


@group.command()
def logs(
    job: JobName,
    pod: Annotated[str | None, typer.Option("--pod", metavar="POD", help="Of this pod only.")] = None,
    container: Annotated[
        str | None, typer.Option("--container", "-c", metavar="CONTAINER", help="Of containers of this name only.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1_000_000, help="The last so many lines of each container.")
    ] = 10_000,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="All of them, until the Job has ended.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Print what a Job's containers wrote.

    Where there are several, each line begins with 'POD/CONTAINER | ', the pod without the Job's name. --follow shows
    all from the beginning, pods that come later, too; until something runs it says what the Job waits for. Ctrl-C
    leaves the Job running.

    \b
    Examples:
      lando definitions logs greet-92bb1d259a50733a4bdb4fe6
      lando definitions logs greet-92bb1d259a50733a4bdb4fe6 --container setup --limit 20
      lando definitions logs greet-92bb1d259a50733a4bdb4fe6 --json             by pod and container
      lando definitions logs greet-92bb1d259a50733a4bdb4fe6 --follow --json | jq -r 'select(.line).line'
    """
    from lando.cli import definition_jobs as commands

    commands.logs(url, token, job, pod=pod, container=container, limit=limit, following=follow, as_json=as_json)


@group.command()
def delete(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB...", help="One or more.", autocompletion=_complete_job)],
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Delete Jobs with their pods.

    Also while they run. What they wrote stays readable, where the server keeps an archive. Exit 2 if one of them is
    not there.

    \b
    Examples:
      lando definitions delete greet-92bb1d259a50733a4bdb4fe6
      lando definitions jobs --json | jq -r '.[] | select(.state == "Failed").job_name' | xargs lando definitions delete
    """
    from lando.cli import definition_jobs as commands

    raise typer.Exit(commands.delete(url, token, jobs, as_json=as_json))


@app.command(cls=Command)
def run(
    definition: Annotated[
        str,
        typer.Argument(
            metavar="DEFINITION", help="One of those of 'lando definitions'.", autocompletion=_complete_definition
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Its arguments; KEY:=JSON for any JSON, @FILE for a file."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; exit 2 unless it is complete.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show its log, too; implies --wait.")] = False,
    key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="However often it is asked with KEY, there is one Job."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only ask the cluster whether it would take it.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Make a Job of a definition.

    The Job's name is printed. KEY=VALUE is text, unless the definition declares another type; KEY=@FILE is the text of
    a file (@- of standard input), KEY:=@FILE its JSON, and KEY=@@VALUE begins with @ itself. The log goes to standard
    output, all else about a Job that is followed to standard error. Ctrl-C leaves the Job running.

    Exit 0 if it was made (with --wait: is complete), 1 if it was refused, 2 if it failed, 3 if the server can't be
    reached.

    \b
    Examples:
      lando run greet name=Ada times=2
      lando run greet name=Ada --follow               its log, then how it ended
      lando run thumbnails 'sizes:=[64, 128]' --wait --json | jq .state
      lando run report text=@letter.txt 'options:=@options.json'
      lando run nightly --idempotency-key 2024-02-29  once for that night
    """
    from lando.cli import definitions as commands

    raise typer.Exit(
        commands.run(
            url,
            token,
            definition,
            arguments or [],
            waiting=wait or follow,
            following=follow,
            key=key,
            dry_run=dry_run,
            as_json=as_json,
        )
    )
