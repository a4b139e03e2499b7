"""The tree of commands, of the modules ``…_app``."""

from __future__ import annotations

from typing import Annotated

import typer

from lando.cli import admin_app, clusters_app, dead_app, definitions_app, operators_app, phases_app, runs_app, stack_app

app = typer.Typer(
    name="lando",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for family in (stack_app.app, runs_app.app, definitions_app.app, operators_app.app):
    app.add_typer(family)
app.add_typer(admin_app.app, name="admin")
app.add_typer(dead_app.app, name="dead")
app.add_typer(operators_app.config_app, name="config")
app.add_typer(clusters_app.app, name="cluster")
app.add_typer(phases_app.app, name="phases")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lando {version('lando')}")
        raise typer.Exit


@app.callback()
def lando(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Run workflows on Kubernetes, step by step, and know what became of them.

    \b
    Begin here:
      lando demo                                       an example, from its data to its report
      lando up                                         everything in one process; then, in another terminal:
      lando submit WORKFLOW.cwl JOB-ORDER.yaml --wait  run a workflow of yours

    \b
    Then:
      lando jobs, lando status 1, lando logs 1, lando outputs 1 --download results/

    \b
    Without any of this, Kubernetes Jobs that must run in order, straight against a cluster:
      lando phases run --help

    \b
    Or single Jobs of templates that the server has under a name:
      lando definitions [check FILE], lando run DEFINITION key=value --follow, lando definitions jobs

    Which server is asked: --url and --token, else LANDO_URL and LANDO_TOKEN, else the 'lando up' of this user.
    """
