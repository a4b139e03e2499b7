"""What goes over the wire for each call, and what comes back of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from lando.config import ClusterSettings
from lando.config.secrets import FileSecret
from lando.errors import ConfigError, Expired, Unavailable
from lando.k8s import cluster_session, cluster_streams
from lando.k8s.cluster import KubernetesCluster
from lando.k8s.permissions import Permission

JOB: dict[str, Any] = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "stage-data-42-ada"}}
JOBS = "/apis/batch/v1/namespaces/lando%20jobs/jobs"


def test_create_posts_the_manifest_and_returns_what_was_made(cluster: Any, server: Any, answer: Any) -> None:
    made = {**JOB, "metadata": {"name": "stage-data-42-ada", "uid": "u1"}}
    server.says(answer(made, 201))

    assert cluster.create(JOB) == made
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", JOBS, JOB)
    assert asked.headers["Authorization"] == "Bearer s3cret-token"
    assert asked.headers["Content-Type"] == "application/json"


def test_a_dry_run_is_a_create_that_says_so(cluster: Any, server: Any, answer: Any) -> None:
    server.says(answer({"kind": "Lease"}, 201))

    cluster.create({"kind": "Lease", "metadata": {"name": "a"}}, dry_run=True)

    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/apis/coordination.k8s.io/v1/namespaces/lando%20jobs/leases")
    assert asked.query == {"dryRun": "All"}


@pytest.mark.parametrize(
    ("said", "may"), [({"status": {"allowed": True}}, True), ({"status": {"allowed": False}}, False), ({}, False)]
)
def test_a_review_asks_for_one_permission_in_the_namespace(
    cluster: Any, server: Any, answer: Any, said: Any, may: bool
) -> None:
    server.says(answer(said, 201))

    assert cluster.may(Permission("", "pods/log", "get")) is may

    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
    assert asked.body["spec"]["resourceAttributes"] == {
        "namespace": "lando jobs",
        "group": "",
        "resource": "pods",
        "subresource": "log",
        "verb": "get",
    }


def test_get_asks_for_one_object(cluster: Any, server: Any, answer: Any) -> None:
    server.says(answer({"kind": "ConfigMap"}))

    assert cluster.get("ConfigMap", "a/b") == {"kind": "ConfigMap"}
    assert server.asked[0].path == "/api/v1/namespaces/lando%20jobs/configmaps/a%2Fb"


def test_list_goes_through_all_pages_and_gives_items_their_kind(cluster: Any, server: Any, answer: Any) -> None:
    server.says(
        answer({"metadata": {"resourceVersion": "7", "continue": "t1"}, "items": [{"metadata": {"name": "a"}}]}),
        answer({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "b"}}]}),
    )

    jobs = cluster.list("Job", "bespin-job=true", "status.successful=1")

    assert [(job["kind"], job["apiVersion"], job["metadata"]["name"]) for job in jobs] == [
        ("Job", "batch/v1", "a"),
        ("Job", "batch/v1", "b"),
    ]
    assert [asked.query.get("continue") for asked in server.asked] == [None, "t1"]
    assert server.asked[1].query["labelSelector"] == "bespin-job=true"
    assert server.asked[1].query["fieldSelector"] == "status.successful=1"
    assert int(server.asked[1].query["limit"]) > 0


def test_list_begins_again_when_a_page_token_expired(cluster: Any, server: Any, answer: Any, status: Any) -> None:
    server.says(
        answer({"metadata": {"continue": "t1"}, "items": [{"metadata": {"name": "old"}}]}),
        status(410, "Expired"),
        answer({"metadata": {}, "items": [{"metadata": {"name": "new"}}]}),
    )

    assert [item["metadata"]["name"] for item in cluster.list("Pod")] == ["new"]


def test_list_does_not_begin_again_for_ever(cluster: Any, server: Any, status: Any) -> None:
    server.says(status(410, "Expired"))

    with pytest.raises(Expired):
        cluster.list("Pod")
    assert len(server.asked) == 3


def test_patch_is_a_json_merge_patch(cluster: Any, server: Any, answer: Any) -> None:
    server.says(answer(JOB))

    cluster.patch("Job", "a", {"metadata": {"annotations": {"x": None}}})
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("PATCH", JOBS + "/a")
    assert asked.headers["Content-Type"] == "application/merge-patch+json"
    assert asked.body == {"metadata": {"annotations": {"x": None}}}


def test_delete_goes_on_in_the_background_and_may_name_the_uid(cluster: Any, server: Any, answer: Any) -> None:
    server.says(answer({"kind": "Status", "status": "Success"}))

    cluster.delete("Job", "a")
    cluster.delete("Job", "a", uid="u1")

    first, second = (asked.body for asked in server.asked)
    assert first == {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    assert second == {**first, "preconditions": {"uid": "u1"}}


def test_one_connection_serves_many_calls(cluster: Any, server: Any, answer: Any, status: Any) -> None:
    server.says(answer({}), status(404, "NotFound"), answer({}))

    cluster.get("Job", "a")
    with pytest.raises(Exception, match="NotFound"):
        cluster.get("Job", "b")
    cluster.get("Job", "c")
    assert server.connections == 1


def test_calls_are_counted_by_verb_and_kind(server: Any, answer: Any) -> None:
    server.says(answer({"metadata": {}, "items": []}))
    calls: list[tuple[str, str]] = []
    settings = ClusterSettings(namespace="x", host=server.url, token="t")
    with KubernetesCluster(settings, on_call=lambda verb, kind: calls.append((verb, kind))) as cluster:
        cluster.list("Pod")
        cluster.delete("Job", "a")
    assert calls == [("list", "Pod"), ("delete", "Job")]


def test_a_log_keeps_its_end_and_replaces_invalid_bytes(cluster: Any, server: Any, answer: Any) -> None:
    server.says(answer(raw=b"begin" + b"x" * 3_000_000 + b"\xff end"))

    assert cluster.pod_log("p", "main", tail_lines=10, limit_bytes=6) == "x\N{REPLACEMENT CHARACTER} end"
    asked = server.asked[0]
    assert asked.path == "/api/v1/namespaces/lando%20jobs/pods/p/log"
    assert asked.query == {"container": "main", "tailLines": "10"}
    assert cluster.pod_log("p", "main", limit_bytes=0) == ""
    assert len(cluster.pod_log("p", "main")) == 3_000_010


def test_a_followed_log_comes_line_by_line_as_it_is_written(cluster: Any, server: Any, answer: Any) -> None:
    first_read = threading.Event()

    def write(send: Any) -> None:
        send(b"one\ntw")
        assert first_read.wait(10)
        send(b"o\nth\xffee")

    server.says(answer(more=write))
    lines = cluster.pod_log_lines("p", "main", follow=True)

    assert next(lines) == "one"
    first_read.set()
    assert list(lines) == ["two", "th\N{REPLACEMENT CHARACTER}ee"]
    assert server.asked[0].query == {"container": "main", "follow": "true"}


def test_a_log_so_far_comes_line_by_line_too_so_that_nobody_holds_the_whole(
    cluster: Any, server: Any, answer: Any
) -> None:
    server.says(answer(more=lambda send: send(b"one\n\ntwo")))
    assert list(cluster.pod_log_lines("p", "main", follow=False)) == ["one", "", "two"]
    assert server.asked[0].query == {"container": "main"}


def test_a_watch_gives_events_as_they_come(cluster: Any, server: Any, answer: Any) -> None:
    server.says(
        answer(
            more=lambda send: (
                send(b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n{"type":"BOOK'),
                send(b'MARK","object":{"metadata":{"resourceVersion":"9"}}}\n\n'),
            )
        )
    )

    events = list(cluster.watch("Job", "bespin-job=true", "7", timeout_s=30))

    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert server.asked[0].query == {
        "watch": "1",
        "resourceVersion": "7",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "30",
        "labelSelector": "bespin-job=true",
    }


def test_an_error_event_is_raised_as_what_it_means(cluster: Any, server: Any, answer: Any) -> None:
    event = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n'
    server.says(answer(raw=event))

    with pytest.raises(Expired, match="too old"):
        list(cluster.watch("Job", "", "1", timeout_s=5))


@pytest.mark.parametrize("line", [b'{"type":"ADDED","obj', b"[]\n", b'{"type":"ADDED","object":null}\n', b"\xff\n"])
def test_an_event_cut_short_breaks_the_watch(cluster: Any, server: Any, answer: Any, line: bytes) -> None:
    server.says(answer(raw=line))

    with pytest.raises(Unavailable, match="watch Job"):
        list(cluster.watch("Job", "", "1", timeout_s=5))


def test_an_event_without_end_is_not_gathered_for_ever(
    cluster: Any, server: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_streams, "MAX_LINE", 1000)
    server.says(answer(raw=b"x" * 100_000))

    with pytest.raises(Unavailable, match="a line of more than 1000 bytes"):
        list(cluster.watch("Job", "", "1", timeout_s=5))


def test_a_silent_watch_can_be_closed_from_another_thread(cluster: Any, server: Any, answer: Any) -> None:
    server.says(answer(more=lambda send: (send(b'{"type":"ADDED","object":{}}\n'), server.closing.wait(30))))
    watch = cluster.watch("Job", "", "1", timeout_s=60)
    events: list[Any] = []
    first = threading.Event()

    def read() -> None:
        for event in watch:
            events.append(event)
            first.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert first.wait(10)
    watch.close()
    reader.join(10)
    assert not reader.is_alive()
    assert len(events) == 1
    watch.close()  # again does no harm
    assert next(watch, None) is None


def test_a_silent_peer_is_given_up_after_the_read_time_out(
    cluster: Any, server: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_session, "READ_TIMEOUT_S", 0.05)
    server.says(answer(more=lambda send: server.closing.wait(30)))

    with pytest.raises(Unavailable, match="no answer in time"):
        cluster.get("Job", "a")


def test_an_answer_that_is_too_long_is_not_read(
    cluster: Any, server: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_session, "MAX_ANSWER", 1000)
    server.says(answer({"x": "y" * 2000}))

    with pytest.raises(Unavailable, match="more than 1000 bytes"):
        cluster.get("Job", "a")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (ClusterSettings(namespace="x"), "give host and token, or kubeconfig, or in_cluster"),
        (
            ClusterSettings(namespace="x", kubeconfig="/no/such/file"),
            "kubeconfig: /no/such/file: there is no such file",
        ),
        (ClusterSettings(namespace="x", kubeconfig="/"), "kubeconfig: /: Is a directory"),
        (ClusterSettings(namespace="x", kubeconfig=__file__), "test_calls.py: is no kubeconfig"),
        (ClusterSettings(namespace="x", in_cluster=True), "Service host/port is not set"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    settings: ClusterSettings, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match=said):
        KubernetesCluster(settings)


def test_unverified_tls_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    KubernetesCluster(ClusterSettings(namespace="x", host="https://c:6443", token="t", verify_ssl=False)).close()

    assert ["NOT verified" in record.message for record in caplog.records] == [True]


def test_the_token_is_in_no_text(cluster: Any, server: Any, status: Any, caplog: pytest.LogCaptureFixture) -> None:
    server.says(status(401, "Unauthorized"))

    with pytest.raises(Unavailable) as caught:
        cluster.get("Job", "a")
    assert "s3cret" not in f"{caught.value!r} {cluster!r} {caplog.text}"


def test_a_kubeconfig_gives_address_and_login(server: Any, answer: Any, tmp_path: Any) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        f"""
apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "{server.url}"}}}}]
users: [{{name: u, user: {{token: from-kubeconfig}}}}]
"""
    )
    server.says(answer({}))

    with KubernetesCluster(ClusterSettings(namespace="x", kubeconfig=str(path))) as cluster:
        cluster.get("Job", "a")
    assert server.asked[0].headers["Authorization"] == "Bearer from-kubeconfig"


def test_the_accounts_own_token_is_read_again_when_it_was_rotated(
    server: Any, answer: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes.config import incluster_config

    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    authority.write_text("some certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    with KubernetesCluster(ClusterSettings(namespace="x", in_cluster=True)) as cluster:
        assert cluster.session._login() == {"authorization": "bearer first"}
        token.write_text("second")
        hook = cluster.session._configuration.refresh_api_key_hook
        loader = next(cell.cell_contents for cell in hook.__closure__)
        loader.token_expires_at = loader.token_expires_at.replace(year=2000)
        assert cluster.session._login() == {"authorization": "bearer second"}


def test_a_token_that_was_rotated_in_its_file_is_read_again_when_it_is_refused(
    server: Any, answer: Any, status: Any, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("old-token")
    settings = ClusterSettings(namespace="n", host=server.url, token=FileSecret("old-token", str(file)))
    with KubernetesCluster(settings) as cluster:
        server.says(status(401, "Unauthorized"))
        with pytest.raises(Unavailable):
            cluster.get("Job", "j")
        assert len(server.asked) == 1, "the same token is not shown twice"

        file.write_text("new-token")
        server.says(status(401, "Unauthorized"), answer({"kind": "Job"}))
        cluster.get("Job", "j")
        cluster.get("Job", "j")
    shown = [asked.headers["Authorization"] for asked in server.asked[1:]]
    assert shown == ["Bearer old-token", "Bearer new-token", "Bearer new-token"]
    assert server.connections == 1
