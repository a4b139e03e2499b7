"""The commands and their options; what they do lies in the modules they import when called."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lando.cli import admin_app, dead_app, definitions_app, phases_app
from lando.cli.options import AsJson, HomeFolder, MountMode, RunId, Token, Url

app = typer.Typer(
    name="lando",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="The daemons' configuration file.", no_args_is_help=True)
cluster_app = typer.Typer(help="The embedded cluster alone.", no_args_is_help=True)
app.add_typer(admin_app.app, name="admin")
app.add_typer(dead_app.app, name="dead")
app.add_typer(config_app, name="config")
app.add_typer(cluster_app, name="cluster")
app.add_typer(phases_app.app, name="phases")
app.command("definitions")(definitions_app.definitions)
app.command("run", cls=phases_app.Command)(definitions_app.run)

WorkflowFile = Annotated[Path, typer.Argument(metavar="WORKFLOW", help="A CWL file.")]
JobOrderFile = Annotated[Path, typer.Argument(metavar="JOB-ORDER", help="Its inputs, YAML or JSON.")]
Port = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="Port of the server. [default: 8080, or any free one]"),
]


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
      lando definitions, lando run DEFINITION key=value --follow

    Which server is asked: --url and --token, else LANDO_URL and LANDO_TOKEN, else the 'lando up' of this user.
    """


# --- the whole stack ---------------------------------------------------------------------------------------------


@app.command()
def up(
    home: HomeFolder = None,
    port: Port = None,
    sandbox: MountMode = "auto",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to the terminal, no live view.")] = False,
) -> None:
    """Start everything in one process.

    API server, queue, cluster and daemons; needs nothing but this installation. In a terminal it shows the latest runs.
    Ctrl-C ends it; unfinished runs go on at the next start.
    """
    from lando.cli import stack

    stack.up(home, port, sandbox, verbose=verbose)


@app.command()
def demo(
    home: HomeFolder = None,
    workflow: Annotated[Path | None, typer.Option("--workflow", help="Another workflow than the example.")] = None,
    job_order: Annotated[Path | None, typer.Option("--job-order", help="Its inputs.")] = None,
    sandbox: MountMode = "auto",
) -> None:
    """Run the example on real data, here and now.

    Starts the stack, or uses one that runs. The last line says where the results are.
    """
    from lando.cli import demonstration

    raise typer.Exit(demonstration.demo(home, workflow, job_order, sandbox))


@cluster_app.command("up")
def cluster_up(
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


@cluster_app.command("down")
def cluster_down(
    home: HomeFolder = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="How long to wait.")] = 30.0,
) -> None:
    """Stop the embedded cluster.

    Its pods are ended first. Waits until that is done.
    """
    from lando.cli import clusters

    clusters.down(home, timeout)


@cluster_app.command("status")
def cluster_status(home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Say whether the embedded cluster runs, where, and what is in it.

    Exit 1 when it does not run.
    """
    from lando.cli import clusters

    raise typer.Exit(clusters.status(home, as_json=as_json))


@app.command()
def serve(
    config: Annotated[Path | None, typer.Argument(metavar="FILE", help="The API server's settings, YAML.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = None,
    daemons: Annotated[
        Path | None,
        typer.Option("--daemons", metavar="FILE", help="The daemons' file: shows logs of running steps, too."),
    ] = None,
) -> None:
    """Run the API server alone, for production.

    Its settings come from FILE, then from LANDO_API_… in the environment, then from options; the later wins.

    Example: lando serve --host 0.0.0.0 --daemons k8s.config
    """
    from lando.cli import stack

    stack.serve(config, host, port, daemons)


# --- runs --------------------------------------------------------------------------------------------------------


@app.command()
def submit(
    workflow: WorkflowFile,
    job_order: JobOrderFile,
    name: Annotated[str | None, typer.Option("--name", help="What to call the run.")] = None,
    priority: Annotated[
        int, typer.Option("--priority", min=-1000, max=1000, help="Below 0: let your other runs go first.")
    ] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end; exit 1 unless it finished.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Check a workflow and its inputs, and start a run.

    Packs the workflow, checks the job order against it, uploads the files that it names, and starts. Paths in the job
    order count from its folder; http(s), gs and s3 addresses are fetched by the run itself.

    \b
    Examples:
      lando submit workflow.cwl job-order.yaml --name "batch 17" --wait
      lando submit workflow.cwl job-order.yaml --json | jq .id
    """
    from lando.cli import runs

    raise typer.Exit(
        runs.submit(url, token, workflow, job_order, name=name, priority=priority, wait=wait, as_json=as_json)
    )


@app.command()
def jobs(
    state: Annotated[list[str] | None, typer.Option("--state", help="Only runs in this state, e.g. Running.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List your runs.

    Example: lando jobs --state Running --state Error
    """
    from lando.cli import runs

    runs.jobs(url, token, tuple(state or ()), as_json=as_json)


@app.command()
def status(
    run_id: RunId,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end; exit 1 unless it finished.")] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Every change and attempt, with its Job and cause.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show a run's steps.

    With their times and attempts, why it failed, and what it waits for. --json has its history, too.

    \b
    Examples:
      lando status 1 --watch
      lando status 1 --history
    """
    from lando.cli import runs

    raise typer.Exit(runs.status(url, token, run_id, watch=watch, history=history, as_json=as_json))


@app.command()
def logs(
    run_id: RunId,
    step: Annotated[str | None, typer.Option("--step", help="E.g. run_workflow; without it all of them.")] = None,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, help="One attempt only; without it all.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the step, or the run, ends.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Print the log of a run, or of one of its steps or attempts.

    \b
    Examples:
      lando logs 1                               all steps so far
      lando logs 1 --step run_workflow --follow  what the workflow says, as it says it
      lando logs 1 --step run_workflow --attempt 1   what its first attempt said
    """
    from lando.cli import runs

    runs.logs(url, token, run_id, step=step, attempt=attempt, follow=follow)


@app.command()
def explain(
    run_id: RunId,
    step: Annotated[
        str | None, typer.Option("--step", help="Every attempt of this step that failed or waited.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show what the sentence about a failure or wait was read from.

    The rule that spoke, the Job's and its pods' conditions, container states, events, and the log's last lines.

    \b
    Examples:
      lando explain 1                      why it failed, and how that is known
      lando explain 1 --step stage_data    each attempt of one step
    """
    from lando.cli import explaining

    explaining.explain(url, token, run_id, step=step, as_json=as_json)


@app.command()
def cancel(run_id: RunId, url: Url = None, token: Token = None) -> None:
    """Stop a run and remove what it has in the cluster.

    Its logs stay. A canceled run can be restarted from its beginning.
    """
    from lando.cli import runs

    runs.cancel(url, token, run_id)


@app.command()
def restart(
    run_id: RunId,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end; exit 1 unless it finished.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Run a failed or canceled run again.

    A failed one from the step that failed, a canceled one from its beginning.
    """
    from lando.cli import runs

    raise typer.Exit(runs.restart(url, token, run_id, wait=wait))


@app.command()
def priority(
    run_id: RunId,
    number: Annotated[int, typer.Argument(metavar="PRIORITY", min=-1000, max=1000, help="The highest goes first.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Put a run before or behind others that wait for their turn.

    Every run begins with 0. Staff may set any run's, others only lower their own.

    Example: lando priority 12 -- -5
    """
    from lando.cli import runs

    runs.set_priority(url, token, run_id, number)


@app.command()
def outputs(
    run_id: RunId,
    download: Annotated[Path | None, typer.Option("--download", metavar="DIR", help="Save all of them here.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List a run's results, or download them.

    Example: lando outputs 1 --download results/
    """
    from lando.cli import runs

    runs.outputs(url, token, run_id, download=download, as_json=as_json)


# --- for operators -----------------------------------------------------------------------------------------------

DaemonsFile = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="The daemons' file: cluster, API and broker are asked directly."),
]


@app.command()
def resync(
    file: DaemonsFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what does not fit.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Compare all runs with all objects in the cluster, and have the daemon put right what does not fit.

    One line for each run: what is wrong, and what will be done. The daemon does the same by itself from time to time.
    Without FILE the server is asked, which takes a token of staff and, with 'lando serve', its --daemons FILE.

    \b
    Examples:
      lando resync --dry-run
      lando resync k8s.config
    """
    from lando.cli import upkeep

    upkeep.resync(file, url, token, dry_run=dry_run, as_json=as_json)


@app.command()
def prune(
    file: DaemonsFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go, and how much.")] = False,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Of all runs that ended longer ago, e.g. 30d, 12h."),
    ] = None,
    keep_logs: Annotated[bool, typer.Option("--keep-logs", help="Leave the archive alone.")] = False,
    unknown: Annotated[
        list[int] | None,
        typer.Option("--unknown", min=0, metavar="ID", help="Instead, all of this run, which the API does not know."),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Remove what ended runs still hold: objects and volumes in the cluster, logs in the archive.

    Without --older-than what is kept longer than the settings under retention say. Unfinished runs are never touched,
    results neither. Without FILE the server is asked, as with 'lando resync'.

    \b
    Examples:
      lando prune --dry-run --older-than 30d
      lando prune --older-than 1d --keep-logs k8s.config
    """
    from lando.cli import upkeep

    upkeep.prune(
        file,
        url,
        token,
        older_than=older_than,
        keep_logs=keep_logs,
        unknown=unknown or [],
        dry_run=dry_run,
        as_json=as_json,
    )


class Daemon(StrEnum):
    """Whose permissions the doctor looks at."""

    BOTH = "both"
    LANDO = "lando"
    WATCHER = "watcher"
    SERVER = "server"


@app.command()
def doctor(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The daemons' file. [default: this user's 'lando up']")
    ] = None,
    daemon: Annotated[
        Daemon, typer.Option("--daemon", help="Whose permissions in the cluster the file's account must have.")
    ] = Daemon.BOTH,
    admin_kubeconfig: Annotated[
        Path | None,
        typer.Option(
            "--admin-kubeconfig",
            metavar="KUBECONFIG",
            exists=True,
            dir_okay=False,
            help="Look with it at what the account may not read.",
        ),
    ] = None,
    management: Annotated[
        str | None,
        typer.Option("--management", metavar="URL", help="RabbitMQ's management API. [default: its usual port]"),
    ] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Look at everything that Lando needs, and say what to do where something is missing.

    Configuration, RabbitMQ and its queues, the APIs and their tokens, the cluster with each permission and object that
    runs need, the archive, the store. One line for each: 'ok'; 'unknown', for what can't be seen from here with these
    credentials; 'warning', for what works, but not well or not for long; 'failed', with what to do behind the arrow.

    Nothing is changed: the daemons may be running, or not yet. It ends within half a minute, whoever does not answer.
    Exit 1 if something failed, else 0.

    \b
    Examples:
      lando doctor k8s.config
      lando doctor k8s.config --admin-kubeconfig ~/.kube/config    also Secrets, quotas, storage classes
      lando doctor k8s.config --json | jq '.parts[].findings[] | select(.level == "failed")'
      lando doctor                                                 the 'lando up' of this user
    """
    from lando.cli import doctor as doctors
    from lando.doctor.parts import Options

    options = Options(
        processes=("lando", "watcher") if daemon is Daemon.BOTH else (daemon.value,),
        management_url=management,
        admin_kubeconfig=str(admin_kubeconfig) if admin_kubeconfig else None,
    )
    raise typer.Exit(doctors.doctor(file, home, options, as_json=as_json))


# --- configuration -----------------------------------------------------------------------------------------------


@config_app.command("check")
def config_check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The daemons' configuration.")],
    strict: Annotated[bool, typer.Option("--strict", help="Unknown keys are errors.")] = False,
) -> None:
    """Check a configuration file.

    Every finding says file, line and key. Exit 0 if the daemons would start with it, else 2.

    Example: lando config check --strict k8s.config
    """
    from lando.cli import configuration

    raise typer.Exit(configuration.check(file, strict=strict))
