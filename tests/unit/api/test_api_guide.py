"""The guide to the API: each of its commands does what the page says, in the order of the page."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lando.api import routes_page
from tests.unit.api.serving import PACKED, Api

MODEL = "{phase_name: load, jobs: [{name: fetch, job_path: fetch.yaml}, {name: merge, job_path: merge.yaml}]}"
POD = "{spec: {restartPolicy: Never, containers: [{name: main, image: busybox}]}}"
BUNDLE = {
    "jobermodel.yaml": f"jobernetes: [{MODEL}]",
    **{
        f"{name}.yaml": f"{{apiVersion: batch/v1, kind: Job, metadata: {{name: {name}}}, spec: {{template: {POD}}}}}"
        for name in ("fetch", "merge")
    },
}
STAFFS = ("For staff", "Hand in a phased run")
DOCS = Path(__file__).parents[3] / "docs"
FILES: dict[str, bytes] = {
    "workflow.json": json.dumps({"name": "Count reads", "packed": PACKED}).encode(),
    "public-workflow.json": json.dumps({"name": "Exome", "packed": PACKED, "public": True, "tag": "exome"}).encode(),
    "bundle.json": json.dumps({"kind": "phases", "name": "nightly", "files": BUNDLE}).encode(),
    "a.fastq": b"@read",
}


def blocks() -> Iterator[tuple[str, str, str]]:
    """Heading, language and text of each block of code."""
    heading = ""
    for part in re.finditer(
        r"^## ([^\n]*)$|^```(\w+)\n(.*?)^```$", (DOCS / "api.md").read_text(), re.MULTILINE | re.DOTALL
    ):
        heading = part[1] or heading
        if part[2]:
            yield heading, part[2], part[3]


def commands(block: str) -> Iterator[tuple[str | None, list[str], int]]:
    """The variable that takes a command's answer, its words, and the status it says in a comment (else 200)."""
    for line in re.sub(r"( \\)?\n  +", " ", block).splitlines():
        command, _, comment = line.partition("  # ")
        expected = re.search(r"\b[45]\d\d\b", comment)
        if taken := re.fullmatch(r"(\w+)=\$\((api .*) \| jq -r (\.\w+)\)", command):
            yield taken[1], [*shlex.split(taken[2]), taken[3]], 200
        elif command.startswith("api "):
            yield None, shlex.split(command), int(expected[0]) if expected else 200


def call(api: Api, user: str, words: list[str]) -> Any:
    method, content = "GET", None
    headers: dict[str, str] = {}
    options = iter(words[2:])
    for option in options:
        value = next(options)
        if option == "-X":
            method = value
            continue
        if option == "-H":
            name, _, text = value.partition(": ")
            headers[name] = text
            continue
        assert option in ("--json", "--data-binary", "-d"), option
        content = FILES[value[1:]] if value.startswith("@") else value.encode()
        headers |= {"Content-Type": "application/json"} if option == "--json" else {}
        method = "POST" if method == "GET" else method
    return api.call(method, words[1], user=user, content=content, headers=headers)


def test_each_command_of_the_guide_answers_as_the_page_shows(api: Api) -> None:
    variables: dict[str, str] = {}
    answer: Any = None
    asked = 0
    for heading, language, text in blocks():
        if language == "json":
            shown, given = json.loads(text), answer.json()
            assert shown == (given if isinstance(given, list) else {key: given[key] for key in shown}), text
            continue
        for variable, command, status in commands(text):
            words = [re.sub(r"\$(\w+)", lambda name: variables[name[1]], word) for word in command]
            key = words.pop()[1:] if variable else ""
            answer = call(api, "operator" if heading in STAFFS else "ada", words)
            assert answer.status_code == status or (status == 200 and answer.is_success), (words, answer.text)
            asked += 1
            if variable:
                variables[variable] = str(answer.json()[key])
    assert asked > 20


def test_the_page_of_routes_is_what_the_code_says() -> None:
    written = (DOCS / "routes.md").read_text(encoding="utf-8").splitlines()
    assert written == list(routes_page.page()), "renew it: python -m lando.api.routes_page > docs/routes.md"
