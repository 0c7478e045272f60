"""What stands before every route: the token, its rate, its role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from .limits import Rates
from .settings import Role
from .tokens import Caller, Tokens

_SHOWN = Security(
    HTTPBearer(auto_error=False, description="A token of http.tokens; none where the cloud needs none.")
)  # fmt: skip
"""only so that OpenAPI tells of it: it is read below"""
Door = Callable[..., Awaitable[Caller]]


class Doors:
    """Makes the dependency that a route of some role has."""

    def __init__(self, tokens: Tokens, rates: Rates) -> None:
        self._tokens, self._rates = tokens, rates

    def to(self, *roles: Role) -> Door:
        """Lets in who has one of these roles; raises Unauthorised, RateLimited or Forbidden."""

        async def let_in(request: Request, _shown: HTTPAuthorizationCredentials | None = _SHOWN) -> Caller:
            caller = self._tokens.caller(request.headers.get("authorization"))
            request.scope["dicem.caller"] = caller.name
            self._rates.take(caller.name)
            caller.need(*roles)
            return caller

        return let_in
