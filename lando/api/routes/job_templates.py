"""``job-templates``: the form to fill in, its check, and the job that comes of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from lando.api import ordering, templates
from lando.api.answers import invalid
from lando.api.auth import SignedIn
from lando.api.bodies import Body, JsonObject, LongName, Name, Reference
from lando.api.routes import BESPIN
from lando.api.shapes import jobs as shapes
from lando.api.site import TheSite

router = APIRouter(prefix=f"{BESPIN}/job-templates", tags=["job templates"])


class Template(Body):
    """A form, filled in or not; keys that are not given are unset."""

    tag: LongName
    name: Name = ""
    fund_code: Name = ""
    job_order: JsonObject = {}  # noqa: RUF012 - pydantic copies it

    def given(self, key: str) -> Any:
        """The value of ``key``, None when it was not given."""
        return getattr(self, key) if key in self.model_fields_set else None


class JobTemplate(Template):
    """A filled-in form with its inputs."""

    stage_group: Reference
    job_strategy: Reference | None = None

    @property
    def has_null_strategy(self) -> bool:
        """Whether a strategy of null was sent, which is refused."""
        return "job_strategy" in self.model_fields_set and self.job_strategy is None


@router.post("/init", status_code=201)
def init(form: Template, site: TheSite, caller: SignedIn) -> shapes.JobForm:
    """The form of a tag: a placeholder for each value that the user has to give."""
    with site.database.read() as session:
        ordered = ordering.find(session, caller, form.tag)
        return {
            "tag": form.tag,
            "name": form.given("name") or templates.STRING,
            "fund_code": form.given("fund_code") or templates.STRING,
            "job_order": templates.job_order_template(ordered.user_fields),
        }


@router.post("/validate", status_code=201)
def validate(form: Template, site: TheSite, caller: SignedIn) -> shapes.JobForm:
    """The form as it came, or all that is still wrong with it."""
    with site.database.read() as session:
        ordered = ordering.find(session, caller, form.tag)
        ordering.check(ordered, site.settings, form.given("name"), form.given("fund_code"), form.given("job_order"))
    return _echo(form)


@router.post("/create-job", status_code=201)
def create_job(form: JobTemplate, site: TheSite, caller: SignedIn) -> shapes.JobOrdered:
    """A job of a filled-in form; nothing is made unless everything is right."""
    if form.has_null_strategy:
        raise invalid("job_strategy", "This field may not be null.")
    with site.database.write() as session:
        ordering.usable_stage_group(session, caller, form.stage_group)
        ordering.chosen_strategy(session, form.job_strategy)
        ordered = ordering.find(session, caller, form.tag)
        ordering.check(ordered, site.settings, form.given("name"), form.given("fund_code"), form.given("job_order"))
        new = ordering.NewJob(
            name=form.name,
            fund_code=form.fund_code,
            job_order=form.job_order,
            stage_group=form.stage_group,
            job_strategy=form.job_strategy,
        )
        job = ordering.create(session, caller, site.settings, ordered, new)
        answer: shapes.JobOrdered = {
            **_echo(form),
            "stage_group": form.stage_group,
            "job_strategy": form.job_strategy,
            "job": job.id,
        }
    site.changes.announce()
    return answer


def _echo(form: Template) -> shapes.JobForm:
    return {"tag": form.tag, "name": form.name, "fund_code": form.fund_code, "job_order": form.job_order}
