"""``lando explain``: the evidence behind a run's sentence, as a tree. The documents are the archive's."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from lando.cli.options import connect
from lando.cli.rendering import LOG_LINES, headline, title, utc_now, volume
from lando.client.views import RunView
from lando.logs import plain

_ENDLESS_WIDTH = 1_000_000  # columns of what is no terminal: lines are not broken for programs
_OF_THE_TOOL = ("Its last words: ", "It wrote nothing")  # what a run step has in place of advice
_STYLES = {"Failed": "bold red", "Waiting": "yellow"}

Document = Mapping[str, Any]


def explain(url: str | None, token: str | None, run_id: int, *, step: str | None, as_json: bool) -> None:
    """Show why a run failed or what it waits for, and what that was read from."""
    with connect(url, token) as client:
        run = client.run(run_id)
        documents = client.evidence(run_id, step)
    if as_json:
        told = {key: run.document.get(key) for key in ("id", "state", "cause", "condition")}
        typer.echo(json.dumps({**told, "evidence": documents}, indent=2, ensure_ascii=False))
        return
    typer.echo(headline(run, utc_now()))
    shown = documents if step else of_concern(run, documents)
    if step or not shown or _step_of_concern(run) is None:
        typer.echo(_verdict(run))
    for line in (*(f"note: {plain(warning)}" for warning in run.warnings), volume(run)):
        if line:
            typer.echo(line)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _ENDLESS_WIDTH)
    for document in shown:
        console.print(tree(document))
    if not shown and _step_of_concern(run):
        typer.echo(
            "No evidence of that is kept: there was no Job to look at, archive.url is not set, or it was pruned."
        )
    for document in [one for one in documents if one not in shown]:
        said = plain(_part(document, "cause").get("sentence"))
        typer.echo(f"earlier: {_heading(document)}: {said} (lando explain {run_id} --step {plain(document['step'])})")


def of_concern(run: RunView, documents: Sequence[Document]) -> list[Document]:
    """The newest document about the step that failed or waits now, or about each of several; none of a run that does
    neither."""
    step = _step_of_concern(run)
    failed = [one.name for one in run.steps if one.state == "Failed"] if run.state == "Error" else []
    newest = {document.get("step"): document for document in documents}
    return [newest[name] for name in ([step] if step else failed) if name in newest]


def _step_of_concern(run: RunView) -> str | None:
    """Which step failed or waits now; None also where that is about no step."""
    step: str | None = (run.document.get("cause") or run.document.get("condition") or {}).get("step")
    return step


def tree(document: Document) -> Tree:
    """One attempt of a step: the cause, the rule that spoke, then what the cluster showed."""
    root = Tree(Text(_heading(document), style=_STYLES.get(str(document.get("verdict")), "bold")))
    cause, rule = _part(document, "cause"), _part(document, "rule")
    code = cause.get("exit_code")
    _add(root, "why", cause.get("sentence"))
    advice = str(cause.get("advice") or "")
    _add(root, "besides" if advice.startswith(_OF_THE_TOOL) else "what to do", advice)
    _add(root, "whose move", f"{cause.get('category')}{f', exit code {code}' if code is not None else ''}")
    if rule:
        lasts = f", a wait that fails {rule.get('fails')}" if document.get("verdict") == "Waiting" else ""
        _add(root, "rule", f"{rule.get('name')}{lasts}; docs/causes.md has them all")
        _add(root, "it saw", rule.get("saw"))
    _grow(root, _job(_part(document, "job")))
    for pod in document.get("pods") or ():
        _grow(root, _pod(pod))
    events = list(document.get("events") or ())
    if events:
        _grow(root, ("events, the newest first", [_event(event) for event in events]))
    lines = [line for line in str(document.get("log_tail") or "").splitlines() if line.strip()][-LOG_LINES:]
    if lines:
        _grow(root, ("the log's last lines", [(line, []) for line in lines]))
    return root


Node = tuple[str, list[Any]]
"""A text and its children, nodes again."""


def _job(job: Document) -> Node:
    counts = ", ".join(f"{count} {kind}" for kind, count in _part(job, "pods").items())
    parts = [f"Job {job.get('name')}", f"pods: {counts}" if counts else "", _times(job)]
    return ", ".join(part for part in parts if part), [_condition(one) for one in job.get("conditions") or ()]


def _pod(pod: Document) -> Node:
    parts = [f"Pod {pod.get('name')}: {pod.get('phase')}", f"node {pod['node']}" if pod.get("node") else "no node"]
    said = ": ".join(str(pod[key]) for key in ("reason", "message") if pod.get(key))
    heading = ", ".join(part for part in (*parts, _times(pod), said) if part)
    below = [_condition(one) for one in pod.get("conditions") or ()]
    return heading, below + [_container(one) for one in pod.get("containers") or ()]


def _container(container: Document) -> Node:
    kind = "init container" if container.get("init") else "container"
    below = []
    for word, state in (("now", container.get("state")), ("before", container.get("last_state"))):
        below += [_state(word, kind_, told) for kind_, told in (state or {}).items()]
    for word in ("limits", "requests"):
        quantities = ", ".join(f"{name} {amount}" for name, amount in _part(container, word).items())
        below += [(f"{word}: {quantities}", [])] if quantities else []
    restarts = f", started again {container['restarts']} times" if container.get("restarts") else ""
    return f"{kind} {container.get('name')}, image {container.get('image')}{restarts}", below


def _state(word: str, kind: str, told: Document) -> Node:
    code = f"exit code {told['exitCode']}" if "exitCode" in told else ""
    span = " to ".join(str(told[key]) for key in ("startedAt", "finishedAt") if told.get(key))
    parts = [f"{word} {kind}", str(told.get("reason") or ""), code, span]
    text = ", ".join(part for part in parts if part)
    return (f"{text}: {told['message']}" if told.get("message") else text), []


def _condition(entry: Document) -> Node:
    said = ": ".join(str(entry[key]) for key in ("reason", "message") if entry.get(key))
    since = f" since {entry['lastTransitionTime']}" if entry.get("lastTransitionTime") else ""
    return f"condition {entry.get('type')} {entry.get('status')}{since}{f', {said}' if said else ''}", []


def _event(event: Document) -> Node:
    count = f" ({event['count']} times)" if (event.get("count") or 1) > 1 else ""
    return f"{event.get('last')} {event.get('about')}, {event.get('reason')}{count}: {event.get('message')}", []


def _times(item: Document) -> str:
    return ", ".join(f"{key} {item[key]}" for key in ("created", "deleted") if item.get(key))


def _verdict(run: RunView) -> str:
    if run.cause:
        return f"why: {plain(run.cause)}"
    if run.condition and not run.over:
        return f"waits for: {plain(run.condition)}"
    return "It has not failed, and nothing keeps it waiting."


def _heading(document: Document) -> str:
    name = title(plain(document.get("step")))
    return f"{name}, attempt {document.get('attempt')}: {document.get('verdict')}, judged {document.get('judged')}"


def _part(document: Document, name: str) -> Document:
    value = document.get(name)
    return value if isinstance(value, Mapping) else {}


def _add(root: Tree, word: str, text: object) -> None:
    if text:
        root.add(Text.assemble((f"{word}: ", "bold"), plain(text)))


def _grow(root: Tree, node: Node) -> None:
    text, below = node
    branch = root.add(Text(plain(text)))
    for one in below:
        _grow(branch, one)
