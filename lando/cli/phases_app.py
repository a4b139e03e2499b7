"""``lando phases``: Kubernetes Jobs in phases, straight against a cluster or by a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from lando.cli.options import AsJson, Token, Url

app = typer.Typer(
    help="Kubernetes Jobs in phases, run straight against a cluster: `lando phases run --help` begins.",
    no_args_is_help=True,
)

REFUSED = 1
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # of click, or of the click that typer brings with it

ModelFile = Annotated[str, typer.Argument(metavar="MODEL", help="The model file.")]
Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", metavar="FILE", help="The cluster. [default: KUBECONFIG, ~/.kube/config]"),
]
Context = Annotated[str | None, typer.Option("--context", help="Which of the kubeconfig's contexts.")]
MODEL = "jobermodel.yaml"


class Command(TyperCommand):
    """Wrong usage ends with 1 here: 2 means that a Job failed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            vars(error)["exit_code"] = REFUSED
            raise


@app.command(cls=Command)
def run(
    model: ModelFile = MODEL,
    changed: Annotated[
        bool, typer.Option("--changed", help="Run Jobs again whose files say something else than when they ran.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON, for programs.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Log lines on a terminal, too.")] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Run a model's Jobs, phase by phase, to their end.

    Checks everything first: the model, its files, the rights, and each Job by a dry run. Then a Job is created the
    moment that what it depends on is complete. Paths in the model count from the current folder. On a terminal a tree
    shows where it stands; in a pipe it is log lines, set up by logging.yaml where there is one.

    All state is in the cluster: started again, it goes on where it was. Jobs that are complete are not run again, those
    that failed are. Ctrl-C ends it and leaves the Jobs running; twice ends it at once.

    \b
    A model:
      jobernetes_config:
        parallelization: 4              # at most four Jobs at once
      jobernetes:
        - phase_name: load
          jobs:
            - name: fetch
              type: directory           # each Job in this folder
              job_path: k8s/fetch
            - name: merge
              job_path: k8s/merge.yaml  # any Kubernetes Job
              depends_on: [fetch]
        - phase_name: finish            # when all of the first is complete
          jobs:
            - {name: report, job_path: k8s/report.yaml}

    \b
    Try it, without a cluster of your own:
      lando cluster up --detach         prints the KUBECONFIG to export
      cd examples/phases && lando phases run advanced.yaml

    \b
    Exit codes:
      0 complete; 1 nothing was created, as the model or something in the cluster is in the way; 2 a Job failed;
      3 the cluster can't be reached; 130 and 143 interrupted
    """
    from lando.cli import phases

    raise typer.Exit(phases.run(model, kubeconfig, context, changed=changed, as_json=as_json, plain=plain))


@app.command(cls=Command)
def check(
    model: ModelFile = MODEL,
    offline: Annotated[bool, typer.Option("--offline", help="Only the model and its files; contact nothing.")] = False,
    as_json: AsJson = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Check all that `run` checks before it creates anything.

    The model and its files, then rights, names and quota in the cluster, and each Job by a dry run. Every problem is a
    line. Changes nothing. Exit 0 if the model can be run, 1 if not, 3 if the cluster can't be reached.

    Example: lando phases check advanced.yaml --offline
    """
    from lando.cli import phases

    raise typer.Exit(phases.check(model, kubeconfig, context, offline=offline, as_json=as_json))


@app.command(cls=Command)
def graph(
    model: ModelFile = MODEL,
    as_svg: Annotated[bool, typer.Option("--svg", help="A picture.")] = False,
    as_mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Text that GitHub and others draw; the default.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there; .svg means --svg.")
    ] = None,
) -> None:
    """Draw a model: its phases, entries, and what depends on what.

    \b
    Examples:
      lando phases graph advanced.yaml
      lando phases graph advanced.yaml -o advanced.svg
    """
    from lando.cli import phases

    if as_svg and as_mermaid:
        typer.echo("lando: Give --svg or --mermaid, not both.", err=True)
        raise typer.Exit(REFUSED)
    is_picture = as_svg or (not as_mermaid and output is not None and output.suffix == ".svg")
    raise typer.Exit(phases.graph(model, output, as_svg=is_picture))


@app.command(cls=Command)
def status(
    model: ModelFile = MODEL,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Instead of a model: the Jobs of all models in this namespace."),
    ] = None,
    as_json: AsJson = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show how a model's Jobs stand in the cluster now, and who runs it.

    Needs no run in this terminal: it is read from the Jobs' labels.

    \b
    Examples:
      lando phases status advanced.yaml
      lando phases status --namespace default --json
    """
    from lando.cli import phases_status

    raise typer.Exit(phases_status.status(model, namespace, kubeconfig, context, as_json=as_json))


@app.command(cls=Command)
def cleanup(
    model: ModelFile = MODEL,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON, for programs.")] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Delete a model's Jobs with their pods, and the resources that it applied.

    Only what carries its labels. After that everything runs again. Refused while the model is being run.

    Example: lando phases cleanup advanced.yaml
    """
    from lando.cli import phases

    raise typer.Exit(phases.clean_up(model, kubeconfig, context, as_json=as_json))


@app.command(cls=Command)
def submit(
    model: ModelFile = MODEL,
    name: Annotated[str | None, typer.Option("--name", help="What to call the run. [default: the model's]")] = None,
    following: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Follow it to its end; exit 2 unless it finished.")
    ] = True,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Hand a model to a Lando server, which runs it and keeps its history.

    Sends the model with every file that it names, in one bundle. The run goes on without this terminal; `lando status`,
    `logs`, `explain`, `cancel` and `restart` take its number. Its Jobs' names get that number behind them, and they run
    in the server's namespace. Secrets can't be sent: make them there.

    \b
    Examples:
      lando phases submit advanced.yaml --name nightly
      lando phases submit advanced.yaml --no-follow --json | jq .id
    """
    from lando.cli import phases_submit

    raise typer.Exit(phases_submit.submit(url, token, model, name=name, following=following, as_json=as_json))
