"""JSON web tokens as the original gives them: HS256, two hours, the claims that its front end reads.

And one of ours: another password ends them, and with them whoever had the old one.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from lando.api.answers import Json
from lando.api.keys import NotSigned, ServerKey
from lando.api.models import User
from lando.api.sessions import password_mark

LIFETIME_S = 7200
REFRESHABLE_S = 7 * 24 * 3600
"""How long after the sign-in a token may still be exchanged for a newer one, in seconds."""
_PURPOSE = "web token"


def issue(key: ServerKey, user: User, now: float, *, signed_in_at: int | None = None) -> str:
    """A token of ``user`` from ``now`` on; ``signed_in_at`` is when its first forerunner was given (Unix seconds)."""
    claims = {
        "user_id": user.id,
        "username": user.username,
        "email": user.email,
        "exp": int(now) + LIFETIME_S,
        "orig_iat": int(now) if signed_in_at is None else signed_in_at,
        "password": password_mark(key, user),
    }
    return key.sign(_PURPOSE, claims)


def holder(session: Session, key: ServerKey, token: str) -> tuple[Json, User | None]:
    """What a token says that is ours and still good, and whose it is; raises NotSigned."""
    claims = key.claims(_PURPOSE, token)
    user = session.get(User, claims["user_id"])
    if user is not None and claims.get("password") != password_mark(key, user):
        raise NotSigned("The password has changed; sign in again.")
    return claims, user
