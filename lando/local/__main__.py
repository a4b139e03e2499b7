"""``python -m lando.local --home DIR``: the embedded cluster as a process of its own."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import threading
from pathlib import Path

from lando.errors import ConfigError
from lando.local.cluster import STOP_TIMEOUT_S, LocalCluster
from lando.local.credentials import parse_users
from lando.local.store.objects import HISTORY_LIMIT
from lando.stopping import GRACE_S, leave, told_to_stop


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; says in one line of JSON where the cluster is. Exit code 2: can't be started so."""
    parser = argparse.ArgumentParser(prog="python -m lando.local", description="Run Lando's embedded cluster.")
    parser.add_argument("--home", type=Path, required=True, help="folder of the cluster's state; made when missing")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: the last one, or a free one)")
    parser.add_argument("--namespace", default="lando", help="namespace of the kubeconfig (default: lando)")
    parser.add_argument("--sandbox", choices=("auto", "bwrap", "substitute"), default="auto")
    parser.add_argument(
        "--user",
        action="append",
        default=[],
        metavar="NAME[:NAMESPACE]",
        help="someone with a token of their own, for one namespace or for all; may be repeated",
    )
    parser.add_argument("--ephemeral", action="store_true", help="keep nothing: not from before, not for later")
    parser.add_argument(
        "--history",
        type=int,
        default=HISTORY_LIMIT,
        metavar="CHANGES",
        help="how many are kept for watches that resume; few make them expire often, as on a busy cluster",
    )
    parser.add_argument("--stop-timeout", type=float, default=STOP_TIMEOUT_S, metavar="SECONDS")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with told_to_stop(max(GRACE_S, 2 * options.stop_timeout)) as stop:
        return _run(options, stop)


def _run(options: argparse.Namespace, stop: threading.Event) -> int:
    try:
        cluster = LocalCluster(
            options.home.absolute(),
            namespace=options.namespace,
            port=options.port,
            sandbox=options.sandbox,
            users=parse_users(options.user),
            ephemeral=options.ephemeral,
            history_limit=options.history,
        )
        cluster.start()
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return 2
    place = {
        "url": cluster.url,
        "ca_file": str(cluster.ca_file),
        "token_file": str(cluster.token_file),
        "kubeconfig": str(cluster.kubeconfig_file),
        "namespace": cluster.namespace,
    }
    print(json.dumps(place), flush=True)  # noqa: T201 - for the program that started this one
    stop.wait()
    cluster.stop(options.stop_timeout)
    return 0


if __name__ == "__main__":
    leave(main())
