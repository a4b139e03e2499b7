"""``lando definitions …`` and ``lando run``: definitions of Jobs, and Jobs from those of a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lando.cli.options import AsJson, Token, Url
from lando.cli.phases_app import Command, Context, Kubeconfig

app = typer.Typer()
group = typer.Typer(invoke_without_command=True)
app.add_typer(group, name="definitions")


@group.callback()
def definitions(ctx: typer.Context, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List the definitions that 'lando run' makes Jobs of, with their arguments.

    One line each; '*' marks arguments that have to be given. With 'lando up' they are in $LANDO_HOME/definitions.yaml
    (~/.local/share/lando unless set), and what is written there is in force at once.

    \b
    Examples:
      lando definitions
      lando definitions --json | jq .greet.arguments    the JSON Schema of its arguments
    """
    if ctx.invoked_subcommand is not None:
        return
    from lando.cli import definitions as commands

    commands.show(url, token, as_json=as_json)


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


@app.command(cls=Command)
def run(
    definition: Annotated[str, typer.Argument(metavar="DEFINITION", help="One of those of 'lando definitions'.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Its arguments; KEY:=JSON for any JSON.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; exit 2 unless it is complete.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show what it says, too; implies --wait.")] = False,
    key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="However often it is asked with KEY, there is one Job."),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Make a Job of a definition.

    The Job's name is printed. KEY=VALUE is text, unless the definition declares another type. The log goes to standard
    output, all else about a Job that is followed to standard error. Ctrl-C leaves the Job running.

    Exit 0 if it was made (with --wait: is complete), 1 if it was refused, 2 if it failed, 3 if the server can't be
    reached.

    \b
    Examples:
      lando run greet name=Ada times=2
      lando run greet name=Ada --follow               its log, then how it ended
      lando run thumbnails 'sizes:=[64, 128]' --wait --json | jq .state
      lando run nightly --idempotency-key 2024-02-29  once for that night
    """
    from lando.cli import definitions as commands

    raise typer.Exit(
        commands.run(
            url, token, definition, arguments or [], waiting=wait or follow, following=follow, key=key, as_json=as_json
        )
    )
