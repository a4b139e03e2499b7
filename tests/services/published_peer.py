"""A peer that is not ours: the client and the router of lando-messaging as its authors published them.

A program of its own, ``python -I -S published_peer.py FOLDER HOST PORT USERNAME PASSWORD DOING QUEUE``: packages are
taken from ``FOLDER`` only, so that nothing of Lando is near. ``send`` makes the calls of ``LandoClient`` that stand on
its standard input, one JSON list of method and arguments a line; ``receive`` prints a JSON object for each call that
the router for a cluster's lando makes; ``notify`` sends each line of its standard input to the exchange ``QUEUE``.
"""

import json
import sys
from types import SimpleNamespace
from typing import Any


def main(folder: str, host: str, port: str, username: str, password: str, doing: str, queue: str) -> None:
    sys.path.insert(0, folder)
    import pika
    from lando_messaging import workqueue

    pika.ConnectionParameters.DEFAULT_PORT = int(port)  # its settings have none
    config = workqueue.Config(host, username, password)
    {"send": send, "receive": receive, "notify": notify}[doing](config, queue)


def send(config: Any, queue: str) -> None:
    from lando_messaging import workqueue
    from lando_messaging.clients import LandoClient

    client = LandoClient(config, queue)
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        if method == "version":  # of a peer that is newer or older
            workqueue.get_version_str = lambda version=arguments[0]: version
        elif method.startswith("job_step_"):
            payload, *more = arguments
            getattr(client, method)(SimpleNamespace(**payload), *more)
        else:
            getattr(client, method)(*arguments)


def receive(config: Any, queue: str) -> None:
    from lando_messaging.messaging import MessageRouter

    class Lando:
        """Has a method for every command."""

        def __getattr__(self, command: str) -> Any:
            def method(payload: Any) -> None:
                request = router.processor.work_request
                told = {
                    "command": command,
                    "class": f"{type(payload).__module__}.{type(payload).__name__}",
                    "payload": vars(payload),
                    "version": request.version,
                }
                print(json.dumps(told), flush=True)

            return method

    router = MessageRouter.make_k8s_lando_router(config, Lando(), queue)
    router.run()


def notify(config: Any, exchange: str) -> None:
    from lando_messaging.workqueue import WorkProgressQueue

    progress = WorkProgressQueue(config, exchange)
    for line in sys.stdin:
        progress.send(line.strip())


if __name__ == "__main__":
    main(*sys.argv[1:])
