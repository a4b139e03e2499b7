"""A program that nobody changed: whatever it does with k8s-jobs 0.2.0, it does with ours, but for what is told here.

Each case runs by both packages, the published one with the old releases that it asks for, ours with today's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lando.local.cluster import LocalCluster
from tests.services.definition_cases import A_DEFINITION, MODULES, Library
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import start_group
from tests.services.published_definitions import Definitions

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.service("k8s-jobs"), pytest.mark.timeout(300)]

A = A_DEFINITION
B = "- {name: a, spec: 'w: {{ x }}'}\n- {name: b, spec: 'u: 1'}"
NOTED = "job_deletion_time_unix_sec"
LONG = "x" * 60


def template(source: str, **arguments: Any) -> tuple[Any, ...]:
    return "rendered", source, arguments


def printed(value: Any) -> tuple[Any, ...]:
    return template("a: {{ x }}", x=value)


def source(**given: Any) -> tuple[Any, ...]:
    return "source_of", {"name": "a", **given}


AGREED: list[tuple[Any, ...]] = [
    *map(printed, [3, -1, True, False, 1.5, None, "s", "3", "true", "null", "", "~", "yes", "012", "1e3", 'a"b', "é"]),
    *map(
        printed, [float("inf"), [float("nan")], ["echo", "hi"], [], {}, {"a": [1, {"b": None}]}, [None, True, "it's"]]
    ),
    *(
        template("a: {{ x | tojson }}", x=value)
        for value in (None, "x", 3, True, "<&>'", [{"name": "A", "value": "b"}], {"b": 1, "a": [None]})
    ),
    template("a: {{ x }}"),
    ("rendered", "a: {{ x }}", None),
    template("a: {{ x }} {{ y }}", y=1),
    template("a: {{ x.y }}", x={}),
    template("a: {{ x.y.z }}", x={}),
    template("a: {{ x[1] }}", x=[1]),
    template("a: 1", surplus=1),
    template(""),
    template("a: {{ x | default(1) }}"),
    template("a: {{ x | default(['true']) }}"),
    template('a: {{ x | default(["a", "b"]) }}', x=["c"]),
    template("a: {% if x is defined %}1{% else %}2{% endif %}"),
    template("{% for one in x %}\n- {{ one }}{% endfor %}", x=[1, "b"]),
    template("{% for key, value in x.items() %}\n{{ key }}: {{ value }}{% endfor %}", x={"a": 1, "b": [2]}),
    template("a: {{ x | upper }}", x="b"),
    template("a: {{ x + 1 }}", x=1),
    template("a: {{ x | int }}", x="3"),
    template("a: {{ x | join(',') }}", x=["a", "b"]),
    template("a: {{ x.keys() | list }}", x={"b": 1}),
    template("a: {{ range(3) | list }}"),
    template("a: {{ x }}Gi", x=2),
    template("a: '{{ x }}'", x=2),
    template("a: |\n  {{ x }}\n  b", x="c"),
    template("{{ x }}: 1", x="k"),
    *(
        template(block, x=text, d={"k": [1]})
        for block in (
            "a: |\n  {{ x | indent(2) }}\nb: 1",
            "a: |-\n  {{ x | indent(2) }}\nb: 1",
            "a: |+\n  {{ x | indent(2) }}\nb: 1",
            "a: |\n{{ x | indent(2, first=True) }}",
            "- a: |  # -\n    if:\n      {{ x | indent(6) }}\n    y\n",
            "- |\n    {{ x | trim | indent }}\n- 1",
            "a: |\n  {{ ('K\n' ~ x) | indent(2) }}\nb: 1",
            "a: |\n  {% filter indent(2) %}{{ x }}{% endfilter %}\nb: 1",
            "a: |\n  {{ d | tojson(indent=2) | indent(2) }}\nb: 1",
        )
        for text in ("one", "one\ntwo\n", "one\n  two\n\n\nthree", "")
    ),
    template("a: &x 1\nb: *x"),
    template("- {{ x }}", x=1),
    *(
        ("variables", text)
        for text in (
            "a: 1",
            "a: {{ x }}{{ y | default(1) }}",
            "{% for one in x %}{{ one }}{% endfor %}",
            "{% if a is defined %}{{ range(b) }}{% endif %}",
            "{% set a = b %}{{ a }}",
        )
    ),
    ("generated", "metadata: {name: thumbs}"),
    ("generated", f"metadata: {{name: {LONG}}}"),
    ("generated_v1job", "thumbs"),
    ("generated_v1job", LONG),
    ("static_source",),
    ("file_source",),
    *(
        ("signed", {"metadata": {"name": "a", **labels}}, definition)
        for labels in ({}, {"labels": {}}, {"labels": {"b": "c", "job_definition_name": "other"}})
        for definition in (None, "d", "")
    ),
    ("signed", {}, None),
    *(("signed_v1job", labels, definition) for labels in (None, {"b": "c"}) for definition in (None, "d")),
    ("selector", None, {}),
    ("selector", "", {}),
    ("selector", "reindex", {"team": "a", "tier": 2}),
    ("selector", None, {"a": True, "b": None}),
    ("selector", "a", {"app.kubernetes.io/managed-by": "theirs"}),
    ("reloader_when", "newer"),
    ("reloader_when", "nothing"),
    ("register", A, B, "a"),
    ("register", A, B, "b"),
    ("register", B, A, "b"),
    ("register", A, "[]", "a"),
    ("register", "[]", A, "a"),
    ("register", A, A + "\n" + A.replace("v", "z"), "a"),
    ("static_register", True),
    ("static_register", False),
    ("unknown_definition",),
    source(),
    source(spec="x", spec_path="there"),
    source(spec="", spec_path="there"),
    source(spec_path="", spec_config_map_name="m", spec_config_map_namespace="n"),
    source(spec_path="there", spec_config_map_name="m", spec_config_map_namespace="n"),
    source(spec_config_map_name="m"),
    source(spec_config_map_name="m", spec_config_map_namespace=""),
    source(spec_path="missing"),
    source(unknown=1),
    ("source_of", {"spec": "no name"}),
    ("definition_in_order",),
    *(("factory", missing) for missing in (None, "JOB_SIGNATURE", "JOB_NAMESPACE", "JOB_DEFINITIONS_CONFIG_PATH")),
    *(
        ("remapped", by_type, by_predicate, raised)
        for by_type in (True, False)
        for by_predicate in (True, False)
        for raised in ("KeyError", "LookupError", "ValueError", "nothing")
    ),
    ("cause_of_remapped",),
    ("not_found_exceptions",),
    *(
        ("conditions", found)
        for found in (
            None,
            [],
            [["Complete", "True"]],
            [["Failed", "True"]],
            [["Complete", "False"]],
            [["Complete", "Unknown"]],
            [["Suspended", "True"]],
            [["FailureTarget", "True"]],
            [["Suspended", "True"], ["Failed", "True"]],
            [["Failed", "False"], ["Complete", "True"]],
        )
    ),
    *(
        ("candidate", annotations)
        for annotations in (None, {}, {"other": "1"}, *({NOTED: time} for time in ("1", "-5", " 7 ", "99999999999")))
    ),
]

DEFINITION_ERROR = {"raised": "DefinitionError"}
ARGUMENT_ERROR = {"raised": "ArgumentError"}
MISSING = {"raised": "MissingArgument"}
NOT_FOUND = {"raised": "NotFoundException"}
GAVE_V, GAVE_A = {"gave": {"v": 1}}, {"gave": ["a"]}
NONE = {"gave": []}


def gave(value: Any) -> dict[str, Any]:
    return {"gave": value}


DIFFERENT: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    # A string argument can rewrite the manifest → impossible.
    ("an argument is data", printed("x\nb: 1"), gave({"a": "x\nb: 1"})),
    ("an argument is data", printed("a: b"), gave({"a": "a: b"})),
    ("an argument is data", printed("[1, 2]"), gave({"a": "[1, 2]"})),
    ("an argument is data", printed("{a: 1}"), gave({"a": "{a: 1}"})),
    ("an argument is data", printed("# c"), gave({"a": "# c"})),
    ("an argument is data", printed("- x"), gave({"a": "- x"})),
    ("an argument is data", printed("&a"), gave({"a": "&a"})),
    ("an argument is data", printed("!!int 3"), gave({"a": "!!int 3"})),
    ("an argument is data", printed("a\u2028"), gave({"a": "a\u2028"})),
    ("an argument is data", template("a: '{{ x }}'", x="it's"), gave({"a": "it's"})),
    ("an argument is data", template('a: "{{ x }}"', x="a\\nb"), gave({"a": "a\\nb"})),
    ("a time is no JSON", printed("2024-01-01"), gave({"a": "2024-01-01"})),
    # Templates run in a sandboxed environment.
    ("the sandbox", template("a: {{ x.__class__.__name__ }}", x=1), DEFINITION_ERROR),
    ("the sandbox", template("a: {{ (1).__class__ }}"), DEFINITION_ERROR),
    # What is wrong is said as an error of the definition or of the arguments, and is a ValueError.
    ("a clear error", template("a: {{ x"), DEFINITION_ERROR),
    ("a clear error", ("variables", "a: {{ x"), DEFINITION_ERROR),
    ("a clear error", template("a: {{ x | nope }}", x=1), DEFINITION_ERROR),
    ("a clear error", ("register", "- {name: a, spec: 'v: {{ x'}", A, "a"), gave([DEFINITION_ERROR, GAVE_A, GAVE_V])),
    ("a clear error", template("a: ["), DEFINITION_ERROR),
    ("a clear error", template("a: 1\n---\nb: 2"), DEFINITION_ERROR),
    ("a clear error", template("a: {% include 'x' %}"), DEFINITION_ERROR),
    ("a clear error", template("a: {{ x + 1 }}", x="1"), ARGUMENT_ERROR),
    ("a clear error", template("a: {{ x / 0 }}", x=1), ARGUMENT_ERROR),
    ("what is missing is named", template("a: {{ x | tojson }}"), MISSING),
    # Numeric metadata.name, missing metadata → clear error; generateName counts.
    ("a clear error", ("generated", "metadata: {name: 3}"), DEFINITION_ERROR),
    ("a clear error", ("generated", "metadata: {}"), DEFINITION_ERROR),
    ("a clear error", ("generated", "a: 1"), DEFINITION_ERROR),
    ("a clear error", ("generated", "metadata: {name: ''}"), DEFINITION_ERROR),
    ("a clear error", ("generated_v1job", None), DEFINITION_ERROR),
    ("generateName is a base", ("generated", "metadata: {generateName: x-}"), gave(["x--HEX", 27, True])),
    ("a name is valid", ("generated", f"metadata: {{name: {LONG[:37]}.b}}"), gave([LONG[:37] + "-HEX", 62, True])),
    # labels: left empty in a manifest → empty map.
    (
        "empty labels",
        ("signed", {"metadata": {"labels": None}}, None),
        gave([None, {"metadata": {"labels": {"app.kubernetes.io/managed-by": "ours"}}}]),
    ),
    # Any difference (mtime, size, inode – also an older mtime) triggers a reload.
    ("any change is one", ("reloader_when", "older"), gave(True)),
    ("any change is one", ("reloader_when", "size"), gave(True)),
    # The change counts as seen only after that send: an update that fails is tried again.
    (
        "an update that fails",
        ("reloader_protocol",),
        gave(
            [
                *("missing", "one", "one", True, None, None, ["first"], "end", "unchanged", "two", "two", None),
                *("unchanged", ["ZeroDivisionError", "ArithmeticError"], 2),
            ]
        ),
    ),
    # A missing definitions file means "no definitions"; a broken one keeps the last good one in force.
    ("no file", ("register", None, A, "a"), gave([NOT_FOUND, GAVE_A, GAVE_V])),
    ("no file", ("register", A, None, "a"), gave([GAVE_V, NONE, NOT_FOUND])),
    ("an empty file", ("register", "", A, "a"), gave([NOT_FOUND, GAVE_A, GAVE_V])),
    ("an empty file", ("register", A, "", "a"), gave([GAVE_V, NONE, NOT_FOUND])),
    ("a broken file", ("register", A, "- [", "a"), gave([GAVE_V, GAVE_A, GAVE_V])),
    ("a broken file", ("register", "- [", A, "a"), gave([NOT_FOUND, GAVE_A, GAVE_V])),
    ("a broken file", ("register", "a: 1", A, "a"), gave([NOT_FOUND, GAVE_A, GAVE_V])),
    ("a broken entry", ("register", A, "- {name: a}", "a"), gave([GAVE_V, GAVE_A, GAVE_V])),
    ("a broken entry", ("register", "- {name: a}", A, "a"), gave([DEFINITION_ERROR, GAVE_A, GAVE_V])),
    ("a broken entry", ("register", "- {name: a, x: 1}", A, "a"), gave([{"raised": "TypeError"}, GAVE_A, GAVE_V])),
    ("a broken entry", ("register", A, "- {spec: a}", "a"), gave([GAVE_V, NONE, NOT_FOUND])),
    # An unparsable deletion annotation keeps that Job; decimals are accepted.
    ("a time that is none", ("candidate", {NOTED: "x"}), gave(False)),
    ("a time that is none", ("candidate", {NOTED: ""}), gave(False)),
    ("decimals", ("candidate", {NOTED: "1.5"}), gave(True)),
]
"""What it is about, as the decisions and the table of defects in the contract say; the case; what ours does."""


@pytest.fixture(scope="module")
def ours() -> Library:
    return Library("lando.definitions")


def agree(there: Any, here: Any) -> bool:
    """Whether a program can't tell them apart: the same values; exceptions that the same ``except`` catches."""
    if isinstance(there, dict) and "raised" in there:
        kind, kinds = there["raised"][0], here.get("raised", ()) if isinstance(here, dict) else ()
        return kind in kinds and (kind != "UndefinedError" or there["says"] == here["says"])
    if isinstance(there, dict) and isinstance(here, dict):
        return there.keys() == here.keys() and all(agree(there[key], here[key]) for key in there)
    if isinstance(there, list) and isinstance(here, list):
        return len(there) == len(here) and all(map(agree, there, here))
    return type(there) is type(here) and bool(there == here)


def in_short(found: Any) -> Any:
    """An outcome with the names of exceptions alone."""
    if isinstance(found, dict):
        return {"raised": found["raised"][0]} if "raised" in found else {k: in_short(v) for k, v in found.items()}
    return [in_short(one) for one in found] if isinstance(found, list) else found


def in_the_manner(expected: Any) -> Any:
    """What a table says, as an outcome: the exception named there or one of its kind."""
    if isinstance(expected, dict):
        if "raised" in expected:
            return {"raised": [expected["raised"]]}
        return {key: in_the_manner(one) for key, one in expected.items()}
    return [in_the_manner(one) for one in expected] if isinstance(expected, list) else expected


def by_ours(ours: Library, case: str, *arguments: Any) -> Any:
    return json.loads(json.dumps(ours.call(case, list(arguments))))


def named(case: Any) -> str:
    return " ".join(map(str, case)).encode("ascii", "backslashreplace").decode()


@pytest.mark.parametrize("case", AGREED, ids=named)
def test_both_do_the_same(published_definitions: Definitions, ours: Library, case: tuple[Any, ...]) -> None:
    there, here = published_definitions.call(case[0], list(case[1:])), by_ours(ours, *case)

    assert agree(there, here), (there, here)


@pytest.mark.parametrize(("about", "case", "expected"), DIFFERENT, ids=map(named, ((a, *c) for a, c, _ in DIFFERENT)))
def test_a_decision_or_a_defect_makes_the_difference(
    published_definitions: Definitions, ours: Library, about: str, case: tuple[Any, ...], expected: Any
) -> None:
    there, here = published_definitions.call(case[0], list(case[1:])), by_ours(ours, *case)

    assert agree(in_the_manner(expected), here), (about, here)
    assert not agree(there, here), "this is no difference"


ITS_OWN_NAMES = {
    ("manager", "is_kubernetes_not_found_exception"): "its parameter is exc",
    ("manager", "JobManager.list_jobs"): "the definition's name may be given by position, too",
}
"""Signatures that the contract writes otherwise."""


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_takes_what_it_took(published_definitions: Definitions, ours: Library, module: str) -> None:
    there = published_definitions.call("names", [module, True])["gave"]
    here = by_ours(ours, "names", module, False)["gave"]

    assert there.keys() <= here.keys()
    for name, members in there.items():
        assert members.keys() <= here[name].keys(), name
        for member, was in members.items():
            path = name if member == "()" else f"{name}.{member}"
            if (module, path) not in ITS_OWN_NAMES:
                assert takes(here[name][member], was), (path, was, here[name][member])


def takes(now: Any, was: Any) -> bool:
    """Whether what could be passed can be; what is new may be left out."""
    if not isinstance(was, list):
        return bool(now == was)
    order = [one for one in was if one[1] == "POSITIONAL_OR_KEYWORD"]
    new = [one for one in now if one not in was]
    return now[: len(order)] == order and len(now) == len(was) + len(new) and all(one[2] != "required" for one in new)


WORDS = st.from_regex(r"[a-z][a-z0-9./_-]{0,8}", fullmatch=True)
VALUES = st.recursive(
    st.integers() | st.booleans() | WORDS | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
LINES = (
    "- {{ a }}",
    "- '{{ n }}'",
    "- x{{ w }}y",
    "- {{ a | tojson }}",
    "- {k: {{ w }}, {{ w }}x: {{ n }}}",
    "- [{{ w }}, {{ n }}, {{ a | tojson }}]",
    "- {{ l }}",
    "- {{ l | length }}",
    "- {{ l | first | default('none') }}",
    "- {{ w | upper }}",
    "- {{ w ~ '-' ~ n }}",
    "- {{ w | replace('a', 'b') }}",
    "- {{ n + 1 }}",
    "- {{ missing | default(w) }}",
    "- {{ missing | default('[1, 2]') }}",
    "- {{ missing | default([1, 2]) }}",
    "- {% if n > 3 %}{{ w }}{% else %}2{% endif %}",
    "{% for one in l %}\n- {{ one }}{% endfor %}",
    "{% for one in l %}\n- {{ loop.index }}-{{ one }}{% endfor %}",
    "{% set v = w %}- {{ v }}",
    "{% macro m(x) %}- {{ x }}{% endmacro %}{{ m(n) }}",
    "- |\n  {{ w }}\n  {{ n }}",
    "- >-\n  {{ w }} and\n  {{ n }}",
    "# {{ w }}",
)


@settings(max_examples=60)
@given(
    lines=st.lists(st.sampled_from(LINES), min_size=1, max_size=6),
    arguments=st.fixed_dictionaries({"a": VALUES, "n": st.integers(), "w": WORDS, "l": st.lists(WORDS, max_size=3)}),
)
def test_plain_arguments_make_the_same_manifests(
    published_definitions: Definitions, ours: Library, lines: list[str], arguments: dict[str, Any]
) -> None:
    case = template("\n".join(lines), **arguments)

    there, here = published_definitions.call(case[0], list(case[1:])), by_ours(ours, *case)

    assert agree(there, here), (there, here)


def place(api: KubernetesApi) -> dict[str, str]:
    """How a program reaches the cluster."""
    return {
        "url": api.url,
        "ca": str(api.ca_file),
        "authorization": str(api.session.headers["Authorization"]),
        "namespace": api.namespace,
    }


@pytest.fixture
def places(embedded_cluster: LocalCluster) -> Iterator[list[dict[str, str]]]:
    """A namespace for each."""
    api = KubernetesApi(embedded_cluster.url, embedded_cluster.ca_file, embedded_cluster.token, "default")
    with api.fresh_namespace() as one, api.fresh_namespace() as other:
        yield [place(one), place(other)]


@pytest.mark.parametrize(
    "case", ["configuration_loaded_later", "created_from_an_object", "refused", "own_classes", "deletion", "background"]
)
def test_both_do_the_same_in_a_cluster(
    published_definitions: Definitions, ours: Library, places: list[dict[str, str]], case: str
) -> None:
    there, here = published_definitions.call(case, places[:1]), by_ours(ours, case, places[1])

    assert agree(there, here), (there, here)


LIFE: dict[str, tuple[Any, Any]] = {
    "all": (
        {"raised": "ApiException"},  # it asks for the last "None" lines
        gave({"failing-HEX-POD": {"main": ["no luck", ""], "other": ["no end of line"]}}),
    ),
    "init containers and JSON": (
        {"odd-HEX-POD": {"main": ["{'a': True}"]}},
        {"odd-HEX-POD": {"before": ["ready", ""], "main": ['{"a": true}']}},
    ),
    "read by another signature": (gave("V1Job"), NOT_FOUND),
    "logs by another signature": (
        gave({"hello-HEX-POD": {"main": ["line 3", ""], "other": ["no end of line"]}}),
        NOT_FOUND,
    ),
    "deleted by another signature": (gave(None), NOT_FOUND),
    "left": (["lasting-HEX", "odd-HEX"], ["failing-HEX", "lasting-HEX", "odd-HEX"]),
    "logs of what is gone": (gave({}), NOT_FOUND),
}
"""What the original does, and ours."""


def test_the_life_of_a_job_is_the_same_but_for_the_defects(
    published_definitions: Definitions, ours: Library, places: list[dict[str, str]]
) -> None:
    there = published_definitions.call("life_of_a_job", places[:1])["gave"]
    here = by_ours(ours, "life_of_a_job", places[1])["gave"]

    assert {key: tuple(in_short([there[key], here[key]])) for key in there if not agree(there[key], here[key])} == LIFE


def test_a_config_map_that_is_not_there_is_not_found(
    published_definitions: Definitions, ours: Library, places: list[dict[str, str]]
) -> None:
    there = published_definitions.call("by_config_map", places[:1])["gave"]
    here = by_ours(ours, "by_config_map", places[1])["gave"]

    assert in_short([there.pop(0), here.pop(0)]) == [{"raised": "ApiException"}, NOT_FOUND]
    assert agree(there, here), (there, here)


def test_ours_does_the_same_with_the_oldest_client_that_it_takes(
    definitions_with_the_oldest_client: Definitions, ours: Library, places: list[dict[str, str]]
) -> None:
    oldest = definitions_with_the_oldest_client
    version = oldest.call("client_version", [])["gave"]
    assert f"kubernetes>={version.removesuffix('.0.0')}," in (ROOT / "pyproject.toml").read_text()

    for case in ("created_from_an_object", "refused", "by_config_map", "ours_alone", "life_of_a_job"):
        with_it, here = oldest.call(case, places[:1]), by_ours(ours, case, places[1])
        assert with_it.keys() == {"gave"}, with_it
        assert agree(with_it, here), (with_it, here)
    assert oldest.call("left_open", places[:1]) == gave(0)
    for signing in (case for case in AGREED if case[0] in ("signed_v1job", "generated_v1job", "conditions")):
        assert oldest.call(signing[0], list(signing[1:])) == by_ours(ours, *signing)


def test_a_program_runs_as_it_is_but_for_the_prefix_of_its_imports(
    published_definitions: Definitions, embedded_cluster: LocalCluster, places: list[dict[str, str]], tmp_path: Path
) -> None:
    program = (ROOT / "tests/services/k8s_jobs_program.py").read_text()
    running = []
    for prefix, folder, place in (
        ("k8s_jobs", str(published_definitions.folder), places[0]),
        ("lando.definitions", "", places[1]),
    ):
        file = tmp_path / f"program_of_{prefix}.py"
        file.write_text(program.replace("from k8s_jobs.", f"from {prefix}."))
        surroundings = {
            **os.environ,
            "PYTHONPATH": folder,
            "KUBECONFIG": str(embedded_cluster.kubeconfig_file),
            "JOB_SIGNATURE": "thumbnailer",
            "JOB_NAMESPACE": place["namespace"],
            "JOB_DEFINITIONS_CONFIG_PATH": str(tmp_path / f"{prefix}.yaml"),
        }
        with (tmp_path / f"{prefix}.log").open("wb") as log:
            running.append(start_group([sys.executable, file], env=surroundings, stdout=subprocess.PIPE, stderr=log))
    said = []
    for process in running:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, [log.read_text() for log in tmp_path.glob("*.log")]
        said.append([json.loads(line) for line in output.splitlines()])

    assert said[0] == said[1]
    assert [line for line in said[1] if line.get("album") == "broken"] == [
        {
            "album": "broken",
            "failed": True,
            "found": [True],
            "length": 38,
            "logs": [{"resize": ["no disk", ""]}],
            "name": "thumbs-broken-",
            "status": "Failed",
        }
    ]
