"""What is told of definitions before any Job is asked for, by line and key."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from lando.definitions import config, definitions_file
from lando.definitions.checks.examining import examine
from lando.definitions.checks.findings import Finding
from lando.definitions.config import ReloadingJobDefinitionsRegister
from lando.definitions.file_reloader import FileReloader

REPOSITORY = Path(__file__).parents[3]
GOOD = """\
- name: a
  arguments:
    album: {type: string}
    mode: {enum: [fast, slow]}
    n: {type: integer, minimum: 2, default: 3}
    extra: {type: object, default: {}}
    items: {type: array, items: {type: string}, minItems: 1}
  spec: |
    apiVersion: batch/v1
    kind: Job
    metadata:
      name: thumbs-{{ album }}
      labels: {album: "{{ album }}"}
      annotations: {{ extra | tojson }}
    spec:
      parallelism: {{ n }}
      {% if mode == "slow" %}
      activeDeadlineSeconds: 5
      {% endif %}
      template:
        spec:
          restartPolicy: Never
          volumes:
            - {name: data, emptyDir: {sizeLimit: 1}}
          containers:
            - name: main
              image: busybox:1
              args: {{ items }}
              resources: {limits: {cpu: 1}, requests: {memory: 1Gi}}
              volumeMounts: [{name: data, mountPath: /data}]
"""


def examined(text: str) -> list[Finding]:
    contents = definitions_file.read(text, "f")
    assert contents.problems == ()
    found = []
    for name, definition in contents.definitions.items():
        origin = contents.sources[name].origin
        assert origin is not None
        found += examine(definition, origin.template(), contents.places[name])
    return found


def told(text: str) -> list[str]:
    return [f"{'' if finding.is_error else 'warning '}{finding}" for finding in examined(text)]


def test_of_a_definition_that_is_right_nothing_is_told() -> None:
    assert told(GOOD) == []


def test_of_the_examples_nothing_is_told() -> None:
    example = REPOSITORY / "examples/definitions/kubernetes/job-definitions.yaml"
    contents = definitions_file.read(example.read_text(), "f")
    inline = {name: one for name, one in contents.definitions.items() if one.spec}
    assert len(inline) == 3
    for name, definition in inline.items():
        origin = contents.sources[name].origin
        assert origin is not None
        assert examine(definition, origin.template(), contents.places[name]) == []


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("kind: Job", "kind: CronJob", "f:10: kind: only Jobs can be made, with kind: Job, not 'CronJob'"),
        ("batch/v1", "batch/v2", "f:9: apiVersion: only Jobs can be made, with apiVersion: batch/v1, not 'batch/v2'"),
        ("name: thumbs-{{ album }}", "nmae: x", "f:12: metadata.name: this is required"),
        ("name: thumbs-{{ album }}", "name: Thumbs_{{ album }}", "f:12: metadata.name: 'Thumbs_x' may hold lower-case"),
        ("name: thumbs-{{ album }}", "name: 5", "f:12: metadata.name: this has to be text, not a number; put it"),
        ('{album: "{{ album }}"}', "{album: 5}", "f:13: metadata.labels.album: this has to be text, not a number;"),
        ('{album: "{{ album }}"}', "{album: a b}", "f:13: metadata.labels.album: 'a b' is no value of a label"),
        ("{{ n }}", '"{{ album }}"', "f:16: spec.parallelism: this has to be a whole number, and in quotes is always"),
        ("{{ n }}", "-1", "f:16: spec.parallelism: this may not be negative"),
        ("{{ n }}", "many", "f:16: spec.parallelism: this has to be a whole number, not 'many'"),
        ("parallelism:", "selector: {}\n      parallelism:", "f:16: spec.selector: leave this out"),
        ("restartPolicy: Never", "restartPolicy: Always", "restartPolicy: this has to be Never or OnFailure, not 'Alw"),
        ("          restartPolicy: Never\n", "", "spec.template.spec.restartPolicy: this is required: Jobs take Never"),
        ("- name: main", "- name: Main", "containers[0].name: 'Main' is no container's name"),
        ("              image: busybox:1\n", "", "spec.template.spec.containers[0].image: this is required"),
        (
            "args: {{ items }}",
            "args: 5",
            "f:28: spec.template.spec.containers[0].args: this has to be a list, not a num",
        ),
        (
            "args: {{ items }}",
            "args: [5]",
            "f:28: spec.template.spec.containers[0].args[0]: this has to be text, not",
        ),
        ("args: {{ items }}", "env: [{value: x}]", "f:28: spec.template.spec.containers[0].env[0].name: this is req"),
        ("cpu: 1", "cpu: many", "resources.limits.cpu: this has to be a quantity such as 2, 500m or 1Gi, not 'many'"),
        ("image: busybox:1", 'image: ""', "f:27: spec.template.spec.containers[0].image: this is required"),
        ("emptyDir: {sizeLimit: 1}", "configMap: {}", "volumes[0].configMap.name: this is required"),
        ("name: data, mountPath", "name: date, mountPath", "volumeMounts[0].name: there is no volume 'date'"),
        (
            "spec:\n          restart",
            "spec: []\n      x:\n          restart",
            "template.spec: this has to be a map",
        ),
        ("extra | tojson }}", "extra | tojson }}\n    <<: 5", "expected a mapping"),
        ("    kind: Job\n", "    kind: [\n    x: y\n    z: w\n", "of the manifest is no YAML"),
    ],
)
def test_what_the_cluster_would_refuse_is_an_error(right: str, wrong: str, says: str) -> None:
    text = GOOD.replace(right, wrong, 1)
    assert text != GOOD

    errors = [line for line in told(text) if not line.startswith("warning")]

    assert any(says in line for line in errors), errors


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("album: {type", "spare: {default: 1}\n    album: {type", "f:3: arguments.spare: the template does not use"),
        ("{{ n }}", "{{ m | default(n) }}", "f:2: arguments: the template takes m, which is not declared, so that it"),
        (
            "restartPolicy: N",
            "restartpolicy: N",
            "restartpolicy: Kubernetes knows no such key here; did you mean re",
        ),
        ("    kind: Job\n", "", "f:9: kind: this is missing; write kind: Job"),
        ("kind: Job", "kind: Job\n    kind: Job", "kind: this key stands twice; the last one counts"),
        ("labels:", "namespace: there\n      labels:", "f:13: metadata.namespace: leave this out"),
        ('"{{ album }}"', "{{ album }}", "f:13: metadata.labels.album: put the {{…}} in quotes"),
    ],
)
def test_what_may_be_meant_so_is_a_warning(right: str, wrong: str, says: str) -> None:
    found = told(GOOD.replace(right, wrong, 1))

    assert any(line.startswith("warning ") and says in line for line in found), found


def test_what_depends_on_arguments_that_nobody_knows_is_no_error() -> None:
    text = """\
- name: a
  spec: |
    apiVersion: batch/v1
    kind: Job
    metadata: {name: "{{ name }}"}
    spec:
      template:
        spec:
          restartPolicy: {{ policy }}
          containers:
          {% if kind == "one" %}
            - {name: a, image: b}
          {% elif kind == "two" %}
            - {name: c, image: d}
          {% endif %}
"""
    assert told(text) == ["warning f:10: spec.template.spec.containers: this is required"]


def test_what_may_be_half_a_password_is_not_told() -> None:
    found = told(GOOD.replace("args: {{ items }}", "env: [{name: PASSWORD, value: 12345678}]"))
    assert (
        found[-1]
        == "f:28: spec.template.spec.containers[0].env[0].value: this has to be text, not a number; put it in quotes"
    )


def test_templates_whose_arguments_are_more_than_words_are_left_to_the_cluster() -> None:
    assert told("- name: a\n  spec: |\n    kind: {{ pod.kind }}\n    x: {{ n + 1 }}\n") == []


def test_the_line_in_what_a_loop_made_is_that_of_the_template() -> None:
    text = GOOD.replace(
        "          containers:\n            - name: main\n",
        "          containers:\n          {% for one in ['a', 'b'] %}\n"
        "            - name: '{{ one }}'\n          {% endfor %}\n            - name: Main\n",
    )
    found = told(text)
    assert "f:27: spec.template.spec.containers[0].image: this is required: every container needs one" in found
    assert "f:27: spec.template.spec.containers[1].image: this is required: every container needs one" in found
    assert "f:29: spec.template.spec.containers[2].name: 'Main' is no container's name" in found[-1]


def test_a_manifest_that_grows_without_end_is_told_and_not_walked() -> None:
    lines = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    text = "- name: a\n  spec: |\n" + "".join(f"    {line}\n" for line in lines)
    assert told(text) == ["f:2: it holds more than 100,000 values when what * names is put in its place"]


def test_errors_are_told_by_the_register_once_for_each_version_and_refuse_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, template = tmp_path / "definitions.yaml", tmp_path / "template"
    template.write_text("kind: Pod\nmetadata: {name: x}\n")
    file.write_text(f"- name: a\n  spec_path: {template}\n")
    register = ReloadingJobDefinitionsRegister(FileReloader(file))
    with caplog.at_level(logging.WARNING):
        problem = f"{template}:1: kind: only Jobs can be made, with kind: Job, not 'Pod'"
        assert problem in register.problems
        register.look()
        assert caplog.messages.count(problem) == 1
        assert register.get_generator("a").generate()["kind"] == "Pod"

        template.write_text("\nkind: Pod\nmetadata: {name: x}\n")
        register.look()
        assert problem.replace(":1:", ":2:") in register.problems


def test_whoever_asks_for_problems_of_many_definitions_waits_for_some_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "EXAMINED", 2)
    monkeypatch.setattr(config, "PROBLEMS", 4)
    file = tmp_path / "definitions.yaml"
    file.write_text("".join(f"- name: a{n}\n  spec: '[]'\n" for n in range(5)))
    register = ReloadingJobDefinitionsRegister(FileReloader(file))
    assert len(register.problems) == 2
    register.look()
    assert len(register.problems) == 5
    assert register.problems[-1] == "and 1 more"
