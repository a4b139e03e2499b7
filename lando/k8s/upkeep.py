"""What an operator asks for besides: a resync now, and the removal of what ended runs still hold.

It looks for itself, and has the active daemon act: by messages on the command queue, so that one lando alone changes a
run's objects, and a run that is restarted meanwhile keeps them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

from lando import queues
from lando.archive import Archive
from lando.config import Config
from lando.errors import ConfigError, Conflict, InputError, NotFound, Unavailable, UnknownRun
from lando.k8s import resync
from lando.k8s.cluster import Cluster, KubernetesCluster
from lando.k8s.findings import Finding
from lando.k8s.holdings import KINDS, Holding, holdings
from lando.k8s.pruning import Held, Prunable, prunable, unknown
from lando.messages import Command, Message, codec
from lando.plans.manifests import run_record_ref
from lando.queues import Publisher
from lando.runs import RunState
from lando.sources import Source
from lando.sources.kinds import source_of

CONFIRM_S = 30.0  # for the broker to take all messages

_COMMANDS = {
    RunState.STARTING: Command.START,
    RunState.RESTARTING: Command.RESTART,
    RunState.CANCELING: Command.CANCEL,
}


class Upkeep:
    """For one lando's cluster, API and queue, which stay the caller's to close. Raises only :mod:`lando.errors`."""

    def __init__(
        self,
        config: Config,
        *,
        cluster: Cluster,
        source: Source,
        publisher: Publisher,
        archive: Archive | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._cluster = cluster
        self._source = source
        self._publisher = publisher
        self._archive = archive
        self._clock = clock

    def resync(self, *, dry_run: bool = False) -> list[Finding]:
        """What does not fit now; unless ``dry_run``, the daemon is asked to look at each run that a look can mend."""
        found = resync.compare(self._cluster, self._source, self._config, self._clock())
        if not dry_run:
            self._send([_look(finding) for finding in found if finding.needs_a_look])
        return found

    def prune(
        self, *, older_than: timedelta | None = None, with_logs: bool = True, dry_run: bool = False
    ) -> list[Prunable]:
        """What ended runs hold longer than they need to (see :func:`lando.k8s.pruning.prunable`); unless ``dry_run``,
        the daemon is asked to remove the objects, and the logs are removed here."""
        held = holdings(self._cluster, only_jobs=self._config.lando_api is None)
        archived = self._archive.sizes() if self._archive is not None and with_logs else {}
        runs = self._source.survey(held.keys() | archived.keys())
        retention = self._config.retention
        found = prunable(held, archived, runs, now=self._clock(), retention=retention, older_than=older_than)
        if dry_run:
            return found
        self._send([_removal(one) for one in found if one.where is Held.CLUSTER])
        return [one for one in found if one.where is Held.CLUSTER or self._forget_logs(one)]

    def prune_unknown(self, run_ids: Collection[int], *, dry_run: bool = False) -> list[Prunable]:
        """What runs hold that the API does not know; unless ``dry_run`` it is removed, here: no daemon
        touches a run that it can't read. Raises InputError for a run that the API knows."""
        for run_id in run_ids:
            with contextlib.suppress(UnknownRun):
                state = self._source.get(run_id).state.value
                raise InputError(
                    f"Run {run_id} is known to the API as {state}; only objects of unknown runs go this way."
                )
        held = holdings(self._cluster, only_jobs=self._config.lando_api is None)
        archived = self._archive.sizes() if self._archive is not None else {}
        found = [
            one
            for run_id in sorted(set(run_ids))
            for one in unknown(run_id, held.get(run_id, Holding()), archived.get(run_id))
        ]
        if not dry_run:
            for one in found:
                if one.where is Held.CLUSTER:
                    self._remove(one.run_id, held[one.run_id])
                elif self._archive is not None:
                    self._archive.remove(one.run_id)
        return found

    def _forget_logs(self, one: Prunable) -> bool:
        """Remove a run's logs, unless it was restarted since it was looked at."""
        if self._archive is None:
            return False
        try:
            run = self._source.get(one.run_id)
        except UnknownRun:
            return False
        if run.state is not one.state or self._source.changed(run) != one.ended:
            return False
        self._archive.remove(one.run_id)
        return True

    def _remove(self, run_id: int, holding: Holding) -> None:
        """Jobs first, so that no pod misses its volume; the record last, because it owns the rest."""
        order = sorted(holding.objects.items(), key=lambda item: KINDS.index(item[0].kind))
        record = holding.record
        mine = [*order, (run_record_ref(run_id), record.uid)] if record is not None else order
        for ref, object_uid in mine:
            with contextlib.suppress(NotFound, Conflict):  # gone, or made anew by somebody
                self._cluster.delete(ref.kind, ref.name, uid=object_uid)

    def _send(self, messages: Sequence[Message]) -> None:
        """Publish, and wait until the broker has confirmed all."""
        if not messages:
            return
        if self._config.work_queue.message_format != "json":
            raise ConfigError(
                "work_queue.message_format is pickle: the lando that reads this queue may not know what to do with such"
                " a message, so that only --dry-run is possible."
            )
        futures: list[Future[None]] = [
            self._publisher.publish(
                self._config.work_queue.listen_queue,
                codec.encode(message, "json"),
                content_type=codec.content_type("json"),
                message_id=message.id,
            )
            for message in messages
        ]
        try:
            for future in futures:
                future.result(CONFIRM_S)
        except TimeoutError as error:
            raise Unavailable("broker", "did not confirm every message in time; ask again.") from error


def is_elsewhere(config: Config) -> bool:
    """Whether the queue is inside of another process, which alone can be asked."""
    return (config.work_queue.url or "").startswith("memory:")


@contextmanager
def connected(config: Config) -> Iterator[Upkeep]:
    """Upkeep on connections of its own, as a daemon with ``config`` has them; raises ConfigError."""
    if is_elsewhere(config):
        raise ConfigError("work_queue.url names a queue inside another process; ask its server instead of its file.")
    with ExitStack() as parts:
        cluster = KubernetesCluster(config.cluster_api_settings)
        parts.callback(cluster.close)
        source = source_of(config)
        parts.callback(source.close)
        publisher = queues.publisher(config.work_queue)
        parts.callback(publisher.close)
        archive = Archive(config.archive.url) if config.archive.url else None
        yield Upkeep(config, cluster=cluster, source=source, publisher=publisher, archive=archive, clock=cluster.now)


def _removal(one: Prunable) -> Message:
    """What has the daemon remove a run's objects, if the run has not changed since."""
    until = one.ended + timedelta(milliseconds=1) if one.ended else None
    return Message(command=Command.PRUNE, run_id=one.run_id, kind=one.kind, ended_before=until)


def _look(finding: Finding) -> Message:
    """What has the daemon put it right: the command that was asked for, or a mere look."""
    command = _COMMANDS.get(finding.state) if finding.state else None
    if command is None:
        return Message(command=Command.STEP_CHANGED, run_id=finding.run_id, kind=finding.kind)
    return Message(command=command, run_id=finding.run_id, kind=finding.kind, generation=finding.generation)
