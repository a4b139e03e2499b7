"""Job templates: placeholders by type, findings by key, and what becomes of a good one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lando.api import ordering, setup, templates
from lando.api.documents import version_order
from lando.api.models import JobStrategy, ShareGroup, StorageCredential, Workflow, WorkflowVersion
from sqlalchemy import delete, select
from tests.unit.api.serving import Api, Serve

FILE = {"class": "File", "path": "dds://<Project Name>/<File Path>"}
VALIDATE = "/api/v2/job-templates/validate"
CREATE = "/api/v2/job-templates/create-job"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", "<Integer Value>"),
        ("string", "<String Value>"),
        ("File", FILE),
        ("NamedFASTQFilePairType", {"name": "<String Value>", "file1": FILE, "file2": FILE}),
        ("FASTQReadPairType", {"name": "<String Value>", "read1_files": [FILE], "read2_files": [FILE]}),
        ("boolean", "<String Value>"),
        ("int?", "<String Value>"),
        ({"type": "array", "items": {"type": "array", "items": "int"}}, [["<Integer Value>"]]),
        (["int", "null"], "<Integer Value>"),
        ({"type": "enum", "symbols": ["a"]}, "<String Value>"),
        ({"type": "record", "fields": [{"name": "#x/f", "type": "File"}]}, {"f": FILE}),
        ({"type": "record", "fields": {"n": "int"}}, {"n": "<Integer Value>"}),
        (17, "<String Value>"),
    ],
)
def test_each_type_has_its_placeholder(kind: Any, value: Any) -> None:
    assert templates.placeholder(kind) == value
    assert templates.holds_placeholder(value)


def test_optional_fields_and_those_of_the_system_are_left_out() -> None:
    fields: list[dict[str, Any]] = [
        {"name": "a", "type": "int"},
        {"name": "b", "type": ["null", "int"]},
        {"name": "c", "type": "File"},
    ]
    assert templates.job_order_template(templates.user_fields(fields, {"c": 1})) == {"a": "<Integer Value>"}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("4", "int"),
        (True, "int"),
        (1.5, "int"),
        ("x", ["null", "float"]),
        ("yes", "boolean"),
        ("a.fastq", "File"),
        ({"class": "File"}, "File"),
        ({"class": "Directory", "path": "x"}, "File"),
        ("x", {"type": "array", "items": "string"}),
        ([1, "x"], {"type": "array", "items": "int"}),
        (["x"], "int[]"),
        ("x", "int?"),
    ],
)
def test_values_that_can_never_fit_are_found(value: Any, kind: Any) -> None:
    assert templates.misfit(value, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (4, "int"), (4.0, "long"), (4, "double"), (None, "int"), ("", "int"), ("x", "string"),
        (4, ["null", "string", "int"]),
        ({"class": "File", "location": "x"}, "File"), ({"class": "File", "contents": ""}, "File"),
        ([], {"type": "array", "items": "int"}), ({"a": 1}, {"type": "record", "fields": []}), ("x", "SomeType"),
        (["a"], "string"), ({"class": "Directory", "listing": [1]}, "Directory"),
    ],
)  # fmt: skip
def test_values_that_may_fit_are_let_through(value: Any, kind: Any) -> None:
    assert templates.misfit(value, kind) is None


def test_all_findings_come_together(api: Api) -> None:
    tag = api.register()
    body = {"tag": tag, "name": "<String Value>", "job_order": {"reads": [FILE], "extra": "<String Value>"}}
    answer = api.post(VALIDATE, body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"name", "fund_code", "job_order.threads", "job_order.reads", "job_order.extra"}
    assert api.post(VALIDATE, {"tag": tag, "name": "x", "fund_code": "y"}).json().keys() == {"job_order"}


def test_a_good_form_is_echoed(api: Api) -> None:
    form = api.form()
    answer = api.post(VALIDATE, form)
    assert answer.status_code == 201
    assert answer.json() == {key: form[key] for key in ("tag", "name", "fund_code", "job_order")}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tag": None}, "tag"),
        ({"name": " "}, "name"),
        ({"name": None}, "name"),
        ({"fund_code": None}, "fund_code"),
        ({"job_order": []}, "job_order"),
        ({"job_order": None}, "job_order"),
        ({"stage_group": None}, "stage_group"),
        ({"stage_group": 999}, "stage_group"),
        ({"job_strategy": 999}, "job_strategy"),
        ({"job_strategy": None}, "job_strategy"),
        ({"job_order": {"threads": "four", "reads": []}}, "job_order.threads"),
    ],
)
def test_a_bad_form_makes_no_job(api: Api, changes: dict[str, Any], field: str) -> None:
    answer = api.post(CREATE, api.form(**changes))
    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert api.get("/api/v2/jobs/").json() == []


def test_numbers_do_for_texts(api: Api) -> None:
    form = api.form(name=17, fund_code=4)
    assert api.post(CREATE, {**form, "stage_group": str(form["stage_group"])}).json()["name"] == "17"


@pytest.mark.parametrize(
    ("tag", "key"), [("a/b", "detail"), ("a/b/c/d", "detail"), ("a/b/c", "tag"), ("ada-read-counts/9/default", "tag"),
                     ("ada-read-counts/1/other", "tag"), ("", "tag")],
)  # fmt: skip
def test_a_tag_that_names_nothing_is_400(api: Api, tag: str, key: str) -> None:
    api.register()
    answer = api.post("/api/v2/job-templates/init", {"tag": tag})
    assert (answer.status_code, list(answer.json())) == (400, [key])


def test_a_stage_group_serves_one_job_of_its_owner(api: Api) -> None:
    group = api.stage_group()
    api.new_job(stage_group=group)
    assert list(api.post(CREATE, api.form(stage_group=group)).json()) == ["stage_group"]
    theirs = api.stage_group("eve")
    assert list(api.post(CREATE, api.form(stage_group=theirs)).json()) == ["stage_group"]


def test_without_a_credential_nothing_is_made(api: Api) -> None:
    form = api.form()
    with api.site.database.write() as session:
        session.execute(delete(StorageCredential))
    assert api.post(CREATE, form).status_code == 400
    assert api.get("/api/v2/jobs/").json() == []


def system_workflow(api: Api, overridable: list[str]) -> None:
    """A public workflow whose configuration fixes ``genome``."""
    with api.site.database.write() as session:
        workflow = setup.create_workflow(session, "Exome analysis", tag="exome")
        fields = [{"name": "genome", "type": "File"}, {"name": "threads", "type": "int"}]
        setup.create_workflow_version(session, workflow, "4.1.0", url="https://x.org/e.cwl", fields=fields)
        strategy = session.scalars(select(JobStrategy)).one()
        group = session.scalars(select(ShareGroup)).one()
        setup.create_configuration(
            session, workflow, "b37", strategy=strategy, share_group=group,
            system_job_order={"genome": {"class": "File", "path": "/bespin/system/b37"}}, overridable=overridable,
        )  # fmt: skip


def test_the_system_job_order_is_joined_by_the_users_top_level_keys(api: Api) -> None:
    system_workflow(api, [])
    job = api.new_job(tag="exome/4.1.0/b37", job_order={"threads": 4, "extra": "ü"})
    order = json.loads(api.get(f"/api/v2/jobs/{job}").json()["job_order"])
    assert order == {"genome": {"class": "File", "path": "/bespin/system/b37"}, "threads": 4, "extra": "ü"}


def test_what_the_site_fixes_is_overridden_only_where_it_says_so(api: Api, serve: Serve) -> None:
    system_workflow(api, [])
    order = {"threads": 4, "genome": {"class": "File", "path": "mine"}}
    form = api.form(tag="exome/4.1.0/b37", job_order=order)
    assert list(api.post(CREATE, form).json()) == ["job_order.genome"]
    with api.site.database.write() as session:
        from lando.api.models import WorkflowConfiguration

        configuration = session.scalars(
            select(WorkflowConfiguration).join(Workflow).where(Workflow.tag == "exome")
        ).one()
        configuration.overridable = ["genome"]
    job = api.post(CREATE, form).json()["job"]
    assert json.loads(api.get(f"/api/v2/jobs/{job}").json()["job_order"])["genome"]["path"] == "mine"


@pytest.mark.parametrize(
    ("base", "factor", "size", "gib"),
    [(10, 3, 2 * 2**30 + 15, 17), (100, 0, 2**40, 100), (1, 1, 0, 1), (0, 1, 2**62 + 1, 2**32 + 1)],
)
def test_the_volume_grows_with_the_inputs(base: int, factor: int, size: int, gib: int) -> None:
    assert ordering.volume_size(base, factor, size) == gib


def test_workflows_of_others_are_hidden_everywhere(api: Api) -> None:
    tag = api.register("ada")
    assert len(api.get("/api/v2/workflows/").json()) == 1
    assert api.get("/api/v2/workflows/", "eve").json() == []
    assert api.get("/api/v2/workflows/1", "eve").status_code == 404
    assert api.get("/api/v2/workflow-versions/", "eve").json() == []
    assert api.get("/api/v2/workflow-versions/1/", "eve").status_code == 404
    assert api.get("/api/v2/workflow-configurations/", "eve").json() == []
    assert api.get("/api/v2/workflow-configurations/1/", "eve").status_code == 404
    assert api.post("/api/v2/job-templates/init", {"tag": tag}, "eve").status_code == 400


def test_the_catalog_is_filtered_by_tag_and_version(api: Api) -> None:
    system_workflow(api, [])
    shown = api.get("/api/v2/workflow-versions/?workflow__tag=exome&version=4.1.0").json()
    assert [(row["tag"], row["name"], row["url"]) for row in shown] == [
        ("exome/4.1.0", "Exome analysis", "https://x.org/e.cwl")
    ]
    assert api.get("/api/v2/workflow-versions/?version=v4.1.0").json() == []
    assert [row["tag"] for row in api.get("/api/v2/workflow-configurations/?workflow__tag=exome").json()] == ["b37"]
    assert [row["name"] for row in api.get("/api/v2/job-strategies/?name=default").json()] == ["default"]
    assert api.get("/api/v2/dds-user-credentials/").json()[0].keys() == {"id", "user", "endpoint", "dds_id"}


def test_deprecated_workflows_are_shown_only_when_asked_for(api: Api) -> None:
    system_workflow(api, [])
    with api.site.database.write() as session:
        session.scalars(select(Workflow)).one().state = "D"
    assert api.get("/api/v2/workflows/").json() == []
    assert api.get("/api/v2/workflow-versions/").json() == []
    assert len(api.get("/api/v2/workflows/?state=D").json()) == 1
    assert len(api.get("/api/v2/workflow-versions/?workflow__state=D").json()) == 1


def test_versions_are_ordered_by_their_numbers() -> None:
    versions = [WorkflowVersion(workflow_id=1, version=text) for text in ("1.10", "1.2", "1.2-rc", "v1", "1.2.1", "1")]
    assert [row.version for row in sorted(versions, key=version_order)] == ["1", "1.2", "1.2.1", "1.2-rc", "1.10", "v1"]
