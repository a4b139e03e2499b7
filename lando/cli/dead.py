"""What ``lando dead`` does, at the broker of a daemons' file or through the server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import typer

from lando import config as daemons
from lando import queues
from lando.api import dead_letters
from lando.cli import FAILED, UNREACHABLE
from lando.cli.options import asked_by, connect
from lando.cli.rendering import table
from lando.client.upkeep import Upkeep
from lando.errors import ConfigError, InputError, NotFound
from lando.logs import plain
from lando.queues.dead import DeadLetters, Fate
from lando.units import decimal_size

_LINE = 100  # columns of a reason in a list
_FATES = {"retry": Fate.RETRY, "drop": Fate.DROP}
_DONE = {"retry": "back on the command queue", "drop": "removed"}

What = Literal["retry", "drop"]
Document = Mapping[str, Any]


class Desk(Protocol):
    """Where dead letters are asked for."""

    def survey(self, *, limit: int, run: int | None, reason: str | None) -> list[Document]:
        """By queue: its name, how many letters there are, and those that fit."""
        ...

    def find(self, identity: str) -> Document | None: ...
    def settle(self, what: What, identities: Sequence[str]) -> set[str]: ...


@contextmanager
def desk(config: Path | None, url: str | None, token: str | None) -> Iterator[Desk]:
    """The broker of ``config``, or the server when there is none.

    Raises:
        ConfigError: the file can't be used, or no server is known.
    """
    if config is None:
        with connect(url, token) as client:
            yield _Server(client.upkeep)
        return
    settings = daemons.load(config).work_queue
    if (settings.url or "").startswith("memory:"):
        raise ConfigError(f"{config} names a queue inside another process; ask its server, without --config.")
    with asked_by(config):
        yield _Broker(queues.dead_letters(settings), settings.listen_queue)


def list_letters(desk: Desk, *, limit: int, run: int | None, reason: str | None, as_json: bool) -> None:
    """Print what lies there; a queue that can't be asked ends the command with status 3 after the others are told."""
    found = desk.survey(limit=limit, run=run, reason=reason)
    if as_json:
        _print_json(found)
    else:
        for one in found:
            if not one.get("trouble"):
                typer.echo("\n".join(_listed(one)))
    troubles = _troubles(found)
    for trouble in () if as_json else troubles:
        typer.echo(trouble, err=True)
    if troubles:
        raise typer.Exit(UNREACHABLE)


def show(desk: Desk, identity: str, *, as_json: bool) -> None:
    """Print all about one letter."""
    found = desk.find(identity)
    if found is None:
        raise _nobody([identity])
    if as_json:
        _print_json(found)
        return
    for line in _told(found):
        typer.echo(line)


def choose(desk: Desk, ids: Sequence[str], *, everything: bool, run: int | None, reason: str | None) -> list[str]:
    """The ids that are named, or of those letters that fit; raises :class:`InputError` when nothing says which."""
    by_filter = everything or run is not None or bool(reason)
    if bool(ids) == by_filter:
        raise InputError("Say which dead letters: by their ids, or by --run, --reason or --all.")
    if ids:
        return list(dict.fromkeys(ids))
    found = desk.survey(limit=dead_letters.MOST, run=run, reason=reason)
    if troubles := _troubles(found):
        raise InputError(f"Not every queue can be asked; name letters by their ids. {' '.join(troubles)}")
    return list(dict.fromkeys(letter["id"] for one in found for letter in one["letters"]))


def settle(desk: Desk, what: What, identities: Sequence[str], *, as_json: bool) -> None:
    """Try the letters again, or drop them, and say so; raises :class:`InputError` when one was not there."""
    done: set[str] = set()
    for first in range(0, len(identities), dead_letters.MOST):
        done |= desk.settle(what, identities[first : first + dead_letters.MOST])
    missing = [identity for identity in identities if identity not in done]
    if as_json:
        _print_json({"done": [identity for identity in identities if identity in done], "missing": missing})
    else:
        typer.echo(f"{counted(len(done))} {_DONE[what]}.")
    if missing:
        raise _nobody(missing)


def confirm_drop(number: int) -> None:
    """Ask; a no ends the command with status 1. Raises :class:`InputError` when nobody is there to answer."""
    try:
        agreed = typer.confirm(f"Remove {counted(number)} for good?", err=True)
    except typer.Abort as error:  # the end of the input
        typer.echo(err=True)
        raise InputError("Nobody answered, and nothing was removed; --yes does not ask.") from error
    if not agreed:
        typer.echo("Nothing was removed.", err=True)
        raise typer.Exit(FAILED)


def counted(number: int) -> str:
    """``1 dead letter``, ``2 dead letters``."""
    return f"{number} dead letter{'' if number == 1 else 's'}"


class _Server:
    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep

    def survey(self, *, limit: int, run: int | None, reason: str | None) -> list[Document]:
        return list(self._upkeep.dead_letters(limit=limit, run=run, reason=reason))

    def find(self, identity: str) -> Document | None:
        try:
            return self._upkeep.dead_letter(identity)
        except NotFound:
            return None

    def settle(self, what: What, identities: Sequence[str]) -> set[str]:
        return self._upkeep.settle_dead_letters(what, identities)


class _Broker:
    def __init__(self, letters: DeadLetters, queue: str) -> None:
        self._letters = letters
        self._queue = queue

    def survey(self, *, limit: int, run: int | None, reason: str | None) -> list[Document]:
        return [{"queue": self._queue, **dead_letters.survey(self._letters, limit=limit, run=run, reason=reason)}]

    def find(self, identity: str) -> Document | None:
        return dead_letters.find(self._letters, identity)

    def settle(self, what: What, identities: Sequence[str]) -> set[str]:
        return dead_letters.settle(self._letters, frozenset(identities), _FATES[what])


def _troubles(found: Sequence[Document]) -> list[str]:
    """Which queues can't be asked, and why."""
    return [f"The queue {one['queue']} can't be asked: {plain(one['trouble'])}" for one in found if one.get("trouble")]


def _listed(queue: Document) -> Iterator[str]:
    letters = queue["letters"]
    yield f"{queue['queue']}: {counted(queue['count'])}"
    if letters:
        rows = [
            (
                one["id"],
                one["time"] or "",
                "" if one["run"] is None else str(one["run"]),
                one["command"] or "unreadable",
                str(one["tried_again"] or ""),
                _cut(plain(one["reason"])),
            )
            for one in letters
        ]
        yield from table(("ID", "PUT ASIDE", "RUN", "COMMAND", "RETRIED", "REASON"), rows)
    elif queue["looked_at"]:
        yield "None of them fits what was asked for."
    if queue["count"] > queue["looked_at"]:
        yield f"Only the {queue['looked_at']} oldest were looked at; --limit says how many."


def _told(letter: Document) -> Iterator[str]:
    yield f"dead letter {letter['id']}" + (f" of {letter['queue']}" if letter.get("queue") else "")
    again = f", tried again {letter['failures']} times by itself" if letter["failures"] else ""
    yield f"put aside: {letter['time'] or 'at an unknown time'}{again}"
    yield f"reason: {plain(letter['reason'])}"
    if letter["first_reason"] != letter["reason"]:
        yield f"first reason: {plain(letter['first_reason'])}"
    for one in letter["history"]:
        yield f"before: put aside {plain(one['time'])}: {plain(one['reason'])}"
    kind = {"json": "JSON", "pickle": "a pickle of lando-messaging"}.get(letter["form"], "unreadable")
    yield f"body: {decimal_size(letter['size'])}, {kind}"
    if letter["message"] is not None:
        text = json.dumps(letter["message"], indent=2, ensure_ascii=False)
        yield from (plain(line) for line in text.split("\n"))
    else:
        yield letter["body_base64"] + ("… (the rest is left out)" if letter["body_is_cut"] else "")


def _nobody(identities: Sequence[str]) -> InputError:
    named = ", ".join(plain(identity)[:40] for identity in identities[:5])
    more = f" and {len(identities) - 5} more" if len(identities) > 5 else ""
    return InputError(f"There is no dead letter {named}{more}; 'lando dead list' shows what there is.")


def _cut(text: str) -> str:
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
