"""Downloads: resumed, retried, bounded, and only to where they may go."""

from __future__ import annotations

import base64
import hashlib
import socket
from pathlib import Path

import pytest
from lando.errors import StepError
from lando.runs import Category
from lando.steps import addresses
from lando.steps.http_checksums import told
from lando.steps.http_download import ATTEMPTS, Downloader, Limits, Progress
from requests.structures import CaseInsensitiveDict
from tests.services.step_surroundings import Answer, Web

BODY = bytes(range(256)) * 64


class Client:
    """A downloader with a recording sleep."""

    def __init__(self, folder: Path, *, local: bool = True, max_bytes: int | None = None, timeout_s: float = 5) -> None:
        self.slept: list[float] = []
        self.lines: list[str] = []
        self.part = folder / "part"
        limits = Limits(
            schemes=frozenset({"http"}), allow_local_addresses=local, max_bytes=max_bytes, timeout_s=timeout_s
        )
        self.downloader = Downloader(limits, self.lines.append, self.slept.append)

    def fetch(self, url: str, size: int | None = None) -> tuple[int, str]:
        try:
            return self.downloader.fetch(url, self.part, size, Progress())
        finally:
            self.downloader.close()


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def test_a_download_gives_its_size_and_digest(client: Client, web: Web) -> None:
    web.serve(Answer(body=BODY))
    assert client.fetch(f"{web.url}/a") == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert client.part.read_bytes() == BODY


def test_a_broken_download_goes_on_where_it_broke_off(client: Client, web: Web) -> None:
    def answer(_path: str, headers: dict[str, str]) -> Answer:
        if "Range" not in headers:
            return Answer(body=BODY, headers={"ETag": '"v1"'}, send_only=5000)
        assert headers["If-Range"] == '"v1"'
        start = int(headers["Range"].removeprefix("bytes=").rstrip("-"))
        content_range = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
        return Answer(status=206, body=BODY[start:], headers={"Content-Range": content_range})

    web.answer = answer
    assert client.fetch(f"{web.url}/a") == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert client.part.read_bytes() == BODY
    assert [headers.get("Range") for _, headers in web.requests] == [None, "bytes=5000-"]


def test_a_file_that_changed_meanwhile_is_loaded_from_the_start(client: Client, web: Web) -> None:
    web.serve(
        Answer(body=b"x" * 9000, headers={"ETag": '"v1"'}, send_only=4000),
        Answer(body=BODY, headers={"ETag": '"v2"'}),
    )
    client.fetch(f"{web.url}/a")
    assert client.part.read_bytes() == BODY


def test_without_a_strong_validator_nothing_is_resumed(client: Client, web: Web) -> None:
    web.serve(Answer(body=BODY, headers={"ETag": 'W/"v1"'}, send_only=4000), Answer(body=BODY))
    client.fetch(f"{web.url}/a")
    assert "Range" not in web.requests[1][1]
    assert client.part.read_bytes() == BODY


def test_a_server_that_sends_another_part_than_asked_for_is_not_believed(client: Client, web: Web) -> None:
    web.serve(
        Answer(body=BODY, headers={"ETag": '"v1"'}, send_only=4000),
        Answer(status=206, body=BODY[100:], headers={"Content-Range": f"bytes 100-{len(BODY) - 1}/{len(BODY)}"}),
        Answer(body=BODY),
    )
    client.fetch(f"{web.url}/a")
    assert client.part.read_bytes() == BODY


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(client: Client, web: Web, status: int) -> None:
    web.serve(Answer(status=status), Answer(body=BODY))
    client.fetch(f"{web.url}/a")
    assert len(web.requests) == 2
    assert 0.5 <= client.slept[0] <= 1.5


def test_a_server_says_how_long_to_wait_within_limits(client: Client, web: Web) -> None:
    web.serve(
        Answer(status=503, headers={"Retry-After": "7"}),
        Answer(status=503, headers={"Retry-After": "99999"}),
        Answer(status=503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        Answer(body=BODY),
    )
    client.fetch(f"{web.url}/a")
    assert client.slept[:2] == [7.0, 120.0]
    assert client.slept[2] <= 6.0


def test_tries_end_and_the_sentence_says_how_many(client: Client, web: Web) -> None:
    web.serve(Answer(status=503))
    with pytest.raises(StepError) as failed:
        client.fetch(f"{web.url}/a?signature=geheim")
    assert len(web.requests) == ATTEMPTS
    assert failed.value.cause.category is Category.INFRASTRUCTURE
    assert f"after {ATTEMPTS} tries" in failed.value.cause.sentence
    assert "geheim" not in failed.value.cause.sentence + "".join(client.lines)


@pytest.mark.parametrize(
    ("status", "word"), [(404, "does not exist"), (403, "may not be read"), (410, "gone"), (418, "418")]
)
def test_an_answer_that_will_not_change_is_the_users_at_once(client: Client, web: Web, status: int, word: str) -> None:
    web.serve(Answer(status=status))
    with pytest.raises(StepError) as failed:
        client.fetch(f"{web.url}/reads.fq?expires=9&signature=geheim")
    assert len(web.requests) == 1
    assert failed.value.cause.category is Category.USER
    assert f"{web.url}/reads.fq" in failed.value.cause.sentence
    assert word in failed.value.cause.sentence
    assert "geheim" not in failed.value.cause.text()


def test_another_size_than_the_job_says_names_both(client: Client, web: Web) -> None:
    web.serve(Answer(body=BODY))
    with pytest.raises(StepError, match=rf"{len(BODY)} bytes long, but the job says 17 bytes"):
        client.fetch(f"{web.url}/a", size=17)


def test_a_size_of_zero_says_nothing(client: Client, web: Web) -> None:
    web.serve(Answer(body=BODY))
    assert client.fetch(f"{web.url}/a", size=0)[0] == len(BODY)


@pytest.mark.parametrize("headers", [{}, {"Content-Length": ""}])
def test_a_file_over_the_limit_is_refused_declared_or_not(tmp_path: Path, web: Web, headers: dict[str, str]) -> None:
    web.serve(Answer(body=BODY, headers=headers))
    with pytest.raises(StepError, match=r"larger .* than this installation stages \(1000 bytes\)"):
        Client(tmp_path, max_bytes=1000).fetch(f"{web.url}/a")


def test_a_packed_file_stays_packed(client: Client, web: Web) -> None:
    web.serve(Answer(body=b"\x1f\x8b not really", headers={"Content-Encoding": "gzip"}))
    client.fetch(f"{web.url}/reads.fq.gz")
    assert client.part.read_bytes() == b"\x1f\x8b not really"


def test_a_loopback_server_is_refused_before_it_sees_a_request(tmp_path: Path, web: Web) -> None:
    web.serve(Answer(body=BODY))
    with pytest.raises(StepError, match=r"leads to the address 127\.0\.0\.1, where staging does not go"):
        Client(tmp_path, local=False).fetch(f"{web.url}/a")
    assert web.requests == []


def test_a_redirect_is_judged_as_the_first_address_was(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "is_forbidden", lambda address: address == "127.0.0.2")
    port = web.url.rpartition(":")[2]
    web.serve(Answer(status=302, headers={"Location": f"http://127.0.0.2:{port}/secret"}))
    with pytest.raises(StepError, match=r"127\.0\.0\.2, where staging does not go"):
        Client(tmp_path, local=False).fetch(f"{web.url}/a")
    assert len(web.requests) == 1


def test_a_name_that_resolves_otherwise_the_second_time_is_still_refused(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "check_host", lambda _host, _port: None)
    with pytest.raises(StepError, match=r"leads to the address 127\.0\.0\.1"):
        Client(tmp_path, local=False).fetch(f"{web.url}/a")
    assert web.requests == []


def test_a_redirect_to_another_scheme_is_refused(client: Client, web: Web) -> None:
    web.serve(Answer(status=302, headers={"Location": "ftp://example.org/a"}))
    with pytest.raises(StepError, match=r"redirected to a scheme that is not allowed here \(http\)"):
        client.fetch(f"{web.url}/a")


def test_redirects_end(client: Client, web: Web) -> None:
    web.serve(Answer(status=302, headers={"Location": "/again"}))
    with pytest.raises(StepError, match="redirected more than 10 times"):
        client.fetch(f"{web.url}/a")


def test_no_password_of_the_home_folder_is_sent(
    client: Client, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password geheim\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    web.serve(Answer(body=BODY))
    client.fetch(f"{web.url}/a")
    assert "Authorization" not in web.requests[0][1]


def test_a_refused_connection_says_so(client: Client) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StepError, match=r"after 6 tries: 127\.0\.0\.1 refuses the connection"):
        client.fetch(f"http://127.0.0.1:{port}/a")
    assert len(client.slept) == ATTEMPTS - 1


def test_an_unknown_host_is_the_users_matter(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(StepError, match=r"the host name files\.example\.org can't be resolved") as failed:
        client.fetch("http://files.example.org/a")
    assert failed.value.cause.category is Category.USER


def test_pauses_grow_and_are_jittered(client: Client, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, _high: 1.0)
    web.serve(Answer(status=500))
    with pytest.raises(StepError):
        client.fetch(f"{web.url}/a")
    assert client.slept == [1, 2, 4, 8, 16]


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    client = Client(tmp_path, timeout_s=0.05)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,  # connects, never answers
        pytest.raises(StepError, match=r"after 6 tries: 127\.0\.0\.1 is silent") as failed,
    ):
        client.fetch(f"http://127.0.0.1:{listening.getsockname()[1]}/a")
    assert failed.value.cause.category is Category.INFRASTRUCTURE


def test_this_machines_own_server_is_reached_past_the_sites_proxy(
    client: Client, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    web.serve(Answer(body=BODY))
    assert client.fetch(f"{web.url}/a")[0] == len(BODY)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


MD5, SHA256 = hashlib.md5(b"abc"), hashlib.sha256(b"abc")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Content-MD5": base64_of(MD5.digest())}, ("md5", MD5.hexdigest())),
        ({"Repr-Digest": f"sha-256=:{base64_of(SHA256.digest())}:"}, ("sha256", SHA256.hexdigest())),
        (
            {"digest": f"MD5={base64_of(MD5.digest())},sha-256={base64_of(SHA256.digest())}"},
            ("sha256", SHA256.hexdigest()),
        ),
        ({"x-goog-hash": f"crc32c=NksztA==, md5={base64_of(MD5.digest())}"}, ("md5", MD5.hexdigest())),
        ({"x-goog-hash": "crc32c=NksztA=="}, ("crc32c", "364b33b4")),
        ({"x-goog-hash": "crc32c=NksztA==", "x-goog-stored-content-encoding": "gzip"}, None),
        ({"Content-MD5": "no base64!"}, None),
        ({"Content-MD5": "YWJj"}, None),
        ({"Repr-Digest": "unixsum=:YWJj:"}, None),
    ],
)
def test_the_strongest_checksum_that_a_server_says_is_taken(
    headers: dict[str, str], expected: tuple[str, str] | None
) -> None:
    assert told(CaseInsensitiveDict(headers)) == expected


def test_what_does_not_fit_the_servers_checksum_is_fetched_again(client: Client, web: Web) -> None:
    digest = {"Content-MD5": base64_of(MD5.digest())}
    web.serve(Answer(body=b"abd", headers=digest), Answer(body=b"abc", headers=digest))
    assert client.fetch(f"{web.url}/a") == (3, SHA256.hexdigest())
    assert "what came is damaged: its md5 is not what its server says" in client.lines[0]


def test_a_checksum_counts_for_all_parts_of_a_resumed_download(client: Client, web: Web) -> None:
    head = {"ETag": '"v1"', "Content-MD5": base64_of(hashlib.md5(BODY).digest())}
    rest = {"Content-Range": f"bytes 5000-{len(BODY) - 1}/{len(BODY)}", "Content-MD5": base64_of(MD5.digest())}
    web.serve(
        Answer(body=BODY, headers=head, send_only=5000),
        Answer(status=206, body=bytes(len(BODY) - 5000), headers=rest),
        Answer(body=BODY, headers=head),
    )
    assert client.fetch(f"{web.url}/a") == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert len(web.requests) == 3


def test_a_server_whose_files_never_fit_is_given_up(client: Client, web: Web) -> None:
    web.serve(Answer(body=b"abd", headers={"Content-MD5": base64_of(MD5.digest())}))
    with pytest.raises(StepError) as caught:
        client.fetch(f"{web.url}/a")
    assert "what came is damaged" in caught.value.cause.sentence
    assert len(web.requests) == ATTEMPTS
