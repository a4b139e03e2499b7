"""The rules for what a model names: manifests of Jobs, and the objects beside them (phases contract, 4 to 6 and 12)."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from lando.phases import manifests
from lando.phases.documents import parse
from tests.unit.phases.models import document, entry, manifest, sound, told

JOB = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: a-job
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: busybox}]
"""
MODEL = "jobernetes: [{phase_name: p, jobs: [{name: e, job_path: a.yaml}]}]"


def changed(old: str, new: str) -> str:
    assert old in JOB
    return JOB.replace(old, new)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "a.yaml: phase p, entry e: is empty."),
        ("---\n# nothing\n---\n", "a.yaml: phase p, entry e: is empty."),
        ("- a\n", "a.yaml:1: phase p, entry e: is a list, not a Kubernetes object; needed is a Job in batch/v1."),
        ("text", "is text, not a Kubernetes object; needed is a Job in batch/v1."),
        ("5", "is a number, true or false, not a Kubernetes object"),
        ("{}", "has no apiVersion and no kind, so it is no Kubernetes object; needed is a Job in batch/v1."),
        ("kind: Job", "has no apiVersion, so it is no Kubernetes object"),
        (
            "# Settings\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
            "a.yaml:3: phase p, entry e: kind: is ConfigMap in v1; needed is a Job in batch/v1.",
        ),
        (changed("batch/v1", "batch/v1beta1"), "a.yaml:1: phase p, entry e: apiVersion: is Job in batch/v1beta1;"),
        (changed("kind: Job", "kind: CronJob"), "a.yaml:2: phase p, entry e: kind: is CronJob in batch/v1;"),
        (changed("kind: Job", "kind: job"), "kind: is job in batch/v1;"),
        (changed("kind: Job", "kind: [Job]"), "kind: is a list in batch/v1;"),
        (changed("  name: a-job", "  labels: {}"), "a.yaml:3: phase p, entry e: metadata.name: is required."),
        (changed("name: a-job", "generateName: a-"), "metadata.name: is required, generateName is not enough."),
        (changed("a-job", "123"), "metadata.name: must be text, not 123; put it in quotes."),
        (changed("a-job", "yes"), "metadata.name: must be text, not true; put it in quotes."),
        (changed("a-job", "[a]"), "metadata.name: must be text, not a list."),
        (changed("a-job", "A_Job"), "a.yaml:4: phase p, entry e: metadata.name: A_Job may hold lower-case letters,"),
        (changed("a-job", "a" * 64), "must not be longer than 63 characters."),
        (changed("a-job", "a..b"), "metadata.name: a..b may hold"),
        (changed("metadata:\n  name: a-job", "metadata: a-job"), "a.yaml:3: phase p, entry e: metadata.name: is"),
        (
            changed("name: a-job", "name: a-job\n  namespace: other"),
            "a.yaml:5: phase p, entry e: metadata.namespace: is other, but the model's kubernetes_namespace is "
            "default; leave it out, or let them be equal.",
        ),
        (changed("name: a-job", "name: a-job\n  namespace: [a]"), "metadata.namespace: is a list, but the model's"),
        (changed("name: a-job", "name: a-job\n  labels: [a]"), "metadata.labels: must be a block of keys, not a list."),
        (
            changed("name: a-job", "name: a-job\n  labels:\n    on-call: yes"),
            "a.yaml:6: phase p, entry e: metadata.labels.on-call: must be text, not true; put it in quotes.",
        ),
        (
            changed("name: a-job", "name: a-job\n  annotations: {version: 1.10}"),
            "metadata.annotations.version: must be text, not 1.10; put it in quotes.",
        ),
        (JOB[: JOB.index("spec:")], "a.yaml:1: phase p, entry e: spec: is required: a Job needs the"),
        (changed("  template:", "  temp:"), "a.yaml:5: phase p, entry e: spec.template: is required"),
        (changed("    spec:", "    metadata:"), "a.yaml:6: phase p, entry e: spec.template.spec: is required"),
        (changed("containers", "container"), "a.yaml:7: phase p, entry e: spec.template.spec.containers: is required"),
        (
            changed("[{name: main, image: busybox}]", "[]"),
            "a.yaml:9: phase p, entry e: spec.template.spec.containers: must hold at least one container.",
        ),
        (
            changed("[{name: main, image: busybox}]", "{name: main}"),
            "containers: must be a list of containers, not a block of keys.",
        ),
        (JOB[: JOB.index("spec:")] + "spec: [a]", "spec: must be a block of keys, not a list."),
        (JOB + "  activeDeadlineSeconds: '60'\n", "spec.activeDeadlineSeconds: must be a whole number of seconds, not"),
        (JOB + "  ttlSecondsAfterFinished: -1\n", "a.yaml:10: phase p, entry e: spec.ttlSecondsAfterFinished: must"),
        (JOB + "  activeDeadlineSeconds: true\n", "spec.activeDeadlineSeconds: must be a whole number of seconds, not"),
        (f"{JOB}---\n{JOB}", "a.yaml:11: phase p, entry e: holds 2 documents; a file holds one Job, and a directory"),
        ("a: [", "a.yaml:1: phase p, entry e: is not valid YAML: it ends too early"),
        ("a:\n\tb: c\n", "a.yaml:2: phase p, entry e: is not valid YAML: the line is indented with a tab; use spaces."),
    ],
)
def test_a_manifest_that_is_no_job_is_told_with_its_line(text: str, finding: str) -> None:
    (found,) = told(MODEL, {"a.yaml": text})

    assert finding in found
    assert found.startswith("a.yaml:")
    assert "phase p, entry e: " in found


def test_everything_that_is_wrong_in_a_manifest_is_told() -> None:
    text = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: A, namespace: x, labels: {a: 1}}\nspec: {}\n"

    assert [one.split(": ")[2] for one in told(MODEL, {"a.yaml": text})] == [
        "metadata.name",
        "metadata.namespace",
        "metadata.labels.a",
        "spec.template",
    ]


@pytest.mark.parametrize(
    "text",
    [
        JOB,
        f"---\n{JOB}---\n",
        f"---\n# a comment\n---\n{JOB}...\n",
        f"\ufeff{JOB}",
        JOB.replace("\n", "\r\n"),
        changed("a-job", "'123'"),
        changed("a-job", "a.b-c.d"),
        changed("name: a-job", "name: a-job\n  namespace: default\n  labels:\n  annotations: {}"),
        changed(
            "name: a-job",
            "name: a-job\n  labels: {mine: kept}\n  annotations: {since: 2024-01-31, at: 12:30:00, empty: }",
        ),
        json.dumps(yaml.safe_load(JOB), indent="\t"),
    ],
)
def test_a_job_is_read_however_it_is_written(text: str) -> None:
    model = sound(MODEL, {"a.yaml": text})

    (job,) = model.jobs()
    assert job.manifest["spec"] == yaml.safe_load(JOB)["spec"]


def test_values_are_those_that_kubernetes_tools_read() -> None:
    annotations = "{date: 2024-01-31, time: 12:30:05, port: '8080', quoted: 'yes', text: 1e3, star: =}"
    env = "[{name: MODE, value: 0644}, {name: N, value: 1_000}, {name: HEX, value: 0x10}, {name: ON, value: on}]"
    text = changed("name: a-job", f"name: a-job\n  annotations: {annotations}").replace(
        "image: busybox", f"image: busybox, env: {env}"
    )

    (job,) = sound(MODEL, {"a.yaml": text}).jobs()

    assert job.manifest["metadata"]["annotations"] == {
        "date": "2024-01-31",
        "time": "12:30:05",
        "port": "8080",
        "quoted": "yes",
        "text": "1e3",
        "star": "=",
    }
    (container,) = job.manifest["spec"]["template"]["spec"]["containers"]
    assert [one["value"] for one in container["env"]] == [420, 1000, 16, True]
    assert json.loads(json.dumps(job.manifest)) == job.manifest


def test_two_entries_with_one_job_name_are_told_wherever_they_stand() -> None:
    same = json.dumps(manifest("same"), indent=1)
    files = {"one.json": same, "two.json": same, "folder/three.json": same, "folder/four.json": same}
    folder = {"name": "folder", "type": "directory", "job_path": "folder"}

    other = entry("other", job_path="one.json")

    assert told(document(("p", [entry("one"), entry("two")]), ("q", [folder, other])), files) == [
        f"{file}:5: phase {phase}, entry {name}: metadata.name: the Job name same is also that of "
        "one.json (phase p, entry one); every Job of a model needs its own."
        for file, phase, name in [
            ("two.json", "p", "two"),
            ("folder/four.json", "q", "folder"),
            ("folder/three.json", "q", "folder"),
            ("one.json", "q", "other"),
        ]
    ]


def test_a_file_that_cant_be_read_does_not_keep_the_others_of_its_directory_from_being_checked() -> None:
    folder = {"name": "folder", "type": "directory", "job_path": "folder"}
    files = {"folder/a.yaml": "a: [", "folder/b.json": "{", "folder/c.yaml": "kind: Pod"}

    assert [one.split(":")[0] for one in told(document(("p", [folder])), files)] == [
        "folder/a.yaml",
        "folder/b.json",
        "folder/c.yaml",
    ]


def test_an_equal_namespace_is_no_fault() -> None:
    text = changed("name: a-job", "name: a-job\n  namespace: work")

    sound(f"jobernetes_config: {{kubernetes_namespace: work}}\n{MODEL}", {"a.yaml": text})


# resources


def resource(kind: str = "ConfigMap", name: str = "c", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}}


def test_resources_are_files_and_folders_of_several_documents() -> None:
    files = {
        "r/b.yaml": "---\n".join(json.dumps(resource(name=name)) + "\n" for name in ("one", "two")),
        "r/a.json": json.dumps(resource("Secret", "one")),
        "claim.yml": json.dumps(resource("PersistentVolumeClaim", "one", namespace="default")),
    }

    model = sound(document(("p", [entry("e")]), resources=["r", "claim.yml", "r"]), files)

    assert model.settings.resources == ("r", "claim.yml")
    assert [(one.path, one.manifest["kind"], one.manifest["metadata"]["name"]) for one in model.resources] == [
        ("r/a.json", "Secret", "one"),
        ("r/b.yaml", "ConfigMap", "one"),
        ("r/b.yaml", "ConfigMap", "two"),
        ("claim.yml", "PersistentVolumeClaim", "one"),
    ]


def test_one_path_is_as_good_as_a_list_of_one() -> None:
    model = sound(document(("p", [entry("e")]), resources="r.json"), {"r.json": json.dumps(resource())})

    assert len(model.resources) == 1


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (resource("Pod"), "r.json:3: kind: is Pod in v1; needed is a ConfigMap or Secret or"),
        ({**resource(), "apiVersion": "v2"}, "r.json:2: apiVersion: is ConfigMap in v2; needed is a ConfigMap or"),
        (manifest("job"), "kind: is Job in batch/v1; needed is a ConfigMap or Secret"),
        (resource(name="A"), "r.json:5: metadata.name: A may hold lower-case letters"),
        (resource(name="a" * 254), "metadata.name: aaa"),
        (resource(namespace="other"), "r.json:6: metadata.namespace: is other, but the model's"),
        ({"kind": "Secret"}, "r.json:1: has no apiVersion, so it is no Kubernetes object"),
        ([resource()], "r.json:1: is a list, not a Kubernetes object"),
    ],
)
def test_a_resource_that_cant_be_applied_is_told(content: Any, finding: str) -> None:
    (found,) = told(document(("p", [entry("e")]), resources="r.json"), {"r.json": json.dumps(content, indent=1)})

    assert finding in found


def test_two_resources_of_one_kind_and_name_are_told() -> None:
    files = {
        "r.yaml": f"{json.dumps(resource())}\n---\n{json.dumps(resource('Secret'))}\n---\n{json.dumps(resource())}"
    }

    assert told(document(("p", [entry("e")]), resources="r.yaml"), files) == [
        "r.yaml:5: metadata.name: the ConfigMap c is also in r.yaml."
    ]


def test_a_directory_or_file_named_again_and_again_is_not_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_FILES", 5)
    files = {f"k8s/{name}.json": json.dumps(manifest(name)) for name in "abc"}
    files["r.yaml"] = "---\n".join(json.dumps(resource(name=name)) + "\n" for name in "abc")
    entries = [{"name": f"e{number}", "type": "directory", "job_path": "k8s"} for number in range(100)]

    jobs = told(document(("p", entries)), files)
    paths = ["./" * number + "r.yaml" for number in range(100)]
    resources = told(document(("p", [entry("e")]), resources=paths), files)

    assert [one for one in jobs if "more than" in one] == [
        "jobermodel.yaml:1: phase p, entry e1: a model must not name more than 5 manifests, each time counted."
    ]
    assert len(jobs) == 1
    assert [one for one in resources if "more than" in one] == [
        "./r.yaml:1: a model must not name more than 5 manifests, each time counted."
    ]


def test_a_broken_file_is_read_once_however_its_path_is_spelt(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(text: str, *, as_json: bool) -> Any:
        read.append(text)
        return parse(text, as_json=as_json)

    monkeypatch.setattr(manifests, "parse", counted)
    entries = [entry(f"e{number}", job_path="./" * number + "x.yaml") for number in range(20)]

    found = told(document(("p", entries)), {"x.yaml": "a: 1\na: 2\n"})

    assert len(found) == 20
    assert len(read) == 1


def test_what_all_files_hold_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_SIZE", 2**20)
    laughs = "x: &x [" + "ha, " * 100 + "]\ny: [" + "*x, " * 300 + "]\n"
    names = [f"e{number}" for number in range(10)]
    files = {f"{name}.yaml": changed("a-job", name) + laughs for name in names}

    found = told(document(("p", [entry(name, job_path=f"{name}.yaml") for name in names])), files)

    assert found == [
        "e3.yaml: phase p, entry e3: with this file, those of the model hold more than 1 MiB when what * names is put "
        "in its place."
    ]


@pytest.mark.parametrize(
    ("place", "value", "finding"),
    [
        ("metadata", "[a]", "spec.template.metadata: must be a block of keys, not a list."),
        ("metadata", "{labels: [a]}", "spec.template.metadata.labels: must be a block of keys, not a list."),
        ("metadata", "{labels: {a: 1}}", "spec.template.metadata.labels.a: must be text, not 1; put it in quotes."),
        ("spec", "{containers: [a]}", "containers: must be a list of blocks of keys, not of the text a."),
        ("spec", "{containers: [{name: a}], initContainers: 5}", "initContainers: must be a list, not 5."),
        (
            "spec",
            "{containers: [{name: a}], securityContext: a}",
            "securityContext: must be a block of keys, not text.",
        ),
        ("spec", "{containers: [{name: a, securityContext: a}]}", "a securityContext must be a block of keys."),
    ],
)
def test_what_lando_adds_to_is_of_the_right_kind(place: str, value: str, finding: str) -> None:
    template = {"spec": "{containers: [{name: a}]}", place: value}
    text = JOB[: JOB.index("    spec:")] + "".join(f"    {key}: {given}\n" for key, given in template.items())

    (found,) = told(MODEL, {"a.yaml": text})

    assert found.endswith(finding)


def test_no_value_of_a_secret_is_told() -> None:
    texts = [
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: hunter2}",
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: [hunter2]}",
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {password: [hunter2]}}",
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {password: {hunter2: hunter2}}}",
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {password: hunter2, password: hunter2}}",
        "hunter2",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {<<: hunter2}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: 'hunter2\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: @hunter2\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: *hunter2\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: !hunter2 a\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: !hunter2!a b\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: \x07hunter2\n",
    ]
    for text in texts:
        findings = told(document(("p", [entry("e")]), resources="r.yaml"), {"r.yaml": text})
        assert findings
        assert not any("hunter2" in finding for finding in findings)
