"""The syntax of label and field selectors."""

from __future__ import annotations

import pytest
from lando.local.rules.selectors import field_test, field_values, label_test, match_labels, pinned_labels
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


@pytest.mark.parametrize(
    ("selector", "pinned"),
    [
        ("app=web,tier", {"app": {"web"}}),
        ("app==web,!tier,size>3", {"app": {"web"}}),
        ("app in (web, api),tier=", {"app": {"web", "api"}, "tier": {""}}),
        ("app in (web, api),app=api", {"app": {"api"}}),
        ("app!=web,tier notin (back)", {}),
        ("", {}),
    ],
)
def test_labels_with_given_values_narrow_where_to_look(selector: str, pinned: dict[str, set[str]]) -> None:
    assert pinned_labels(selector) == pinned


def test_field_selectors_look_into_the_object() -> None:
    fields = ("metadata.name", "status.phase")
    pod = field_values({"metadata": {"name": "p"}, "status": {"phase": "Running"}}, fields)
    assert field_test("status.phase=Running,metadata.name!=q", fields)(pod)
    assert not field_test("status.phase==Pending", fields)(pod)
    assert field_test("status.phase=", fields)(field_values({"metadata": {}}, fields))


@pytest.mark.parametrize("selector", ["spec.colour=red", "status.phase", "=x"])
def test_fields_that_are_not_offered_are_a_bad_request(selector: str) -> None:
    with pytest.raises(ApiError) as caught:
        field_test(selector, ("metadata.name", "status.phase"))
    assert caught.value.code == 400
