"""``/api/v2/``: the lists that there are."""

from __future__ import annotations

from fastapi import APIRouter, Request

from lando.api.auth import SignedIn
from lando.api.routes import BESPIN
from lando.api.site import TheSite

router = APIRouter(prefix=BESPIN, tags=["catalog"])

_PREFIX = f"{BESPIN}/"


@router.get("")
def index(request: Request, site: TheSite, _caller: SignedIn) -> dict[str, str]:
    """The lists that there are, by name, and their URLs."""
    paths = request.app.openapi()["paths"]
    lists = [path.removeprefix(_PREFIX) for path, methods in paths.items() if "get" in methods and "{" not in path]
    return {name: f"{site.settings.base_url}{_PREFIX}{name}/" for name in lists if not name.startswith("/")}
