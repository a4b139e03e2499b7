"""Whatever a cluster answers, diagnosis neither breaks nor falls silent about a failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from string import Formatter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lando.k8s.diagnosis import Verdict, diagnose
from lando.k8s.diagnosis.evidence import MAX_BYTES, evidence
from lando.k8s.diagnosis.rules import Place, Sign, first_match
from lando.k8s.diagnosis.table import RULES
from tests.unit.diagnose.recorded import CASES, START

SCALARS = st.none() | st.booleans() | st.integers(-5, 300) | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS, lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=8), deeper)
)
SHOWN = [shown for case in CASES.values() for shown in case.shown]


@st.composite
def damaged(draw: st.DrawFn, value: Any) -> Any:
    """``value`` with some of its parts replaced by anything."""
    if draw(st.integers(0, 19)) == 0:
        return draw(ANYTHING)
    if isinstance(value, Mapping):
        return {key: draw(damaged(one)) for key, one in value.items()}
    if isinstance(value, list):
        return [draw(damaged(one)) for one in value]
    return value


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(SHOWN), st.sampled_from([0, 60, 900]))
def test_damaged_objects_are_judged_and_kept(data: st.DataObject, shown: Any, after: int) -> None:
    job = _object(data.draw(damaged(shown.job)))
    pods = [_object(data.draw(damaged(pod))) for pod in shown.pods]
    events = [_object(data.draw(damaged(event))) for event in shown.events]
    now = START + timedelta(seconds=after)
    found = diagnose(job, pods, events, now=now, patience=timedelta(minutes=10), log_tail=shown.log)

    if found.verdict in (Verdict.FAILED, Verdict.WAITING):
        assert found.cause is not None
        assert found.cause.sentence.strip()
        document = evidence(found, attempt=1, job=job, pods=pods, events=events, now=now)
        assert len(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")) <= MAX_BYTES


@given(st.sampled_from(Place), st.text(max_size=40), st.text(max_size=40))
def test_braces_in_foreign_words_are_only_words(place: Place, reason: str, message: str) -> None:
    templates = [text for rule in RULES for text in (rule.sentence, rule.advice)]
    names = {name for text in templates for _, name, _, _ in Formatter().parse(text) if name}
    fields = dict.fromkeys(names, "{x}")
    first_match(RULES, [Sign(place=place, reason=reason + "{y}", message=message + "{z}", fields=fields)])
