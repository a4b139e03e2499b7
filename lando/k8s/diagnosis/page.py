"""The page of causes, written from the table of rules.

``python -m lando.k8s.diagnosis.page > docs/causes.md`` renews it; a test holds page and table together.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

from lando.k8s.diagnosis.containers import CONTAINERS
from lando.k8s.diagnosis.endings import ENDINGS
from lando.k8s.diagnosis.placement import PLACEMENT
from lando.k8s.diagnosis.rules import Rule

_INTRODUCTION = """\
# Why a step failed, or waits

<!-- Written by `python -m lando.k8s.diagnosis.page`; change lando/k8s/diagnosis instead. -->

Every run that does not succeed carries a cause: a sentence that says what happened and where, advice, and a category
that says whose move it is. `lando status ID`, the API and the job error all show the same one; `lando explain ID` shows
which rule spoke, and the conditions, container states, events and log lines it was read from.

| Category | Whose move | Lando itself |
|---|---|---|
| `user` | yours: the program, the workflow or its input | stops; restart the run when it is mended |
| `resources` | yours or the operators': a limit was met | stops, after patience where room may come |
| `image` | whoever keeps the runtime's steps | stops, at once when the image can't come by waiting |
| `infrastructure` | the cluster's | runs the step again, up to `infrastructure_retries` times, orderly stops besides |

Of the rules that look at the same thing, the first that fits speaks. ‹Words in such marks› are filled in. A wait is
shown as the run's condition while it lasts; *after patience* (`patience_s`) it is a failure with the same sentence.
What a new pod would only wait for as long again is a failure *for good*: Lando itself does not run the step again.
What passes by itself within ten seconds is not told at all.
"""

_CHAPTERS: tuple[tuple[str, str, Sequence[Rule]], ...] = (
    ("What has ended", "Job and pod are at their end, or were ended.", ENDINGS),
    ("Containers that can't start", "The pod has its node, but its program does not begin.", CONTAINERS),
    ("Pods without a place", "The pod was not created, not scheduled, or does not get its volumes.", PLACEMENT),
)


def lines() -> Iterator[str]:
    """The lines of the page."""
    yield from _INTRODUCTION.splitlines()
    for title, text, rules in _CHAPTERS:
        yield from ("", f"## {title}", "", text, "")
        yield "| Rule | What the cluster shows | Category | Fails | What is told | What to do |"
        yield "|---|---|---|---|---|---|"
        for rule in rules:
            yield _row(rule)


def _row(rule: Rule) -> str:
    places = " or ".join(place.value for place in rule.places)
    reasons = ", ".join(f"`{reason}`" for reason in rule.reasons)
    category = f"`{rule.category.value}`" if rule.category else "as it says"
    cells = (
        f"`{rule.name}`",
        f"{places}: {reasons}" if reasons else places,
        category,
        rule.wait.value,
        _filled(rule.sentence),
        _filled(rule.advice) or "–",
    )
    return f"| {' | '.join(cells)} |"


def _filled(template: str) -> str:
    """A template for people: its fields in marks, and optional endings as dots."""
    text = template.replace("{because}", ": ‹its words›").replace("{within_limit}", " (limit ‹limit›)")
    text = text.replace(
        "{memory_used}", "; the most that was measured before is ‹memory›, of which ‹program› held ‹memory›"
    )
    text = text.replace("{limit_key}", "steps.‹step type›.limits.memory")
    text = text.replace("{last}", " (last with exit code ‹code›)").replace("{limit}", " of ‹seconds› s")
    text = text.replace("{told}", "‹the cause found›").replace("{key}{other_key}", "‹key›")
    text = re.sub(r"\{(\w+)\}", lambda field: f"‹{field[1].replace('_', ' ')}›", text)
    return text.replace("<", "&lt;").replace(">", "&gt;")


def main() -> None:
    sys.stdout.write("\n".join(lines()) + "\n")


if __name__ == "__main__":
    main()
