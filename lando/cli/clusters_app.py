"""``lando cluster``: the embedded cluster alone."""

from __future__ import annotations

from typing import Annotated

import typer

from lando.cli.options import AsJson, HomeFolder, MountMode

app = typer.Typer(help="The embedded cluster alone.", no_args_is_help=True)


@app.command("up")
def up(
    home: HomeFolder = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes the last one again, or any free one.")
    ] = 0,
    namespace: Annotated[str, typer.Option("--namespace", help="The namespace it starts with.")] = "lando",
    user: Annotated[
        list[str] | None,
        typer.Option(
            "--user", metavar="NAME[:NAMESPACE]", help="Someone with a token of their own, for a namespace or for all."
        ),
    ] = None,
    sandbox: MountMode = "auto",
    persist: Annotated[
        bool, typer.Option("--persist/--ephemeral", help="Go on with what was there before, or begin and end empty.")
    ] = True,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running, until `lando cluster down`.")] = False,
) -> None:
    """Start the embedded cluster alone.

    A Kubernetes API that runs pods as local processes, for trying things out. Prints what to export for kubectl. The
    administrator may do everything; each --user has a kubeconfig of their own. Ctrl-C ends it.

    Example: lando cluster up --detach --user ada:team-a --user grace
    """
    from lando.cli import clusters

    clusters.up(home, port, namespace, sandbox, tuple(user or ()), ephemeral=not persist, detach=detach)


@app.command("down")
def down(
    home: HomeFolder = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="How long to wait.")] = 30.0,
) -> None:
    """Stop the embedded cluster.

    Its pods are ended first. Waits until that is done.
    """
    from lando.cli import clusters

    clusters.down(home, timeout)


@app.command("status")
def status(home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Say whether the embedded cluster runs, where, and what is in it.

    Exit 1 when it does not run.
    """
    from lando.cli import clusters

    raise typer.Exit(clusters.status(home, as_json=as_json))
