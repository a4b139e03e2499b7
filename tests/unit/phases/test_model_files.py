"""The rules for model files, row by row (phases contract, 2 to 5 and 12, and its table of defects)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lando.phases import reading
from lando.phases.model import Settings
from lando.phases.reading import read
from lando.runs import OnFailure
from tests.unit.phases.models import bundle, checked, document, entry, manifest, sound, told

JOB = json.dumps(manifest("a-job"))
ONE = "jobernetes: [{phase_name: p, jobs: [{name: e, job_path: a.json}]}]\n"
FILES = {"a.json": JOB}


# 2: jobernetes_config


@pytest.mark.parametrize(
    "section", ["", "jobernetes_config:\n", "jobernetes_config: {}\n", "jobernetes_config: null\n"]
)
def test_without_settings_all_have_their_defaults(section: str) -> None:
    assert sound(section + ONE, FILES).settings == Settings(
        cleanup=False,
        kubernetes_namespace="default",
        ssl_insecure_warnings=True,
        refresh_time=5,
        parallelization=0,
        incluster=None,
        on_failure=OnFailure.STOP,
        resources=(),
    )


def test_all_settings_are_read() -> None:
    config = """
        jobernetes_config:
          cleanup: True
          kubernetes_namespace: 'work'
          ssl_insecure_warnings: False
          refresh_time: 0.5
          parallelization: 4
          incluster: False
          on_failure: revert
          resources: [r.yaml]
        """.replace("\n        ", "\n")
    resource = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}"

    assert sound(config + ONE, {**FILES, "r.yaml": resource}).settings == Settings(
        cleanup=True,
        kubernetes_namespace="work",
        ssl_insecure_warnings=False,
        refresh_time=0.5,
        parallelization=4,
        incluster=False,
        on_failure=OnFailure.REVERT,
        resources=("r.yaml",),
    )


@pytest.mark.parametrize(
    ("setting", "finding"),
    [
        ("cleanup: 'True'", "cleanup: must be true or false, not the text True"),
        ("cleanup: 1", "cleanup: must be true or false, not 1"),
        ("kubernetes_namespace: My_Space", "kubernetes_namespace: My_Space must be at most 63 lower-case letters"),
        ("kubernetes_namespace: [a]", "kubernetes_namespace: must be text, not a list"),
        ("kubernetes_namespace: ''", "kubernetes_namespace: must not be empty"),
        ("ssl_insecure_warnings: maybe", "ssl_insecure_warnings: must be true or false, not the text maybe"),
        ("refresh_time: -0.5", "refresh_time: must not be negative, as -0.5 is"),
        ("refresh_time: 5s", "refresh_time: must be a number, not the text 5s"),
        ("refresh_time: .inf", "holds a number that Kubernetes can't read; if it is text, put it in quotes"),
        ("refresh_time: true", "refresh_time: must be a number, not true"),
        ("refresh_time: 1:30", "refresh_time: must be a number, not the text 1:30"),
        ("parallelization: -1", "parallelization: must not be negative, as -1 is"),
        ("parallelization: 1.5", "parallelization: must be a whole number, not 1.5"),
        ("parallelization: '4'", "parallelization: must be a whole number, not the text 4"),
        ("parallelization: {}", "parallelization: must be a whole number, not a block of keys"),
        ("incluster: cluster", "incluster: must be true or false, not the text cluster"),
        ("on_failure: retry", "on_failure: must be stop or continue or revert, not retry"),
        ("on_failure: [stop]", "on_failure: must be text, not a list"),
        ("resources: {a: b}", "resources: must be a list of texts, not a block of keys"),
        ("resources: [r.yaml, {}]", "resources: must be a list of texts, not of a block of keys"),
        ("resources: no-such.yaml", "no-such.yaml does not exist"),
    ],
)
def test_a_wrong_setting_is_told_with_its_line(setting: str, finding: str) -> None:
    findings = told(f"jobernetes_config:\n  {setting}\n{ONE}", FILES)

    assert finding in findings[0]
    assert findings[0].startswith("jobermodel.yaml:2: ")


def test_every_wrong_setting_is_told_at_once() -> None:
    findings = told(f"jobernetes_config:\n  cleanup: 3\n  parallelization: -1\n  incluster: x\n{ONE}", FILES)

    assert [finding.split(": ")[1] for finding in findings] == ["cleanup", "parallelization", "incluster"]


def test_a_section_that_is_no_block_is_told() -> None:
    assert told(f"jobernetes_config: [cleanup]\n{ONE}", FILES) == [
        "jobermodel.yaml:1: jobernetes_config: must be a block of keys, not a list."
    ]


def test_unknown_keys_are_accepted_with_one_warning_for_each() -> None:
    text = """\
jobernetes_confg: {}
jobernetes_config: {jobname: nightly, cleanpu: true}
jobernetes:
  - phase_name: one
    note: first
    jobs:
      - {name: a, job_path: a.json, image: x}
      - {name: b, job_path: b.json, image: y, dependson: [a]}
  - phase_name: two
    note: second
    jobs: [{name: c, job_path: c.json, image: z}]
"""
    files = {f"{name}.json": json.dumps(manifest(name)) for name in "abc"}

    model, findings = checked(text, files)

    assert model is not None
    assert not any(finding.is_error for finding in findings)
    assert [(finding.line, finding.reason.split(" is not known")[0]) for finding in findings] == [
        (1, "the key jobernetes_confg"),
        (2, "the key jobname"),
        (2, "the key cleanpu"),
        (5, "the key note"),
        (7, "the key image"),
        (8, "the key dependson"),
    ]
    assert findings[2].reason.endswith("did you mean cleanup?")
    assert findings[5].reason.endswith("did you mean depends_on?")


# 3 and 4: jobernetes


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("", ["jobermodel.yaml: is empty; it needs a list of phases under jobernetes."]),
        ("# nothing\n", ["jobermodel.yaml: is empty; it needs a list of phases under jobernetes."]),
        ("[1]", ["jobermodel.yaml:1: must be a block of keys, jobernetes among them, not a list."]),
        ("text", ["jobermodel.yaml:1: must be a block of keys, jobernetes among them, not the text text."]),
        ("jobernetes_config: {}", ["jobermodel.yaml:1: jobernetes: a model must have at least one phase."]),
        ("jobernetes:", ["jobermodel.yaml:1: jobernetes: a model must have at least one phase."]),
        ("jobernetes: []", ["jobermodel.yaml:1: jobernetes: a model must have at least one phase."]),
        ("jobernetes: {a: b}", ["jobermodel.yaml:1: jobernetes: must be a list, one item for each phase, not a block"]),
        ("jobernetes:\n- one", ["jobermodel.yaml:2: jobernetes: number 1 must be a block of keys, not the text one."]),
        ("jobernetes: [null]", ["jobermodel.yaml:1: jobernetes: number 1 must be a block of keys, not nothing."]),
        (
            "jobernetes:\n- {}",
            [
                "jobermodel.yaml:2: phase number 1: phase_name: is required.",
                "jobermodel.yaml:2: phase number 1: jobs: a phase must have at least one entry.",
            ],
        ),
        (
            "jobernetes:\n- {phase_name: p, jobs: []}",
            ["jobermodel.yaml:2: phase p: jobs: a phase must have at least one"],
        ),
        (
            "jobernetes:\n- {phase_name: p, jobs: x}",
            ["phase p: jobs: must be a list, one item for each entry, not the"],
        ),
        (
            "jobernetes:\n- {phase_name: p, jobs: [x]}",
            ["phase p: jobs: number 1 must be a block of keys, not the text"],
        ),
        (
            "jobernetes:\n- phase_name: p\n  jobs:\n  - {}",
            [
                "jobermodel.yaml:4: phase p, entry number 1: name: is required.",
                "jobermodel.yaml:4: phase p, entry number 1: job_path: is required.",
            ],
        ),
        (f"{ONE}---\n{ONE}", ["jobermodel.yaml:3: holds 2 documents; a model is one."]),
    ],
)
def test_what_is_missing_or_of_the_wrong_kind_is_told(text: str, findings: list[str]) -> None:
    found = told(text, FILES)

    assert len(found) == len(findings)
    for one, wanted in zip(found, findings, strict=True):
        assert wanted in one


def test_a_model_that_is_not_there_is_told() -> None:
    model, findings = read(bundle(ONE), "other.yaml")

    assert model is None
    assert [str(finding) for finding in findings] == ["other.yaml: does not exist."]


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ('""', "must not be empty"),
        ('"  "', "must not be empty"),
        ("null", "is required"),
        ('"two words"', "two words must not hold whitespace"),
        ('"tab\\there"', "must not hold whitespace"),
        ("x" * 64, "must not be longer than 63 characters"),
        ("a/b", "a/b may hold letters, digits, '-', '_' and '.'"),
        ("-a", "-a may hold"),
        ("a.", "a. may hold"),
        ("é", "é may hold"),
        ("[a]", "must be text, not a list"),
        ("{a: b}", "must be text, not a block of keys"),
    ],
)
@pytest.mark.parametrize("key", ["phase_name", "name"])
def test_a_name_that_cant_be_a_label_is_told(key: str, name: str, finding: str) -> None:
    names = {"phase_name": "p", "name": "e", key: name}
    text = "jobernetes:\n- phase_name: {phase_name}\n  jobs:\n  - name: {name}\n    job_path: a.json\n".format(**names)

    (found,) = told(text, FILES)

    assert f": {key}: " in found
    assert finding in found
    assert found.startswith(f"jobermodel.yaml:{2 if key == 'phase_name' else 4}: phase ")


@pytest.mark.parametrize("name", ["007", "12", "1.50", "1e3", "yes", "No", "true", "2024-01-31", "0x1F", "1_000"])
def test_names_that_yaml_takes_for_something_else_are_text_as_written(name: str) -> None:
    text = f"""\
jobernetes:
- phase_name: {name}.
  jobs:
  - {{name: {name}, job_path: a.json}}
  - {{name: after, job_path: b.json, depends_on: [{name}]}}
""".replace(f"{name}.", f"{name}-phase" if not name[0].isdigit() else f"9{name}")

    model = sound(text, {**FILES, "b.json": json.dumps(manifest("other"))})

    assert model.phases[0].entries[0].name == name
    assert model.phases[0].entries[0].jobs[0].entry == name
    assert model.phases[0].entries[1].depends_on == (name,)


def test_phases_and_entries_share_one_set_of_names() -> None:
    text = """\
jobernetes:
- phase_name: load
  jobs:
  - {name: fetch, job_path: a.json}
  - {name: fetch, job_path: b.json}
- phase_name: load
  jobs:
  - {name: load, job_path: c.json}
- phase_name: fetch
  jobs:
  - {name: other, job_path: d.json}
"""
    files = {f"{name}.json": json.dumps(manifest(name)) for name in "abcd"}

    assert told(text, files) == [
        f"jobermodel.yaml:{line}: {of}: the name {name} is already that of {what}; "
        "phases and entries all need names of their own."
        for line, of, name, what in [
            (5, "phase load, entry fetch", "fetch", "the entry of phase load in line 4"),
            (6, "phase load", "load", "the phase in line 2"),
            (8, "phase load, entry load", "load", "the phase in line 2"),
            (9, "phase fetch", "fetch", "the entry of phase load in line 4"),
        ]
    ]


@pytest.mark.parametrize(
    ("path", "kind", "finding"),
    [
        ("absent.yaml", "", "absent.yaml does not exist"),
        ("absent", "directory", "absent does not exist"),
        ("a.json", "directory", "a.json is a file, but the entry says type: directory"),
        ("folder", "", "folder is a directory; with type: directory the entry stands for every manifest in it"),
        ("folder", "file", "folder is a directory; with type: directory"),
        ("folder", "Directory", "folder is a directory; with type: directory"),
        ("notes.txt", "", "notes.txt must end in .yml, .yaml or .json"),
        ("job.YAML", "", "job.YAML must end in .yml, .yaml or .json"),
        ("job", "", "job must end in .yml, .yaml or .json"),
        ("empty", "directory", "empty holds no manifest, which would end in .yml, .yaml, .json"),
        ("../a.json", "", "../a.json does not exist"),
        ("", "", "job_path: is required"),
        ("[a.json]", "", "job_path: must be text, not a list"),
        ("a.json/b.json", "", "a.json/b.json does not exist"),
    ],
)
def test_a_path_that_leads_nowhere_is_told(path: str, kind: str, finding: str) -> None:
    files = {**FILES, "folder/a.json": JOB, "notes.txt": JOB, "job.YAML": JOB, "job": JOB, "empty/readme.md": ""}
    text = f"jobernetes:\n- phase_name: p\n  jobs:\n  - name: e\n    type: {kind}\n    job_path: {path}\n"

    assert [f"jobermodel.yaml:6: phase p, entry e: {finding}" in found for found in told(text, files)] == [True]


@pytest.mark.parametrize("kind", ["", "file", "exploded", "3", "Job"])
def test_any_type_but_directory_means_a_file(kind: str) -> None:
    text = f"jobernetes:\n- phase_name: p\n  jobs:\n  - name: e\n    type: {kind}\n    job_path: a.json\n"

    assert not sound(text, FILES).phases[0].entries[0].jobs[0].exploded


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("fetch", ("fetch",)),
        ("'fetch'", ("fetch",)),
        ("", ()),
        ("null", ()),
        ("~", ()),
        ("[]", ()),
        ("[fetch]", ("fetch",)),
        ("[fetch, clean, fetch]", ("fetch", "clean")),
    ],
)
def test_depends_on_is_a_list_one_name_or_nothing(written: str, names: tuple[str, ...]) -> None:
    text = f"""\
jobernetes:
- phase_name: load
  jobs:
  - {{name: merge, job_path: c.json, depends_on: {written} }}
  - {{name: fetch, job_path: a.json}}
  - {{name: clean, job_path: b.json}}
"""
    files = {f"{name}.json": json.dumps(manifest(name)) for name in "abc"}

    assert sound(text, files).phases[0].entries[0].depends_on == names


@pytest.mark.parametrize("written", ["[null]", "[[fetch]]", "[{}]", "['']", "{a: b}"])
def test_depends_on_of_another_kind_is_told(written: str) -> None:
    text = f"jobernetes:\n- phase_name: p\n  jobs:\n  - {{name: e, job_path: a.json, depends_on: {written}}}\n"

    assert "jobermodel.yaml:4: phase p, entry e: depends_on: must be a list of texts, not" in told(text, FILES)[0]


@pytest.mark.parametrize(
    ("entries", "findings"),
    [
        (
            [entry("fetch"), entry("merge", "fecth")],
            ["phase load, entry merge: depends on fecth, which is no entry of this phase; did you mean fetch?"],
        ),
        (
            [entry("fetch"), entry("merge", "zzz")],
            ["phase load, entry merge: depends on zzz, which is no entry of this phase."],
        ),
        (
            [entry("fetch"), entry("merge", "schema")],
            [
                "phase load, entry merge: depends on schema of phase prepare; dependencies stay within a phase, "
                "and a phase begins when the one before it is complete."
            ],
        ),
        (
            [entry("fetch"), entry("merge", "later")],
            ["phase load, entry merge: depends on later of phase end; dependencies stay within a phase"],
        ),
        (
            [entry("fetch"), entry("merge", "prepare")],
            ["phase load, entry merge: depends on prepare, which is a phase; only entries of the same phase"],
        ),
        ([entry("fetch"), entry("merge", "merge")], ["phase load, entry merge: merge depends on itself."]),
        (
            [entry("free"), entry("fetch", "merge"), entry("merge", "fetch")],
            ["phase load: these entries wait for each other, which would never end: load: fetch → merge → fetch."],
        ),
        (
            [entry("fetch", "merge"), entry("merge", "fetch")],
            [
                "phase load: every entry of this phase depends on another, so that none could begin.",
                "phase load: these entries wait for each other, which would never end: load: fetch → merge → fetch.",
            ],
        ),
        (
            [entry("fetch", "fetch")],
            [
                "phase load, entry fetch: fetch depends on itself.",
                "phase load: every entry of this phase depends on another, so that none could begin.",
            ],
        ),
        (
            [entry("d", "c"), entry("a"), entry("b", "a", "d"), entry("c", "b"), entry("e", "d")],
            ["phase load: these entries wait for each other, which would never end: load: d → c → b → d."],
        ),
        (
            [entry("x", "c"), entry("o"), entry("a", "c"), entry("b", "a"), entry("c", "b")],
            ["phase load: these entries wait for each other, which would never end: load: a → c → b → a."],
        ),
        (
            [entry("o"), entry("a", "b", "c"), entry("b", "c", "a"), entry("c", "a", "b")],
            ["phase load: these entries wait for each other, which would never end: load: a → b → c → a."],
        ),
        (
            [entry("o"), *(entry(one, other) for one, other in ("ab", "ba", "cd", "dc"))],
            [
                "phase load: these entries wait for each other, which would never end: load: a → b → a.",
                "phase load: these entries wait for each other, which would never end: load: c → d → c.",
            ],
        ),
    ],
)
def test_dependencies_that_cant_be_met_are_told(entries: list[dict[str, Any]], findings: list[str]) -> None:
    found = told(document(("prepare", [entry("schema")]), ("load", entries), ("end", [entry("later")])))

    assert len(found) == len(findings)
    for one, wanted in zip(found, findings, strict=True):
        assert wanted in one


def test_a_dependency_may_stand_below_what_depends_on_it() -> None:
    model = sound(document(("load", [entry("merge", "fetch"), entry("fetch")])))

    assert model.phases[0].entries[0].depends_on == ("fetch",)


def test_the_model_is_read_as_it_stands() -> None:
    files = {
        "k8s/fetch/b.yml": "# as YAML\n" + json.dumps(manifest("fetch-b")),
        "k8s/fetch/a.json": json.dumps(manifest("fetch-a")),
        "k8s/fetch/deep/c.yaml": json.dumps(manifest("fetch-c")),
        "k8s/fetch/readme.md": "not a manifest",
    }
    fetch = {"name": "fetch", "type": "directory", "job_path": "k8s/fetch", "depends_on": ["first"]}

    model = sound(document(("prepare", [entry("schema")]), ("load", [fetch, entry("first")])), files)

    assert [(phase.index, phase.name) for phase in model.phases] == [(0, "prepare"), (1, "load")]
    assert [(job.name, job.path, job.entry, job.phase, job.exploded) for job in model.jobs()] == [
        ("schema", "schema.json", "schema", 0, False),
        ("fetch-a", "k8s/fetch/a.json", "fetch", 1, True),
        ("fetch-b", "k8s/fetch/b.yml", "fetch", 1, True),
        ("fetch-c", "k8s/fetch/deep/c.yaml", "fetch", 1, True),
        ("first", "first.json", "first", 1, False),
    ]
    assert model.phases[1].entries[0].depends_on == ("first",)
    assert model.phases[1].entries[0].jobs[0].manifest == manifest("fetch-a")


# the new keys of entries


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("'90'", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("null", None), ("2147483647", 2147483647)],
)
def test_a_deadline_is_seconds_or_a_duration(written: str, seconds: int | None) -> None:
    text = f"jobernetes: [{{phase_name: p, jobs: [{{name: e, job_path: a.json, deadline: {written}}}]}}]"

    assert sound(text, FILES).phases[0].entries[0].deadline_s == seconds


@pytest.mark.parametrize(
    ("keys", "finding"),
    [
        ("deadline: 0", "deadline: must be from 1 to 2,147,483,647 seconds, not 0"),
        ("deadline: 0m", "deadline: must be from 1 to 2,147,483,647 seconds, not 0m"),
        ("deadline: 999999999h", "deadline: must be from 1 to 2,147,483,647 seconds"),
        ("deadline: -5", "deadline: must be seconds, or as 90s, 15m or 2h, not -5"),
        ("deadline: 1.5", "deadline: must be seconds, or as 90s, 15m or 2h, not 1.5"),
        ("deadline: 1d", "deadline: must be seconds, or as 90s, 15m or 2h, not the text 1d"),
        ("deadline: 1:30", "deadline: must be seconds, or as 90s, 15m or 2h, not the text 1:30"),
        ("deadline: [90]", "deadline: must be seconds, or as 90s, 15m or 2h, not a list"),
        ("retries: -1", "retries: must not be negative, as -1 is"),
        ("retries: 3000000000", "retries: must not be more than 2,147,483,647"),
        ("retries: 0.5", "retries: must be a whole number, not 0.5"),
        ("retries: two", "retries: must be a whole number, not the text two"),
        ("retries: true", "retries: must be a whole number, not true"),
    ],
)
def test_a_wrong_key_of_an_entry_is_told(keys: str, finding: str) -> None:
    text = f"jobernetes:\n- phase_name: p\n  jobs:\n  - name: e\n    job_path: a.json\n    {keys}\n"

    (found,) = told(text, FILES)

    assert found.startswith(f"jobermodel.yaml:6: phase p, entry e: {finding}")


def test_retries_are_a_number_of_times() -> None:
    entries = sound(document(("p", [entry("a", retries=3), entry("b")]))).phases[0].entries

    assert [one.retries for one in entries] == [3, 0]


def test_everything_that_is_wrong_is_told_in_one_go() -> None:
    text = """\
jobernetes_config: {cleanup: 2}
jobernetes:
- phase_name: two words
  jobs:
  - {name: a, job_path: absent.yaml, depends_on: [b]}
  - {name: b, job_path: broken.yaml, depends_on: [a]}
- phase_name: q
  jobs:
  - {name: a, job_path: text.yaml, retries: -1}
"""
    findings = told(text, {"broken.yaml": "a: [", "text.yaml": "text"})

    for wanted in (
        "jobermodel.yaml:1: cleanup: must be true or false",
        "jobermodel.yaml:3: phase two words: phase_name: two words must not hold whitespace",
        "jobermodel.yaml:3: phase two words: every entry of this phase depends on another",
        "jobermodel.yaml:5: phase two words: these entries wait for each other",
        "jobermodel.yaml:5: phase two words, entry a: absent.yaml does not exist",
        "broken.yaml:1: phase two words, entry b: is not valid YAML",
        "jobermodel.yaml:9: phase q, entry a: the name a is already that of the entry of phase two words in line 5",
        "jobermodel.yaml:9: phase q, entry a: retries: must not be negative",
        "text.yaml:1: phase q, entry a: is text, not a Kubernetes object",
    ):
        assert any(one.startswith(wanted) for one in findings), wanted
    assert len(findings) == 9


def test_a_flood_of_findings_ends_with_their_number() -> None:
    findings = told("jobernetes:\n- phase_name: p\n  jobs: [" + "{}," * 3000 + "]\n")

    assert len(findings) == 1001
    assert findings[-1] == "jobermodel.yaml: 5,000 more findings are left out."


def test_a_flood_of_warnings_does_not_keep_errors_from_being_told() -> None:
    keys = "".join(f"k{number}: 1\n" for number in range(500))

    model, findings = checked(keys + ONE, FILES)
    refused = told(keys + "jobernetes: []", FILES)

    assert model is not None
    assert findings[-1].reason == "400 more findings are left out."
    assert not any(finding.is_error for finding in findings)
    assert refused[-2].endswith("jobernetes: a model must have at least one phase.")


def test_a_model_of_too_many_entries_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ENTRIES", 2)

    (found,) = told(document(("p", [entry("a"), entry("b")]), ("q", [entry("c")])))

    assert found.endswith("phase q: jobs: a model must not have more than 2 entries.")


def test_a_circle_of_many_is_told_in_a_bounded_line() -> None:
    names = [f"e{number}" for number in range(150)]
    entries = [entry("free"), *(entry(one, other) for one, other in zip(names, [*names[1:], "e0"], strict=True))]

    (found,) = told(document(("p", entries)))

    assert found.endswith("e98 → e99 → … (150 in all) → e0.")


def test_a_model_may_be_json() -> None:
    text = json.dumps(document(("p", [entry("e")])), indent="\t")

    model, findings = read(bundle("", {"m.json": text, "e.json": JOB}), "m.json")

    assert findings == []
    assert model is not None
