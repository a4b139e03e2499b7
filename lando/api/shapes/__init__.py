"""The JSON documents that routes answer, each with its keys and their types: what the OpenAPI document shows, what
FastAPI lets out, and what mypy holds :mod:`lando.api.documents` and its like to. One module per family.
"""

from __future__ import annotations

from typing_extensions import TypedDict  # here and in the families: pydantic reads no other before Python 3.12


class Detail(TypedDict):
    """What is wrong, in a sentence."""

    detail: str
