"""JSON merge patch, JSON patch and strategic merge patch."""

from __future__ import annotations

from typing import Any

import pytest
from lando.local.rules.patches import (
    JSON_PATCH,
    MERGE_PATCH,
    apply_patch,
    json_patch,
    merge_patch,
    strategic_merge_patch,
)
from lando.local.rules.status import ApiError


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ],
)
def test_merge_patches_as_the_rfc_shows_them(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/list/1", "value": 9}, {"list": [1, 9, 2], "map": {"a/b": 1}}),
        ({"op": "add", "path": "/list/-", "value": 9}, {"list": [1, 2, 9], "map": {"a/b": 1}}),
        ({"op": "add", "path": "/map/c", "value": 9}, {"list": [1, 2], "map": {"a/b": 1, "c": 9}}),
        ({"op": "replace", "path": "/map/a~1b", "value": 9}, {"list": [1, 2], "map": {"a/b": 9}}),
        ({"op": "replace", "path": "/list/0", "value": 9}, {"list": [9, 2], "map": {"a/b": 1}}),
        ({"op": "remove", "path": "/list/0"}, {"list": [2], "map": {"a/b": 1}}),
        ({"op": "move", "from": "/list/0", "path": "/map/x"}, {"list": [2], "map": {"a/b": 1, "x": 1}}),
        ({"op": "copy", "from": "/list/0", "path": "/map/x"}, {"list": [1, 2], "map": {"a/b": 1, "x": 1}}),
        ({"op": "test", "path": "/list/0", "value": 1}, {"list": [1, 2], "map": {"a/b": 1}}),
    ],
)
def test_each_operation_of_a_json_patch(operation: Any, result: Any) -> None:
    document = {"list": [1, 2], "map": {"a/b": 1}}
    assert json_patch(document, [operation]) == result
    assert document == {"list": [1, 2], "map": {"a/b": 1}}


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ({"op": "remove", "path": "/nothing"}, 422),
        ({"op": "replace", "path": "/list/7", "value": 1}, 422),
        ({"op": "add", "path": "/list/x", "value": 1}, 422),
        ({"op": "test", "path": "/list/0", "value": 2}, 422),
        ({"op": "add", "path": "/a/b/c", "value": 1}, 422),
        ({"op": "add", "path": "list", "value": 1}, 422),
        ({"op": "shuffle", "path": "/list"}, 422),
        ("remove /list", 400),
    ],
)
def test_an_operation_that_does_not_fit_is_refused(operation: Any, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({"list": [1, 2]}, [operation])
    assert caught.value.code == code


def test_containers_and_variables_are_merged_by_name() -> None:
    spec = {"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]}
    patch = {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}, {"name": "c", "image": "3"}]}
    assert strategic_merge_patch(spec, patch) == {
        "containers": [
            {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
            {"name": "b"},
            {"name": "c", "image": "3"},
        ]
    }


def test_plain_lists_are_replaced_and_finalizers_added_to() -> None:
    before = {"args": ["a"], "finalizers": ["one"]}
    assert strategic_merge_patch(before, {"args": ["b"], "finalizers": ["two"]}) == {
        "args": ["b"],
        "finalizers": ["one", "two"],
    }


def test_directives_delete_and_replace() -> None:
    spec = {"volumes": [{"name": "a"}, {"name": "b"}], "env": [{"name": "X"}], "finalizers": ["one", "two"]}
    patch = {
        "volumes": [{"name": "a", "$patch": "delete"}],
        "env": [{"$patch": "replace"}, {"name": "Z"}],
        "$deleteFromPrimitiveList/finalizers": ["one"],
    }
    assert strategic_merge_patch(spec, patch) == {
        "volumes": [{"name": "b"}],
        "env": [{"name": "Z"}],
        "finalizers": ["two"],
    }
    assert strategic_merge_patch({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}) == {"a": {"c": 2}}


@pytest.mark.parametrize(
    ("media_type", "patch", "code"), [(MERGE_PATCH, [1], 422), (JSON_PATCH, {"a": 1}, 400), (MERGE_PATCH, "x", 422)]
)
def test_a_patch_of_the_wrong_shape_is_refused(media_type: str, patch: Any, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        apply_patch(media_type, {"a": 1}, patch)
    assert caught.value.code == code
