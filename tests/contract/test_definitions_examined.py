"""What is an error to the examination of definitions, before any Job is asked for, the cluster refuses, too."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from lando.definitions import definitions_file
from lando.definitions.checks.examining import examine
from tests.services.kubernetes_api import KubernetesApi

GOOD = """\
- name: a
  spec: |
    apiVersion: batch/v1
    kind: Job
    metadata:
      name: thumbs
      labels: {album: summer}
    spec:
      parallelism: 2
      template:
        spec:
          restartPolicy: Never
          volumes:
            - {name: data, emptyDir: {sizeLimit: 1}}
          containers:
            - name: main
              image: busybox:1
              args: [a]
              resources: {limits: {cpu: 1}, requests: {memory: 1Gi}}
              volumeMounts: [{name: data, mountPath: /data}]
"""
WRONG = {
    "another kind": ("kind: Job", "kind: CronJob"),
    "another version": ("batch/v1", "batch/v2"),
    "no name": ("name: thumbs", "nmae: thumbs"),
    "a name with capitals": ("name: thumbs", "name: Thumbs"),
    "a number as name": ("name: thumbs", "name: 5"),
    "a number as label": ("album: summer", "album: 5"),
    "a label with a blank": ("album: summer", "album: a b"),
    "a negative number": ("parallelism: 2", "parallelism: -2"),
    "text as number": ("parallelism: 2", "parallelism: '2'"),
    "a selector": ("parallelism: 2", "selector: {matchLabels: {a: b}}"),
    "restart always": ("restartPolicy: Never", "restartPolicy: Always"),
    "no restart policy": ("          restartPolicy: Never\n", ""),
    "no containers": ("containers:", "initContainers:"),
    "a container's name with capitals": ("name: main", "name: Main"),
    "no image": ("              image: busybox:1\n", ""),
    "another pull policy": ("args: [a]", "imagePullPolicy: Often"),
    "no list": ("args: [a]", "args: a"),
    "a number as argument": ("args: [a]", "args: [1]"),
    "a variable without a name": ("args: [a]", "env: [{value: x}]"),
    "no such volume": ("name: data, mount", "name: date, mount"),
    "two containers of a name": ("containers:", "containers:\n            - {name: main, image: x}"),
    "a list as pod": ("spec:\n          restart", "spec: []\n        x:\n          restart"),
    "no quantity": ("cpu: 1", "cpu: many"),
    "no name of a ConfigMap": ("emptyDir: {sizeLimit: 1}", "configMap: {}"),
    "no key of a Secret": ("args: [a]", "env: [{name: A, valueFrom: {secretKeyRef: {name: s}}}]"),
    "no template": ("      template:", "      templat:"),
}


def judged(api: KubernetesApi, text: str) -> tuple[list[str], int]:
    """The errors of the examination, and the status that the cluster answers to a dry run."""
    contents = definitions_file.read(text, "f")
    source = contents.sources["a"].origin
    assert source is not None
    findings = examine(contents.definitions["a"], source.template(), contents.places["a"])
    path = f"apis/batch/v1/namespaces/{quote(api.namespace)}/jobs?dryRun=All"
    answer = api.session.post(f"{api.url}/{path}", json=source.get())
    return [str(finding) for finding in findings if finding.is_error], answer.status_code


def test_the_cluster_takes_what_is_no_error(api: KubernetesApi) -> None:
    assert judged(api, GOOD) == ([], 201)


@pytest.mark.parametrize("what", WRONG)
def test_the_cluster_refuses_what_is_an_error(api: KubernetesApi, what: str) -> None:
    text = GOOD.replace(*WRONG[what], 1)
    assert text != GOOD

    errors, status = judged(api, text)

    assert errors
    assert status in (400, 422)
