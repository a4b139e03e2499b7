"""People and how they sign in."""

from __future__ import annotations

from typing_extensions import TypedDict


class User(TypedDict):
    """Somebody who signs in."""

    id: int
    username: str
    first_name: str
    last_name: str
    email: str


class SignInToken(TypedDict):
    """An API token, or a JSON web token."""

    token: str


class OwnToken(TypedDict):
    """The caller's API token."""

    id: str
    created: str
