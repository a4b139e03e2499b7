"""JSON web tokens as the original gives them: HS256, two hours, the claims that its front end reads."""

from __future__ import annotations

from lando.api.answers import Json
from lando.api.keys import ServerKey
from lando.api.models import User

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
    }
    return key.sign(_PURPOSE, claims)


def claims(key: ServerKey, token: str) -> Json:
    """What a token says that is ours and still good; raises NotSigned."""
    return key.claims(_PURPOSE, token)
