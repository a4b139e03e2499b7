"""Whatever a model holds, it is read or it is refused with reasons; what is generated sound is read as it was meant."""

from __future__ import annotations

import copy
import itertools
import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from lando.phases import documents
from lando.phases.files import Bundle, Folder
from lando.phases.graph import mermaid, svg
from lando.phases.model import Entry, JobFile, Model, Phase, Resource, Settings
from lando.phases.reading import read
from lando.runs import OnFailure
from tests.unit.phases.models import PATH, manifest

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,8}[A-Za-z0-9])?", fullmatch=True)


@st.composite
def sound_models(draw: st.DrawFn) -> tuple[Model, dict[str, str]]:
    """A model and the files that say it."""
    stem = draw(NAMES)
    names = (f"{number}{stem}" for number in itertools.count())
    files: dict[str, str] = {}
    phases = []
    for index in range(draw(st.integers(1, 3))):
        phase_name = next(names)
        entries: list[Entry] = []
        for _ in range(draw(st.integers(1, 6))):
            entries.append(draw(_entries(next(names), index, [one.name for one in entries], files)))
        phases.append(Phase(index=index, name=phase_name, entries=tuple(draw(st.permutations(entries)))))
    kinds = draw(st.lists(st.sampled_from(["ConfigMap", "Secret", "PersistentVolumeClaim"]), max_size=3))
    contents = [{"apiVersion": "v1", "kind": kind, "metadata": {"name": f"r{n}"}} for n, kind in enumerate(kinds)]
    resources = tuple(Resource(path=f"r/{number}.json", manifest=one) for number, one in enumerate(contents))
    files.update({one.path: json.dumps(one.manifest) for one in resources})
    chosen = Settings(
        cleanup=draw(st.booleans()),
        kubernetes_namespace=draw(st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)),
        ssl_insecure_warnings=draw(st.booleans()),
        refresh_time=draw(st.floats(0, 1000)),
        parallelization=draw(st.integers(0, 1000)),
        incluster=draw(st.none() | st.booleans()),
        on_failure=draw(st.sampled_from(OnFailure)),
        resources=("r",) if resources else (),
    )
    model = Model(path=PATH, settings=chosen, phases=tuple(phases), resources=resources)
    return model, files | {PATH: draw(st.sampled_from([json.dumps, yaml.safe_dump]))(written(model))}


@st.composite
def _entries(draw: st.DrawFn, name: str, phase: int, before: list[str], files: dict[str, str]) -> Entry:
    is_directory = draw(st.booleans())
    folder = f"phase {phase}/{name}"
    paths = [f"{folder}/{number}.json" for number in range(draw(st.integers(1, 3)) if is_directory else 1)]
    jobs = []
    for path in paths:
        content = manifest(f"job-{len(files)}")
        files[path] = json.dumps(content)
        jobs.append(JobFile(path=path, manifest=content, entry=name, phase=phase, exploded=is_directory))
    return Entry(
        name=name,
        job_path=folder if is_directory else paths[0],
        depends_on=tuple(draw(st.lists(st.sampled_from(before), unique=True, max_size=3)) if before else ()),
        retries=draw(st.integers(0, 5)),
        deadline_s=draw(st.none() | st.integers(1, 10_000)),
        jobs=tuple(jobs),
    )


def written(model: Model) -> dict[str, Any]:
    """What a model file would say."""
    phases = []
    for phase in model.phases:
        jobs = []
        for entry in phase.entries:
            job: dict[str, Any] = {"name": entry.name, "job_path": entry.job_path, "retries": entry.retries}
            job |= {"type": "directory"} if entry.jobs[0].exploded else {}
            job |= {"depends_on": list(entry.depends_on)} if entry.depends_on else {}
            job |= {"deadline": entry.deadline_s} if entry.deadline_s is not None else {}
            jobs.append(job)
        phases.append({"phase_name": phase.name, "jobs": jobs})
    config = {**vars(model.settings), "on_failure": model.settings.on_failure.value}
    return {"jobernetes_config": {**config, "resources": list(model.settings.resources)}, "jobernetes": phases}


@given(sound_models())
@settings(max_examples=40)
def test_a_sound_model_is_read_as_it_is_written_and_can_be_drawn(generated: tuple[Model, dict[str, str]]) -> None:
    model, files = generated

    read_back, findings = read(Bundle(files), PATH)

    assert [str(finding) for finding in findings] == []
    assert read_back == model
    assert svg(model)
    assert mermaid(model)


@given(st.text() | st.text("{}[]:-, \n\t&*!<>|'\"%@`#?ab1\x00\ufeff"), st.sampled_from([PATH, "m.json"]))
@settings(max_examples=200)
def test_any_text_is_a_model_or_gives_findings_that_name_the_file(text: str, path: str) -> None:
    _holds(Bundle({path: text}), path)


@given(st.binary(max_size=200))
def test_any_bytes_in_a_file_are_a_manifest_or_give_findings(tmp_path_factory: Any, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    model = {"jobernetes": [{"phase_name": "p", "jobs": [{"name": "e", "job_path": "bytes.yaml"}]}]}
    (folder / PATH).write_text(json.dumps(model))
    (folder / "bytes.yaml").write_bytes(content)

    _holds(Folder(folder), PATH)


ODD: list[Any] = [
    None,
    "",
    " ",
    "text",
    "a b",
    -1,
    0,
    1.5,
    10**30,
    True,
    [],
    [None],
    ["x"],
    {},
    {"x": None},
    "directory",
    "/",
    "..",
    "\x1b[31m",
    "x" * 300,
]


@given(sound_models(), st.data())
@settings(max_examples=60)
def test_any_change_of_a_sound_model_is_a_model_or_gives_findings(
    generated: tuple[Model, dict[str, str]], data: st.DataObject
) -> None:
    _, files = generated
    for path in data.draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=3), label="files"):
        files[path] = json.dumps(_mutated(yaml.safe_load(files[path]), data))

    _holds(Bundle(files), PATH)


def _mutated(document: Any, data: st.DataObject) -> Any:
    """``document`` with one part replaced, left out, or put elsewhere as well."""
    document = copy.deepcopy(document)
    places = list(_places(document))
    if not places:
        return data.draw(st.sampled_from(ODD))
    holder, key = data.draw(st.sampled_from(places), label="place")
    kind = data.draw(st.sampled_from(["replace", "remove", "copy"]), label="kind")
    if kind == "replace":
        holder[key] = data.draw(st.sampled_from(ODD), label="by")
    elif kind == "remove":
        del holder[key]
    else:
        other, place = data.draw(st.sampled_from(places), label="to")
        other[place] = copy.deepcopy(holder[key])
    return document


def _places(node: Any) -> Any:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield node, key
        yield from _places(value)


def _holds(files: Any, path: str) -> None:
    """A model without errors, or errors; each finding is one line that names a file."""
    model, findings = read(files, path)

    assert (model is None) == any(finding.is_error for finding in findings)
    for finding in findings:
        assert finding.file
        assert finding.reason.endswith((".", "?"))
        assert str(finding).isprintable(), str(finding)
        assert finding.line is None or finding.line >= 1
    lines = [finding.line or 0 for finding in findings if finding.file == path and "left out" not in finding.reason]
    assert lines == sorted(lines)
    assert len({str(finding) for finding in findings}) == len(findings)
    if model is not None:
        assert len({job.name for job in model.jobs()}) == sum(1 for _ in model.jobs())
        json.dumps([dict(job.manifest) for job in model.jobs()], allow_nan=False).encode()
        assert svg(model)


def test_a_model_that_grows_without_bounds_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_SIZE", 2**14)
    text = "b: &b 1\nc: &a [" + "*b," * 2000 + "]"

    model, findings = read(Bundle({PATH: text}), PATH)

    assert model is None
    assert [str(one) for one in findings] == [
        f"{PATH}:2: holds more than 0.015625 MiB when what * names is put in its place."
    ]
