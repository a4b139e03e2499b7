"""The plain routes of one kind of row: list, read, create, change, delete; ownership and errors in one place."""

# Without postponed annotations: the body's type of each resource is known only when its routes are made.

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from fastapi import APIRouter, Request
from sqlalchemy import Select, inspect, select
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.base import ExecutableOption
from typing_extensions import TypedDict

from lando.api.answers import NON_FIELD, Json, invalid, not_found
from lando.api.auth import Caller, SignedIn, Staff
from lando.api.bodies import MAX_ID, Body, id_of
from lando.api.models import Base
from lando.api.models.columns import JsonText
from lando.api.site import Site, TheSite

Row = TypeVar("Row", bound=Base)
Query = Select[Any]
Shown = Mapping[str, Any]
ALL_WRITES = ("POST", "PUT", "PATCH", "DELETE")


def everybodys(query: Query, _caller: Caller) -> Query:
    """All rows: for staff, and for what is no secret."""
    return query


@dataclass(frozen=True, kw_only=True)
class Resource(Generic[Row]):
    """One kind of row under one path."""

    path: str
    """Plural name, without slashes."""
    model: type[Row]
    show: Callable[[Site, Row], Shown]
    shape: Any = None
    """The type of what ``show`` answers, where that is not :func:`plain`."""
    scope: Callable[[Query, Caller], Query] = everybodys
    """Narrows a query to what the caller may see and change; the rest is 404."""
    staff_only: bool = False
    staff_writes: bool = False
    """Everybody signed in may read, only staff may write."""
    body: type[Body] | None = None
    """None: the rows can only be read."""
    writes: Collection[str] = ALL_WRITES
    """Those of the methods that there are, when there is a body."""
    links: Mapping[str, InstrumentedAttribute[Any]] = field(default_factory=dict)
    """Keys of the body that hold another row's id, each with the column of that foreign key."""
    unique: Collection[tuple[str, ...]] = ()
    """Attributes of the row whose values no two rows may have together."""
    prepare: Callable[[Site, Caller, Any], Body] | None = None
    """What takes long for a new row: completes its body before any transaction begins."""
    fill: Callable[[Site, Session, Caller, Row, Json], None] | None = None
    """Checks the changes that a body names (links are columns by then) and assigns them; raises refusals."""
    known: Callable[[Site, Session, Json], Row | None] | None = None
    """The row that the same request has made before, if it came twice: it is the answer then, and no other is made."""
    remove: Callable[[Session, Row], None] | None = None
    """What deleting takes; None deletes the row."""
    filters: Mapping[str, InstrumentedAttribute[Any]] = field(default_factory=dict)
    """Query parameters, each with the column that must equal it."""
    order: tuple[Any, ...] = ()
    at_most: int | None = None
    """A list has no more rows, the newest ones, and fewer by ``?limit=``; None: it has all."""
    sort_key: Callable[[Row], Any] | None = None
    """Orders a list where the database can't."""
    options: tuple[ExecutableOption, ...] = ()


@dataclass(frozen=True)
class Plain:
    """Shows a row by its attributes: the id, then each key with the attribute of that name."""

    attributes: Mapping[str, str]

    def __call__(self, _site: Site, row: Any) -> Json:
        return {"id": row.id, **{name: getattr(row, key) for name, key in self.attributes.items()}}

    def shape(self, name: str, model: type[Base]) -> Any:
        """The type of what it answers, as the columns of ``model`` tell."""
        columns = inspect(model).columns
        kinds: dict[str, Any] = {"id": int}
        for key, attribute in self.attributes.items():
            column = columns[attribute]
            kind = Any if isinstance(column.type, JsonText) else column.type.python_type
            kinds[key] = kind | None if column.nullable and kind is not Any else kind
        return cast(Any, TypedDict)(name, kinds)


def plain(body: type[Body], links: Mapping[str, InstrumentedAttribute[Any]], *hidden: str) -> Plain:
    """Shows a row as its body is written: each key but the ``hidden`` ones, whose values never leave."""
    return Plain({name: links[name].key if name in links else name for name in body.model_fields if name not in hidden})


def add_routes(router: APIRouter, resource: Resource[Any]) -> None:
    """Give ``router`` the routes of ``resource``."""
    who: Any = Staff if resource.staff_only else SignedIn

    def listed(request: Request, site: TheSite, caller: who) -> list[Shown]:
        with site.database.read() as session:
            query = _filtered(resource, resource.scope(select(resource.model), caller), request)
            query = _newest(resource, query, request)
            rows = session.scalars(query.options(*resource.options)).unique().all()
            if resource.sort_key is not None:
                rows = sorted(rows, key=resource.sort_key)
            return [resource.show(site, row) for row in rows]

    def one(row_id: str, site: TheSite, caller: who) -> Shown:
        with site.database.read() as session:
            return resource.show(site, _get(resource, session, caller, row_id))

    name = resource.path.replace("-", "_")
    shape: Any = _shape(resource)
    router.add_api_route(
        f"/{resource.path}",
        listed,
        methods=["GET"],
        name=f"list_{name}",
        summary=f"List {resource.path}",
        description=(resource.model.__doc__ or "").strip().partition("\n")[0],
        response_model=Sequence[shape],
        openapi_extra={"parameters": [*map(_filter, resource.filters), *_limit(resource)]},
    )
    router.add_api_route(
        f"/{resource.path}/{{row_id}}",
        one,
        methods=["GET"],
        name=f"read_{name}",
        summary=f"Read one of {resource.path}",
        response_model=shape,
    )
    if resource.body is not None:
        _add_writes(router, resource, resource.body, Staff if resource.staff_writes else who, name)


def _shape(resource: Resource[Any]) -> Any:
    if isinstance(resource.show, Plain):
        return resource.show.shape(f"{resource.model.__name__}Row", resource.model)
    if resource.shape is None:
        raise TypeError(f"{resource.path} needs the shape of what it shows")
    return resource.shape


def _filter(name: str) -> Json:
    """A query parameter that may be repeated: any of the values will do."""
    schema = {"type": "array", "items": {"type": "string"}}
    return {"name": name, "in": "query", "required": False, "schema": schema, "style": "form", "explode": True}


def _limit(resource: Resource[Any]) -> list[Json]:
    if resource.at_most is None:
        return []
    schema = {"type": "integer", "minimum": 1, "maximum": resource.at_most, "default": resource.at_most}
    text = "Only so many rows, the newest."
    return [{"name": "limit", "in": "query", "required": False, "schema": schema, "description": text}]


def _newest(resource: Resource[Any], query: Query, request: Request) -> Query:
    """Only the newest rows of ``query``, where lists are limited; raises the 400."""
    if resource.at_most is None:
        return query
    text = request.query_params.get("limit", str(resource.at_most))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= resource.at_most):
        raise invalid("limit", f"Must be a whole number from 1 to {resource.at_most}.")
    newest = query.with_only_columns(resource.model.id).order_by(None).order_by(resource.model.id.desc())
    return query.where(resource.model.id.in_(newest.limit(int(text))))


def _partial(body: type[Body]) -> Json:
    """The schema of a body in which every key may be left out."""
    schema = {key: value for key, value in body.model_json_schema().items() if key in ("properties", "description")}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


def _add_writes(router: APIRouter, resource: Resource[Any], body: type[Body], who: Any, name: str) -> None:
    def create(payload: body, site: TheSite, caller: who) -> Shown:  # type: ignore[valid-type]
        if resource.prepare is not None:
            payload = resource.prepare(site, caller, payload)
        with site.database.write() as session:
            row = _known(resource, site, session, payload)
            if row is None:
                row = resource.model()
                _fill(resource, site, session, caller, row, payload)
                session.add(row)
                session.flush()
                session.refresh(row)
            shown = resource.show(site, row)
        site.changes.announce()
        return shown

    def replace(row_id: str, payload: body, site: TheSite, caller: who) -> Shown:  # type: ignore[valid-type]
        with site.database.write() as session:
            shown = _change(resource, site, session, caller, row_id, payload)
        site.changes.announce()
        return shown

    def patch(row_id: str, payload: dict[str, Any], site: TheSite, caller: who) -> Shown:
        with site.database.write() as session:
            row = _get(resource, session, caller, row_id)
            whole = body.model_validate({**resource.show(site, row), **payload})
            changes = whole.model_copy()
            changes.__pydantic_fields_set__ = set(payload) & whole.model_fields_set
            shown = _change(resource, site, session, caller, row_id, changes)
        site.changes.announce()
        return shown

    def remove(row_id: str, site: TheSite, caller: who) -> None:
        with site.database.write() as session:
            row = _get(resource, session, caller, row_id)
            if resource.remove is not None:
                resource.remove(session, row)
            session.delete(row)

    many, single, shape = f"/{resource.path}", f"/{resource.path}/{{row_id}}", _shape(resource)
    one = f"one of {resource.path}"
    if "POST" in resource.writes:
        router.add_api_route(
            many,
            create,
            methods=["POST"],
            status_code=201,
            name=f"create_{name}",
            summary=f"Make {one}",
            response_model=shape,
        )
    if "PUT" in resource.writes:
        router.add_api_route(
            single, replace, methods=["PUT"], name=f"replace_{name}", summary=f"Write {one}", response_model=shape
        )
    if "PATCH" in resource.writes:
        router.add_api_route(
            single,
            patch,
            methods=["PATCH"],
            name=f"change_{name}",
            summary=f"Change {one}",
            response_model=shape,
            openapi_extra=_partial(body),
        )
    if "DELETE" in resource.writes:
        router.add_api_route(
            single, remove, methods=["DELETE"], status_code=204, name=f"delete_{name}", summary=f"Delete {one}"
        )


def _get(resource: Resource[Row], session: Session, caller: Caller, text: str) -> Row:
    query = resource.scope(select(resource.model), caller).where(resource.model.id == id_of(text))  # type: ignore[attr-defined]
    row = session.scalars(query.options(*resource.options)).unique().first()
    if row is None:
        raise not_found()
    return row  # type: ignore[no-any-return]


def _change(
    resource: Resource[Row], site: Site, session: Session, caller: Caller, row_id: str, payload: Body
) -> Mapping[str, Any]:
    row = _get(resource, session, caller, row_id)
    _fill(resource, site, session, caller, row, payload)
    session.flush()
    session.refresh(row)
    return resource.show(site, row)


def _known(resource: Resource[Row], site: Site, session: Session, payload: Body) -> Row | None:
    return resource.known(site, session, payload.changes()) if resource.known is not None else None


def _fill(resource: Resource[Row], site: Site, session: Session, caller: Caller, row: Row, payload: Body) -> None:
    changes = payload.changes()
    with session.no_autoflush:
        for key, column in resource.links.items():
            if key in changes:
                changes[column.key] = _existing(session, key, column, changes.pop(key))
        if resource.fill is not None:
            resource.fill(site, session, caller, row, changes)
        else:
            for key, value in changes.items():
                setattr(row, key, value)
        for keys in resource.unique:
            _refuse_second(resource, session, row, keys)


def _existing(session: Session, key: str, column: InstrumentedAttribute[Any], value: Any) -> Any:
    (foreign_key,) = column.property.columns[0].foreign_keys
    if value is not None and session.execute(select(1).where(foreign_key.column == value)).first() is None:
        raise invalid(key, f'Invalid id "{value}": there is none of that id.')
    return value


def _refuse_second(resource: Resource[Row], session: Session, row: Row, keys: tuple[str, ...]) -> None:
    model: Any = resource.model
    same = select(model.id).where(*(getattr(model, key) == getattr(row, key) for key in keys))
    own_id = getattr(row, "id", None)
    if session.scalars(same if own_id is None else same.where(model.id != own_id)).first() is None:
        return
    names = [key.removesuffix("_id") for key in keys]
    if len(names) == 1:
        raise invalid(names[0], f"There is one with this {names[0]} already.")
    raise invalid(NON_FIELD, f"The fields {', '.join(names)} must make a unique set.")


def _filtered(resource: Resource[Any], query: Query, request: Request) -> Query:
    for name, column in resource.filters.items():
        values: list[Any] = request.query_params.getlist(name)
        if not values:
            continue
        if column.type.python_type is int:
            values = [int(value) for value in values if value.isascii() and value.isdigit() and len(value) <= 10]
            values = [value for value in values if value <= MAX_ID]
        if column.type.python_type is str:
            values = [value.replace("\0", "") for value in values]
        query = query.where(column.in_(values))
    return query.order_by(*(resource.order or (resource.model.id,)))
