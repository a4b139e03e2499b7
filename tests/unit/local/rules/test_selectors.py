"""The syntax of label and field selectors."""

from __future__ import annotations

import pytest
from lando.local.rules.selectors import field_test, label_test, match_labels
from lando.local.rules.status import ApiError

LABELS = {"app": "web", "tier": "front", "example.com/size": "7", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier=front", True),
        ("app!=web", False),
        ("other!=web", True),
        ("app in (web, api),tier notin (back)", True),
        ("other notin (x)", True),
        ("other in (x)", False),
        ("app", True),
        ("!app", False),
        ("!other", True),
        ("empty=", True),
        ("empty in ()", True),
        ("example.com/size>6", True),
        ("example.com/size<7", False),
        ("app>1", False),
    ],
)
def test_label_selectors(selector: str, matches: bool) -> None:
    assert label_test(selector)(LABELS) is matches


@pytest.mark.parametrize("selector", ["a==b==c", "a b", "=x", "a in b", "a in (x", ",", "a=b c", "-a=b"])
def test_what_is_no_label_selector_is_a_bad_request(selector: str) -> None:
    with pytest.raises(ApiError) as caught:
        label_test(selector)
    assert caught.value.code == 400


def test_selector_objects() -> None:
    selector = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["front"]},
            {"key": "other", "operator": "DoesNotExist"},
        ],
    }
    assert match_labels(selector, LABELS)
    assert not match_labels({**selector, "matchLabels": {"app": "api"}}, LABELS)
    assert not match_labels({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, LABELS)


def test_field_selectors_look_into_the_object() -> None:
    fields = ("metadata.name", "status.phase")
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Running"}}
    assert field_test("status.phase=Running,metadata.name!=q", fields)(pod)
    assert not field_test("status.phase==Pending", fields)(pod)
    assert field_test("status.phase=", fields)({"metadata": {}})


@pytest.mark.parametrize("selector", ["spec.colour=red", "status.phase", "=x"])
def test_fields_that_are_not_offered_are_a_bad_request(selector: str) -> None:
    with pytest.raises(ApiError) as caught:
        field_test(selector, ("metadata.name", "status.phase"))
    assert caught.value.code == 400
