"""What must hold between the names of a model: each is used once; dependencies lead somewhere and never in circles."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lando.phases.documents import shown
from lando.phases.report import Place, Report

_FEW = 100
"""Names that one finding is made from."""


@dataclass(frozen=True, kw_only=True)
class DraftEntry:
    """An entry as it was read, sound or not."""

    place: Place
    line: int
    name: str | None
    """None: there is none that could be used."""
    job_path: str | None
    path_line: int
    is_directory: bool
    depends_on: Sequence[tuple[str, int]]
    """Each with its line."""
    retries: int
    deadline_s: int | None


@dataclass(frozen=True, kw_only=True)
class DraftPhase:
    place: Place
    line: int
    name: str | None
    entries: Sequence[DraftEntry]


def check_names(phases: Sequence[DraftPhase], report: Report) -> None:
    """Phases and entries share one set of names, in which each stands once."""
    first: dict[str, tuple[int, str]] = {}
    for place, line, name, what in _named(phases):
        if name in first:
            before, of = first[name]
            told = f"the name {name} is already that of {of} in line {before}"
            report.error(place, line, f"{told}; phases and entries all need names of their own")
        else:
            first[name] = (line, what)


def _named(phases: Sequence[DraftPhase]) -> Iterator[tuple[Place, int, str, str]]:
    for phase in phases:
        if phase.name is not None:
            yield phase.place, phase.line, phase.name, "the phase"
        for entry in phase.entries:
            if entry.name is not None:
                yield entry.place, entry.line, entry.name, f"the entry of phase {phase.place.phase}"


def check_dependencies(phases: Sequence[DraftPhase], report: Report) -> None:
    """Each dependency is another entry of the same phase, none depends on itself, and somewhere one can begin."""
    home: dict[str | None, DraftPhase] = {
        entry.name: phase for phase in phases for entry in phase.entries if entry.name is not None
    }
    phase_names = {phase.name for phase in phases}
    for phase in phases:
        inside = {entry.name for entry in phase.entries if entry.name is not None}
        for entry in phase.entries:
            for name, line in entry.depends_on:
                if name == entry.name:
                    report.error(entry.place, line, f"{name} depends on itself")
                elif name not in inside:
                    near = () if report.is_full or len(inside) > _FEW else sorted(inside)
                    report.error(entry.place, line, _nowhere(name, near, home, phase_names))
        if phase.entries and all(entry.depends_on for entry in phase.entries):
            reason = "every entry of this phase depends on another, so that none could begin"
            report.error(phase.place, phase.line, reason)
        _check_cycles(phase, report)


def _nowhere(
    name: str, known: Sequence[str], home: Mapping[str | None, DraftPhase], phase_names: set[str | None]
) -> str:
    if name in home:
        return (
            f"depends on {name} of phase {home[name].place.phase}; dependencies stay within a phase, "
            "and a phase begins when the one before it is complete"
        )
    if name in phase_names:
        return f"depends on {name}, which is a phase; only entries of the same phase can be named"
    near = difflib.get_close_matches(name[:100], known, n=1)
    advice = f"; did you mean {near[0]}?" if near else ""
    return f"depends on {shown(name)}, which is no entry of this phase{advice}"


def _check_cycles(phase: DraftPhase, report: Report) -> None:
    entries = {entry.name: entry for entry in reversed(phase.entries) if entry.name is not None}
    after = {
        name: [one for one, _ in entry.depends_on if one in entries and one != name] for name, entry in entries.items()
    }
    order = {entry.name: position for position, entry in enumerate(phase.entries)}
    for cycle in cycles({name: after[name] for name in sorted(after, key=order.__getitem__)}):
        start = min(range(len(cycle)), key=lambda index: order[cycle[index]])
        turned = [*cycle[start:], *cycle[:start]]
        told = turned if len(turned) <= _FEW else [*turned[:_FEW], f"… ({len(turned):,} in all)"]
        path = " → ".join([*told, turned[0]])
        report.error(
            Place(file=phase.place.file, phase=phase.place.phase),
            entries[turned[0]].line,
            f"these entries wait for each other, which would never end: {phase.place.phase}: {path}",
        )


def cycles(after: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Circles in a graph that is given by what each node follows; at least one of each knot, none twice."""
    done: set[str] = set()
    told: set[str] = set()
    for root in after:
        if root in done:
            continue
        path = [root]
        position = {root: 0}
        stack = [(root, iter(after[root]))]
        while stack:
            node, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                path.pop()
                del position[node]
                done.add(node)
            elif following in position:
                if node not in told and following not in told:
                    cycle = path[position[following] :]
                    told.update(cycle)
                    yield cycle
            elif following not in done:
                position[following] = len(path)
                path.append(following)
                stack.append((following, iter(after[following])))
