"""What a program may do with the library of job definitions, written once for k8s_jobs and for ours.

A case is a function that is given the library and returns what came of it, as JSON has it. As a program of its own,
``python -I definition_cases.py PREFIX FOLDER…``, it runs them by the package of that name, with the releases of others
that are in the folders: one ``[case, arguments]`` a line of standard input, one outcome a line of standard output.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

MODULES = ("config", "exceptions", "file_reloader", "manager", "spec")
A_DEFINITION = "- {name: a, spec: 'v: {{ x }}'}"
CASES: dict[str, Callable[..., Any]] = {}
WAIT_S = 60.0
DELETION_TIME = "job_deletion_time_unix_sec"


class Library:
    """One of the two, by the prefix that stands in an import."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.client: Any = importlib.import_module("kubernetes.client")
        for module in MODULES:
            setattr(self, module, importlib.import_module(f"{prefix}.{module}"))

    def __getattr__(self, name: str) -> Any:  # for the type checker: the modules
        raise AttributeError(name)

    def call(self, case: str, arguments: list[Any]) -> dict[str, Any]:
        """The outcome of one case."""
        with tempfile.TemporaryDirectory() as folder, outcomes_alone():
            surroundings = SimpleNamespace(folder=Path(folder))
            return outcome(lambda: CASES[case](self, surroundings, *arguments))


@contextmanager
def outcomes_alone() -> Iterator[None]:
    """No case may write among the outcomes."""
    before, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = before


def case(function: Callable[..., Any]) -> Callable[..., Any]:
    CASES[function.__name__] = function
    return function


def outcome(work: Callable[[], Any]) -> dict[str, Any]:
    """What ``work`` gave; or raised, by the names of the exception and of all that it is, and its words."""
    try:
        return {"gave": shown(work())}
    except Exception as error:  # noqa: BLE001 - that is the outcome
        kinds = [kind.__name__ for kind in type(error).__mro__ if kind not in (object, BaseException, Exception)]
        return {"raised": kinds or [type(error).__name__], "says": masked(str(error))}


def masked(text: str) -> str:
    """Without what is random in names."""
    return re.sub(r"-HEX-[a-z0-9]{5}\b", "-HEX-POD", re.sub(r"-[0-9a-f]{24}\b", "-HEX", text))


def shown(value: Any) -> Any:
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}={value.value}"
    if isinstance(value, dict):
        return {masked(str(key)): shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    if isinstance(value, float | date):
        return repr(value)
    if isinstance(value, bool | int | type(None)):
        return value
    return masked(str(value)) if isinstance(value, str) else type(value).__name__


# Names and signatures


@case
def names(library: Any, _: Any, module: str, own: bool) -> Any:
    """The public classes and functions that the module has, or defines itself, with all their public members."""
    there = getattr(library, module)
    found = {}
    for name, value in vars(there).items():
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if value.__module__ == there.__name__ or (not own and value.__module__.startswith(library.prefix + ".")):
            found[name] = members(value)
    return found


def members(value: Any) -> Any:
    if not inspect.isclass(value):
        return {"()": signature(value)}
    constructor = {} if inspect.isabstract(value) or issubclass(value, Exception) else {"()": signature(value)}
    found: dict[str, Any] = {**constructor}
    for name in dir(value):
        if name.startswith("_") or hasattr(Exception, name):
            continue
        static = inspect.getattr_static(value, name)
        if inspect.isclass(static) and issubclass(static, Enum):
            found[name] = {one.name: one.value for one in static}
        elif isinstance(static, property):
            found[name] = "property"
        elif callable(getattr(value, name)) and hasattr(getattr(value, name), "__code__"):
            found[name] = signature(getattr(value, name))
        else:
            found[name] = shown(static) if isinstance(static, str | int) else "attribute"
    return found


def signature(function: Any) -> Any:
    parameters = inspect.signature(function).parameters.values()
    return [
        [one.name, one.kind.name, "required" if one.default is inspect.Parameter.empty else repr(one.default)]
        for one in parameters
    ]


# Templates and manifests


@case
def rendered(library: Any, _: Any, template: str, arguments: Any) -> Any:
    return library.spec.YamlStringSpecSource(template).get(arguments)


@case
def variables(library: Any, _: Any, template: str) -> Any:
    return sorted(library.spec.YamlStringSpecSource(template).template_vars())


@case
def generated(library: Any, _: Any, template: str) -> Any:
    """A name, and whether another call gives another one."""
    generator = library.spec.JobGenerator(library.spec.YamlStringSpecSource(template))
    first, second = (generator.generate()["metadata"]["name"] for _ in range(2))
    return [masked(first), len(first), first != second]


@case
def generated_v1job(library: Any, _: Any, name: str) -> Any:
    client = library.client
    config = client.V1Job(metadata=client.V1ObjectMeta(name=name))
    source = library.spec.StaticSpecSource(config)
    made = library.spec.JobGenerator(source).generate({"surplus": 1})
    return [type(made).__name__, made.metadata.name, config.metadata.name, source.template_vars()]


@case
def static_source(library: Any, _: Any) -> Any:
    """The caller may change what it is given."""
    source = library.spec.StaticSpecSource({"metadata": {"name": "a", "labels": {"b": "c"}}})
    source.get()["metadata"]["labels"]["b"] = "changed"
    return [source.get({"x": 1}), source.config]


@case
def file_source(library: Any, here: Any) -> Any:
    """Read again when the file is another: newer, renamed or swapped as a mounted ConfigMap is."""
    path, new, data = here.folder / "template", here.folder / "new", here.folder / "..data"
    path.write_text("a: {{ x | default(1) }}")
    touched(path, 1000)
    source = library.spec.YamlFileSpecSource(str(path))
    seen = [source.get(), source.get({"x": 2}), source.template_vars()]
    new.write_text("a: {{ y | default(1) }}")
    touched(new, 2000)
    new.rename(path)
    seen += [source.get({"y": 3}), source.template_vars()]
    for version in (1, 2):
        folder = here.folder / f"version{version}"
        folder.mkdir()
        (folder / "template").write_text(f"b: {version}")
        touched(folder / "template", 1000 * version)
    data.symlink_to("version1")
    source = library.spec.YamlFileSpecSource(str(data / "template"))
    seen.append(source.get())
    swapped = here.folder / "..tmp"
    swapped.symlink_to("version2")
    swapped.rename(data)
    return [*seen, source.get()]


def touched(path: Path, at: int) -> None:
    os.utime(path, (at, at))


# Signing


@case
def signed(library: Any, _: Any, job: Any, definition: str | None) -> Any:
    answer = library.manager.JobSigner("ours").sign(job, definition)
    return [answer, job]


@case
def signed_v1job(library: Any, _: Any, labels: Any, definition: str | None) -> Any:
    client = library.client
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(name="pod"))
    spec = client.V1JobSpec(template=template)
    job = client.V1Job(metadata=client.V1ObjectMeta(name="a", labels=labels), spec=spec)
    library.manager.JobSigner("ours").sign(job, definition)
    return [job.metadata.labels, job.spec.template.metadata.labels]


@case
def selector(library: Any, _: Any, definition: Any, extra: Any) -> Any:
    return library.manager.JobSigner("etl").label_selector(definition, **extra)


# Reloading


@case
def reloader_protocol(library: Any, here: Any) -> Any:
    path = here.folder / "file"
    reloader = library.file_reloader.FileReloader(str(path))
    seen: list[Any] = [next(reloader.maybe_reload(), "missing")]
    path.write_text("one")
    touched(path, 1000)
    ran: list[str] = []
    first, second = reloader.maybe_reload(), reloader.maybe_reload()
    seen += [next(first).read(), next(second).read(), str(reloader.path) == str(path)]
    seen += [first.send(lambda: ran.append("first")), second.send(lambda: ran.append("second")), list(ran)]
    seen += [next(first, "end"), next(reloader.maybe_reload(), "unchanged")]
    path.write_text("two")
    touched(path, 2000)
    unsent = reloader.maybe_reload()
    seen.append(next(unsent).read())
    unsent.close()
    update = reloader.maybe_reload()
    seen += [next(update).read(), update.send(None), next(reloader.maybe_reload(), "unchanged")]
    path.write_text("three")
    touched(path, 3000)
    failing = reloader.maybe_reload()
    next(failing)
    seen.append(outcome(lambda: failing.send(lambda: 1 / 0))["raised"])
    seen.append(len(list(reloader.maybe_reload())))
    return seen


@case
def reloader_when(library: Any, here: Any, change: str) -> Any:
    """Whether a change of the file is one."""
    path = here.folder / "file"
    path.write_text("old")
    touched(path, 2000)
    reloader = library.file_reloader.FileReloader(str(path))
    update = reloader.maybe_reload()
    next(update)
    update.send(None)
    update.close()
    path.write_text("longer" if change == "size" else "new")
    touched(path, {"newer": 3000, "older": 1000}.get(change, 2000))
    return next(reloader.maybe_reload(), None) is not None


@case
def register(library: Any, here: Any, first: Any, second: Any, asked: str) -> Any:
    """What a register gives for a file, and when that has changed; None is no file."""
    path = here.folder / "definitions.yaml"

    def hold(text: str | None, version: int) -> None:
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text)
            touched(path, 1000 * version)

    hold(first, 1)
    made = library.config.JobManagerFactory.from_vars("ours", "default", str(path)).register
    before = outcome(lambda: made.get_generator(asked).spec_source.get({"x": 1}))
    hold(second, 2)
    names = outcome(lambda: sorted(made.generators))
    return [before, names, outcome(lambda: made.get_generator(asked).spec_source.get({"x": 1}))]


@case
def static_register(library: Any, _: Any, known: bool) -> Any:
    generator = library.spec.JobGenerator(library.spec.StaticSpecSource({}))
    generators = {"known": generator} if known else None
    made = library.manager.StaticJobDefinitionsRegister(generators)
    found = outcome(lambda: made.get_generator("known") is generator)
    try:
        made.get_generator("unknown")
    except library.exceptions.NotFoundException as error:
        return [found, len(made.job_generators), type(error.args[0]).__name__, str(error)]
    return None


@case
def unknown_definition(library: Any, here: Any) -> Any:
    """The cause is the exception's argument."""
    path = here.folder / "definitions.yaml"
    path.write_text("[]")
    made = library.config.JobManagerFactory.from_vars("ours", "default", str(path)).register
    try:
        made.get_generator("unknown")
    except library.manager.NotFoundException as error:
        return isinstance(error.args[0], KeyError)
    return None


@case
def source_of(library: Any, here: Any, given: Any) -> Any:
    """Which of several places a definition's manifest comes from."""
    (here.folder / "there").write_text("a: 1")
    if "spec_path" in given:
        given = {**given, "spec_path": given["spec_path"] and str(here.folder / given["spec_path"])}
    definition = library.config.JobDefinition(**given)
    source = definition.spec_source()
    return [type(source).__name__, getattr(source, "name", None), getattr(source, "namespace", None)]


@case
def definition_in_order(library: Any, _: Any) -> Any:
    made = library.config.JobDefinition("name", "spec", "path", "map", "namespace")
    same = library.config.JobDefinition("name", "spec", "path", "map", "namespace")
    values = [made.name, made.spec, made.spec_path, made.spec_config_map_name, made.spec_config_map_namespace]
    return [values, made == same, library.config.JobDefinition("a").spec]


@case
def own_classes(library: Any, here: Any, cluster: dict[str, str]) -> Any:
    """A source, a register, a reloader and a manager of the user's own in the places of the library's."""

    class Source(library.spec.JobSpecSource):  # type: ignore[misc]
        def get(self, template_args: Any = None) -> Any:
            return {"metadata": {"name": "own"}, "args": template_args}

    class Register(library.manager.JobDefinitionsRegister):  # type: ignore[misc]
        def get_generator(self, job_definition_name: str) -> Any:
            if job_definition_name == "mine":
                return library.spec.JobGenerator(Source())
            raise library.exceptions.NotFoundException(job_definition_name)

    class Reloader:
        texts = iter([A_DEFINITION, A_DEFINITION.replace("v:", "w:")])

        def maybe_reload(self) -> Any:
            text = next(self.texts, None)
            if text is not None:
                update = yield io.StringIO(text)
                update()
                yield None

    class Manager:
        namespace = cluster["namespace"]

        def __init__(self) -> None:
            self.deleted: list[str] = []

        def fetch_jobs(self) -> Any:
            return iter(real.list_jobs())

        def job_is_finished(self, job: Any) -> bool:
            return real.job_is_finished(job)

        def delete_job(self, job: Any) -> None:
            self.deleted.append(masked(job.metadata.name))

    generator = Register().get_generator("mine")
    made = generator.generate({"x": 1})
    seen = [masked(made["metadata"]["name"]), made["args"], outcome(generator.template_vars)]
    own = library.manager.JobManager("default", library.manager.JobSigner("ours"), Register())
    seen.append(outcome(lambda: own.create_job("other")))
    reloading = library.config.ReloadingJobDefinitionsRegister(Reloader())
    for _ in range(2):
        seen.append(reloading.get_generator("a").spec_source.get({"x": 1}))
    with configured(library, cluster):
        real = managers(library, here, cluster)
        done = real.create_job("hello", SAYING)
        real.create_job("hello", LASTING)
        wait_for(lambda: real.job_is_finished(done))
        mine = Manager()
        library.manager.JobDeleter(mine).mark_and_delete_old_jobs(retention_period_sec=0)
        library.manager.JobDeleter(mine).cleanup_jobs()
    return [*seen, sorted(set(mine.deleted))]


# Factories


@case
def factory(library: Any, here: Any, missing: str | None) -> Any:
    cls = library.config.JobManagerFactory
    path = here.folder / "definitions.yaml"
    path.write_text("- {name: a, spec: 'b: 1'}")
    surroundings = {
        cls.JOB_SIGNATURE_ENV_VAR: "signature",
        cls.JOB_NAMESPACE_ENV_VAR: "namespace",
        cls.JOB_DEFINITIONS_CONFIG_PATH_ENV_VAR: str(path),
    }
    if missing is not None:
        del surroundings[missing]
    before = dict(os.environ)
    os.environ.update(surroundings)
    try:
        made = [cls.from_env()]
    finally:
        os.environ.clear()
        os.environ.update(before)
    made += [
        cls.from_vars("signature", "namespace", str(path)),
        cls.from_vars(signature="signature", namespace="namespace", job_definitions_file_path=str(path)),
        cls("namespace", "signature", made[0].register),
    ]
    managers = [(one.manager(), one.manager()) for one in made]
    return [
        [
            [one.namespace, one.signature, one.register is first.register],
            [first.namespace, first.signer.signature, first is second, sorted(first.register.generators)],
        ]
        for one, (first, second) in zip(made, managers, strict=True)
    ]


# Exceptions


@case
def remapped(library: Any, _: Any, by_type: bool, by_predicate: bool, raised: str) -> Any:
    exceptions = library.exceptions
    kinds = {"KeyError": KeyError, "LookupError": LookupError, "ValueError": ValueError}
    matchers = [(lambda e: isinstance(e, LookupError), RuntimeError), (lambda e: True, OSError)]

    @exceptions.remaps_exception(
        {LookupError: exceptions.NotFoundException, KeyError: TypeError} if by_type else None,
        matchers if by_predicate else None,
    )
    def failing(kind: str, *, word: str = "word") -> str:
        """Its words."""
        if kind in kinds:
            raise kinds[kind](word)
        return word

    return [failing.__name__, failing.__doc__, outcome(lambda: failing(raised, word="other"))["raised"]]


@case
def cause_of_remapped(library: Any, _: Any) -> Any:
    cause = KeyError("x")

    @library.exceptions.remaps_exception(exc_map={KeyError: library.exceptions.NotFoundException})
    def failing() -> None:
        raise cause

    try:
        failing()
    except library.exceptions.NotFoundException as error:
        return [error.args[0] is cause, str(error)]
    return None


@case
def not_found_exceptions(library: Any, _: Any) -> Any:
    rest = importlib.import_module("kubernetes.client.rest")
    raised = [rest.ApiException(status=404), rest.ApiException(status=410), KeyError(404), Exception("404")]
    return [library.manager.is_kubernetes_not_found_exception(one) for one in raised]


# A cluster


@case
def client_version(library: Any, _: Any) -> Any:
    return importlib.import_module("kubernetes").__version__


HELLO = """
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ name }}
  labels: {team: a}
spec:
  backoffLimit: 0
  parallelism: {{ workers | default(1) }}
  suspend: {{ suspend | default(false) }}
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: main, image: "busybox:1", command: {{ command }}}
        - {name: other, image: "busybox:1", command: [sh, -c, "printf 'no end of line'"]}
"""
ODD = """
apiVersion: batch/v1
kind: Job
metadata: {name: odd}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      initContainers: [{name: before, image: "busybox:1", command: [echo, ready]}]
      containers: [{name: main, image: "busybox:1", command: [printf, '{"a": true}']}]
"""
DEFINITIONS = [
    {"name": "odd", "spec": ODD},
    {"name": "hello", "spec": HELLO},
    {"name": "other", "spec": HELLO},
    {"name": "mapped", "spec_config_map_name": "mapped", "spec_config_map_namespace": "NAMESPACE"},
    {"name": "invalid", "spec": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: invalid}\nspec: {}"},
]
SAYING = {"name": "hello", "command": ["sh", "-c", "for i in 1 2 3; do echo line $i; done"]}
FAILING = {"name": "failing", "command": ["sh", "-c", "echo no luck; exit 3"]}
LASTING = {"name": "lasting", "command": ["sleep", "600"]}


@contextmanager
def configured(library: Any, cluster: dict[str, str]) -> Iterator[None]:
    """The process-wide configuration of the client, as a program loads it before it uses the library."""
    client = library.client
    configuration = client.Configuration()
    configuration.host, configuration.ssl_ca_cert = cluster["url"], cluster["ca"]
    configuration.api_key["authorization"] = cluster["authorization"]
    before = getattr(client.Configuration, "_default", None)
    client.Configuration.set_default(configuration)
    try:
        yield
    finally:
        client.Configuration._default = before


def managers(library: Any, here: Any, cluster: dict[str, str], signature: str = "ours") -> Any:
    path = here.folder / "definitions.yaml"
    path.write_text(json.dumps(DEFINITIONS).replace("NAMESPACE", cluster["namespace"]))
    return library.config.JobManagerFactory.from_vars(signature, cluster["namespace"], str(path)).manager()


def wait_for(condition: Callable[[], Any]) -> Any:
    until = time.monotonic() + WAIT_S
    while not (found := condition()):
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.02)
    return found


def names_of(jobs: Any) -> list[str]:
    return sorted(masked(job.metadata.name) for job in jobs)


@case
def configuration_loaded_later(library: Any, here: Any, cluster: dict[str, str]) -> Any:
    manager = managers(library, here, cluster)
    with configured(library, cluster):
        return [manager.list_jobs(), manager.create_job("hello", SAYING)]


@case
def life_of_a_job(library: Any, here: Any, cluster: dict[str, str]) -> Any:
    with configured(library, cluster):
        manager = managers(library, here, cluster)
        given: list[Any] = []

        def hook(job: Any) -> None:
            given.append([type(job).__name__, sorted(job), job["metadata"]["labels"], job["metadata"]["name"]])
            job["metadata"].setdefault("annotations", {})["owner"] = "ops"

        done = manager.create_job("hello", SAYING, pre_create=hook)
        failed = manager.create_job("hello", FAILING)
        odd = manager.create_job("odd")
        lasting = manager.create_job("other", LASTING)
        wait_for(lambda: all(map(manager.job_is_finished, (done, failed, odd))))
        others = managers(library, here, cluster, "theirs")
        read = manager.read_job(done)
        wait_for(lambda: manager.read_job(lasting).status.active)
        seen: dict[str, Any] = {
            "given": given,
            "names": [done, failed, lasting],
            "kind": type(read).__name__,
            "labels": read.metadata.labels,
            "owner": (read.metadata.annotations or {}).get("owner"),
            "pod labels": sorted(
                key for key in (read.spec.template.metadata.labels or {}) if not key.startswith("batch.")
            ),
            "times": [read.status.start_time.tzinfo is not None, read.status.completion_time.utcoffset().seconds],
            "counts": [read.status.succeeded, read.status.failed],
            "keys": "completion_time" in read.status.to_dict(),
            "status": [manager.job_status(one) for one in (done, failed, lasting, read)],
            "finished": [manager.job_is_finished(one) for one in (done, failed, lasting, read)],
            "logs": manager.job_logs(done),
            "one line": manager.job_logs(done, limit=1),
            "two by position": manager.job_logs(done, 2),
            "all": kinds(outcome(lambda: manager.job_logs(failed, limit=None))),
            "all jobs": names_of(manager.list_jobs()),
            "of one definition": names_of(manager.list_jobs(job_definition_name="other")),
            "fetched": names_of(manager.fetch_jobs("hello")),
            "lazily": hasattr(manager.fetch_jobs(), "__next__"),
            "by label": names_of(manager.list_jobs(team="a")),
            "by another": names_of(manager.fetch_jobs(team="b")),
            "list of another signature": names_of(others.list_jobs()),
            "read by another signature": kinds(outcome(lambda: others.read_job(done))),
            "logs by another signature": kinds(outcome(lambda: others.job_logs(done, limit=1))),
            "deleted by another signature": kinds(outcome(lambda: others.delete_job(others.read_job(failed)))),
            "init containers and JSON": manager.job_logs(odd),
            "deleted": manager.delete_job(read),
        }

        def is_gone() -> bool:
            with suppress(library.exceptions.NotFoundException):
                manager.read_job(done)
                return False
            return True

        wait_for(is_gone)
        if "gave" in seen["deleted by another signature"]:
            wait_for(lambda: failed not in [job.metadata.name for job in manager.list_jobs()])
        seen["left"] = names_of(manager.list_jobs())
        for name, ask in {
            "read": lambda: manager.read_job(done),
            "delete": lambda: manager.delete_job(read),
            "status": lambda: manager.job_status(done),
            "finished": lambda: manager.job_is_finished(done),
            "logs": lambda: manager.job_logs(done),
        }.items():
            seen[f"{name} of what is gone"] = kinds(outcome(ask))
        return seen


def kinds(found: dict[str, Any]) -> Any:
    """An outcome without the cluster's words."""
    return found | {"says": ""} if "raised" in found else found


@case
def refused(library: Any, here: Any, cluster: dict[str, str]) -> Any:
    """What is refused makes nothing."""

    def veto(job: Any) -> None:
        raise ZeroDivisionError("no")

    with configured(library, cluster):
        manager = managers(library, here, cluster)
        return [
            outcome(lambda: manager.create_job("hello", SAYING, pre_create=veto)),
            outcome(lambda: manager.create_job("hello", {"name": "a"})),
            kinds(outcome(lambda: manager.create_job("unknown", {}))),
            kinds(outcome(lambda: manager.create_job("invalid"))),
            kinds(outcome(lambda: manager.read_job("unknown"))),
            manager.list_jobs(),
        ]


@case
def created_from_an_object(library: Any, _: Any, cluster: dict[str, str]) -> Any:
    """A V1Job of the user's own, without labels and with a quantity that is a number."""
    client = library.client
    container = client.V1Container(
        name="main", image="busybox:1", command=["true"], resources={"requests": {"cpu": "1m", "memory": "1Mi"}}
    )
    pod = client.V1PodTemplateSpec(spec=client.V1PodSpec(restart_policy="Never", containers=[container]))
    job = client.V1Job(
        api_version="batch/v1",
        kind="Job",
        metadata=client.V1ObjectMeta(name="object", annotations={"kept": "yes"}),
        spec=client.V1JobSpec(template=pod, backoff_limit=0),
    )
    generator = library.spec.JobGenerator(library.spec.StaticSpecSource(job))
    register = library.manager.StaticJobDefinitionsRegister({"mine": generator})
    manager = library.manager.JobManager(cluster["namespace"], library.manager.JobSigner("ours"), register)
    given: list[str] = []

    def hook(made: Any) -> None:
        given.append(type(made).__name__)
        made.metadata.labels["team"] = "a"

    with configured(library, cluster):
        name = manager.create_job("mine", pre_create=hook)
        read = manager.read_job(name)
        found = names_of(manager.list_jobs(job_definition_name="mine", team="a"))
        annotations = {key: value for key, value in read.metadata.annotations.items() if key == "kept"}
        return [given, name, read.metadata.labels, annotations, found, job.metadata.name, job.metadata.labels]


@case
def by_config_map(library: Any, here: Any, cluster: dict[str, str]) -> Any:
    with configured(library, cluster):
        manager = managers(library, here, cluster)
        generator = manager.register.get_generator("mapped")
        missing = kinds(outcome(lambda: generator.generate(SAYING)))
        core = library.client.CoreV1Api()
        core.create_namespaced_config_map(
            cluster["namespace"], {"metadata": {"name": "mapped"}, "data": {"mapped": HELLO, "other": "x"}}
        )
        seen = [missing, sorted(generator.template_vars()), manager.create_job("mapped", SAYING)]
        core.patch_namespaced_config_map("mapped", cluster["namespace"], {"data": {"mapped": "metadata: {name: b}"}})
        return [*seen, generator.template_vars(), generator.generate()]


@case
def deletion(library: Any, here: Any, cluster: dict[str, str]) -> Any:
    with configured(library, cluster):
        manager = managers(library, here, cluster)
        deleter = library.manager.JobDeleter(manager)
        done, kept = manager.create_job("hello", SAYING), manager.create_job("hello", {**SAYING, "name": "kept"})
        spared = manager.create_job("hello", {**SAYING, "name": "spared"})
        due = manager.create_job("other", LASTING)
        managers(library, here, cluster, "theirs").create_job("hello", {**SAYING, "name": "strange"})
        wait_for(lambda: all(manager.job_is_finished(one) for one in (done, kept, spared)))
        far, near = str(int(time.time()) + 9000), "1"
        for name, at in ((kept, far), (due, near)):
            library.client.BatchV1Api().patch_namespaced_job(
                name, cluster["namespace"], {"metadata": {"annotations": {DELETION_TIME: at}}}
            )

        def noted() -> dict[str, str | None]:
            return {
                masked(job.metadata.name): (job.metadata.annotations or {}).get(DELETION_TIME)
                for job in manager.list_jobs()
            }

        before = int(time.time())
        read = manager.read_job(spared)
        deleter.mark_deletion_time(read, 500)
        marks = [
            read.metadata.annotations[DELETION_TIME] == manager.read_job(spared).metadata.annotations[DELETION_TIME]
        ]
        marks.append(before + 500 <= int(read.metadata.annotations[DELETION_TIME]) <= time.time() + 500)
        deleter.mark_deletion_time(read, 0)
        marks.append(deleter.is_candidate_for_deletion(read))
        deleter.mark_jobs_for_deletion(0)
        after = noted()
        marks += [after["kept-HEX"] == far, after["lasting-HEX"] == near, before <= int(after["hello-HEX"] or 0)]
        told: list[str] = []

        def tell(job: Any) -> None:
            told.append(masked(job.metadata.name))
            if job.metadata.name == due:
                raise ValueError("not this time")

        deleter.cleanup_jobs(delete_callback=tell)
        wait_for(lambda: len(noted()) == 3)
        first = [sorted(noted()), sorted(told)]
        deleter.mark_and_delete_old_jobs(retention_period_sec=0)
        wait_for(lambda: len(noted()) == 2)
        strangers = names_of(managers(library, here, cluster, "theirs").list_jobs())
        return [marks, *first, sorted(noted()), strangers]


@case
def background(library: Any, here: Any, cluster: dict[str, str]) -> Any:
    with configured(library, cluster):
        manager = managers(library, here, cluster)
        deleter = library.manager.JobDeleter(manager)
        told: list[str] = []
        stop = deleter.run_background_cleanup(
            interval_sec=0.05, retention_period_sec=0, delete_callback=lambda job: told.append(job.metadata.name)
        )
        try:
            name = manager.create_job("hello", SAYING)
            wait_for(lambda: told)
            wait_for(lambda: not manager.list_jobs())
        finally:
            answers = [stop(), stop()]
        count = len(told)
        left = [thread for thread in threading.enumerate() if getattr(thread, "_target", None) is not None]
        return [set(told) == {name}, answers, len(told) == count, sum("cleanup" in one.name for one in left)]


@case
def ours_alone(library: Any, here: Any, cluster: dict[str, str]) -> Any:
    """What a server does besides: Jobs as a watch tells them, logs that are followed, causes, keys, dry runs."""
    connections = importlib.import_module(f"{library.prefix}.connection")
    pod_logs = importlib.import_module(f"{library.prefix}.pod_logs")
    at = "2024-01-02T03:04:05Z"
    told = connections.job_of(
        {
            "metadata": {"name": "a", "creationTimestamp": at, "labels": {"b": "c"}, "of a later version": 1},
            "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True", "lastProbeTime": at}]},
        }
    )
    with configured(library, cluster):
        manager = managers(library, here, cluster)
        name = manager.create_job("hello", FAILING, idempotency_key="once")
        same = manager.create_job("hello", FAILING, idempotency_key="once") == name
        manager.create_job("hello", SAYING, dry_run=True)
        wait_for(lambda: manager.job_is_finished(name))
        with manager.connection.core() as core:
            (pod,) = manager.pods_of(core, name)
        following = pod_logs.Following(manager.connection, pod, "main")
        lines = []
        while line := following.read():
            lines.append(line.decode())
        following.close()
        cause = manager.job_cause(name)
        return [
            [told.metadata.name, told.metadata.labels, str(told.metadata.creation_timestamp), told.status.succeeded],
            [manager.job_status(told), same, names_of(manager.list_jobs()), lines],
            [cause.category.value, cause.exit_code],
        ]


@case
def left_open(library: Any, here: Any, cluster: dict[str, str]) -> Any:
    """How many more files are open after 20 calls of each kind than after one."""

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with configured(library, cluster):
        manager = managers(library, here, cluster)
        name = manager.create_job("hello", SAYING)
        wait_for(lambda: manager.job_is_finished(name))
        counts = []
        for _ in range(20):
            manager.job_logs(name, limit=1)
            next(manager.fetch_jobs())
            outcome(lambda: manager.read_job("unknown"))
            counts.append(descriptors())
        return max(counts) - counts[0]


@case
def conditions(library: Any, _: Any, pairs: Any) -> Any:
    client = library.client
    found = [client.V1JobCondition(type=kind, status=status) for kind, status in pairs or ()]
    job = client.V1Job(
        metadata=client.V1ObjectMeta(name="a"),
        status=client.V1JobStatus(conditions=found if pairs is not None else None, completion_time=None),
    )
    manager = library.manager.JobManager("default", library.manager.JobSigner("ours"), None)
    return [manager.job_status(job), manager.job_is_finished(job)]


@case
def candidate(library: Any, _: Any, annotations: Any) -> Any:
    client = library.client
    job = client.V1Job(metadata=client.V1ObjectMeta(name="a", annotations=annotations))
    manager = library.manager.JobManager("default", library.manager.JobSigner("ours"), None)
    return library.manager.JobDeleter(manager).is_candidate_for_deletion(job)


def main(prefix: str, *folders: str) -> None:
    sys.path[:0] = folders
    library = Library(prefix)
    for line in sys.stdin:
        print(json.dumps(library.call(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
