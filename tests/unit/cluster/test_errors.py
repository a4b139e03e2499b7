"""Every way in which a call can fail has its place in our tree of errors."""

from __future__ import annotations

import inspect
import socket
import ssl
from http.client import HTTPException, RemoteDisconnected
from typing import Any, cast

import kubernetes.client.exceptions
import kubernetes.config
import pytest
import urllib3.exceptions
from lando.config import ClusterSettings
from lando.errors import (
    ConfigError,
    Conflict,
    Expired,
    LandoError,
    NotFound,
    QuotaExceeded,
    Rejected,
    Unavailable,
)
from lando.k8s import cluster_errors
from lando.k8s.cluster import KubernetesCluster

JOB: dict[str, Any] = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}}

NO_RIGHT = 'jobs.batch is forbidden: User "x" cannot create resource "jobs" in API group "batch" in the namespace "n"'
QUOTA = 'jobs.batch "a" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: 5, limited: 5'
ADMISSION = 'jobs.batch "a" is forbidden: violates PodSecurity "restricted:latest": privileged'
TERMINATING = 'jobs.batch "a" is forbidden: unable to create new content in namespace n because it is being terminated'


@pytest.mark.parametrize(
    ("code", "reason", "message", "expected"),
    [
        (400, "BadRequest", "", Rejected),
        (401, "Unauthorized", "", Unavailable),
        (403, "Forbidden", NO_RIGHT, Unavailable),
        (403, "Forbidden", QUOTA, QuotaExceeded),
        (403, "Forbidden", ADMISSION, Rejected),
        (403, "Forbidden", TERMINATING, Unavailable),
        (404, "NotFound", "", NotFound),
        (405, "MethodNotAllowed", "", Rejected),
        (408, "Timeout", "", Unavailable),
        (409, "AlreadyExists", "", Conflict),
        (409, "Conflict", "", Conflict),
        (410, "Expired", "", Expired),
        (410, "Gone", "", Expired),
        (412, "PreconditionFailed", "", Conflict),
        (413, "RequestEntityTooLarge", "", Rejected),
        (415, "UnsupportedMediaType", "", Rejected),
        (422, "Invalid", "", Rejected),
        (429, "TooManyRequests", "", Unavailable),
        (500, "InternalError", "", Unavailable),
        (500, "", "etcdserver: request is too large", Rejected),
        (500, "", "rpc error: trying to send message larger than max (3 vs. 2)", Rejected),
        (502, "", "", Unavailable),
        (503, "ServiceUnavailable", "", Unavailable),
        (504, "Timeout", "", Unavailable),
    ],
)
def test_a_status_means_the_same_on_every_call(
    cluster: Any, server: Any, status: Any, code: int, reason: str, message: str, expected: type[LandoError]
) -> None:
    server.says(status(code, reason, message))

    with pytest.raises(LandoError) as caught:
        cluster.create(JOB)
    assert type(caught.value) is expected
    assert str(caught.value).startswith("cluster: create Job a: ")
    if message:
        assert message in str(caught.value)


def test_a_missing_right_to_read_is_not_the_runs_fault(cluster: Any, server: Any, status: Any) -> None:
    server.says(status(403, "Forbidden", 'pods "a" is forbidden: something'))

    with pytest.raises(Unavailable):
        cluster.get("Pod", "a")


def test_a_namespace_that_is_not_there_is_not_the_objects_absence(cluster: Any, server: Any, status: Any) -> None:
    server.says(status(404, "NotFound", 'namespaces "n" not found', details={"name": "n", "kind": "namespaces"}))

    with pytest.raises(Unavailable, match='namespaces "n" not found'):
        cluster.create(JOB)


def test_a_collision_in_the_quotas_books_does_not_mean_that_the_object_exists(
    cluster: Any, server: Any, status: Any
) -> None:
    server.says(status(409, "Conflict", "try again", details={"name": "q", "kind": "resourcequotas"}))

    with pytest.raises(Unavailable):
        cluster.create(JOB)


@pytest.mark.parametrize("code", [200, 302, 401, 403, 404, 409, 410, 422, 502])
def test_whoever_does_not_speak_kubernetes_is_not_believed_nor_quoted(
    cluster: Any, server: Any, answer: Any, code: int
) -> None:
    server.says(answer(raw=b"<html>internal secret</html>", status=code, headers={"Location": "/login"}))

    with pytest.raises(Unavailable) as caught:
        cluster.get("Job", "a")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("header", "expected"), [("7", 7.0), ("soon", None), ("-1", None), ("inf", None)])
def test_retry_after_is_passed_on(cluster: Any, server: Any, status: Any, header: str, expected: float | None) -> None:
    server.says(status(429, "TooManyRequests", headers={"Retry-After": header}))

    with pytest.raises(Unavailable) as caught:
        cluster.get("Job", "a")
    assert caught.value.retry_after_s == expected


def test_seconds_to_wait_may_stand_in_the_status(cluster: Any, server: Any, status: Any) -> None:
    server.says(status(503, "ServiceUnavailable", details={"retryAfterSeconds": 3}))

    with pytest.raises(Unavailable) as caught:
        cluster.get("Job", "a")
    assert caught.value.retry_after_s == 3


def test_long_messages_are_cut(cluster: Any, server: Any, status: Any) -> None:
    server.says(status(422, "Invalid", "x" * 100_000))

    with pytest.raises(Rejected) as caught:
        cluster.create(JOB)
    assert len(str(caught.value)) < 2000
    assert "[…]" in str(caught.value)


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings = ClusterSettings(namespace="x", host=f"http://127.0.0.1:{unused.getsockname()[1]}", token="t")
        with KubernetesCluster(settings) as cluster, pytest.raises(Unavailable, match="Connection refused"):
            cluster.get("Job", "a")


def test_a_connection_closed_while_it_was_kept_is_opened_again_for_reading() -> None:
    replies = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b""]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        import threading

        def serve() -> None:
            for round_ in (replies, [replies[0]]):
                peer, _ = listener.accept()
                with peer:
                    for reply in round_:
                        peer.recv(65536)
                        peer.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        settings = ClusterSettings(namespace="x", host=f"http://127.0.0.1:{listener.getsockname()[1]}", token="t")
        with KubernetesCluster(settings) as cluster:
            assert cluster.get("Job", "a") == {}
            assert cluster.get("Job", "a") == {}  # the first connection ends without an answer
        thread.join(10)


def _instance(kind: type[BaseException]) -> BaseException:
    """Some instance of ``kind``, made without its constructor where that wants much."""
    try:
        return kind("words")
    except TypeError:
        made = type(kind.__name__, (kind,), {"__init__": BaseException.__init__, "__str__": BaseException.__str__})
        return cast(BaseException, made("words"))


LIBRARY_ERRORS = [
    kind
    for module in (urllib3.exceptions, kubernetes.client.exceptions)
    for kind in vars(module).values()
    if inspect.isclass(kind)
    and issubclass(kind, Exception)
    and not issubclass(kind, Warning)
    and kind.__module__ in (urllib3.exceptions.__name__, kubernetes.client.exceptions.__name__)
]


@pytest.mark.parametrize("kind", LIBRARY_ERRORS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_error_of_the_libraries_below_has_a_place(kind: type[Exception]) -> None:
    assert issubclass(kind, cluster_errors.TRANSPORT_ERRORS)
    error = _instance(kind)
    if isinstance(error, kubernetes.client.exceptions.ApiException):
        error.status, error.body = None, None
    assert isinstance(cluster_errors.from_exception(error, what="get Job a"), Unavailable | ConfigError)


@pytest.mark.parametrize(
    "error",
    [
        OSError("x"),
        TimeoutError("x"),
        ssl.SSLError("x"),
        HTTPException("x"),
        RemoteDisconnected("x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
        kubernetes.config.ConfigException("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_of_the_standard_library_below_has_a_place(error: Exception) -> None:
    assert isinstance(error, cluster_errors.TRANSPORT_ERRORS)
    assert isinstance(cluster_errors.from_exception(error, what="get Job a"), Unavailable | ConfigError)


def test_an_untrusted_certificate_says_what_to_set() -> None:
    error = urllib3.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")

    assert "ssl_ca_cert" in str(cluster_errors.from_exception(error, what="get Job a"))


def test_an_api_exception_with_a_status_is_judged_by_it() -> None:
    error = kubernetes.client.exceptions.ApiException(status=404, reason="Not Found")
    error.body = '{"kind": "Status", "code": 404, "reason": "NotFound", "message": "no"}'

    assert isinstance(cluster_errors.from_exception(error, what="get Job a"), NotFound)
