"""``lando resync``, ``prune``, ``doctor`` and ``config``: for those who operate the daemons."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lando.cli.options import AsJson, HomeFolder, Token, Url

app = typer.Typer()
config_app = typer.Typer(help="The daemons' configuration file.", no_args_is_help=True)

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
    server: Annotated[
        Path | None,
        typer.Option("--server", metavar="FILE", exists=True, help="The server's settings, for its job definitions."),
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
      lando doctor k8s.config --server api.yaml                    also the server's job definitions
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
    raise typer.Exit(doctors.doctor(file, home, options, server=server, as_json=as_json))


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
