"""Who calls, and what he may do."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import Forbidden, Unauthorised
from .settings import ROLES, Key, Role

ANONYMOUS_VEHICLE = "_http"
"""As whom callers without a token are known to the gateway, where none is needed."""


@dataclass(frozen=True)
class Caller:
    """Who was let in."""

    name: str
    """of the token; empty where none is needed"""
    roles: frozenset[Role]

    @property
    def vehicle(self) -> str:
        """As whom the gateway knows its calls: no caller sees what another one sent or was answered."""
        return f"{ANONYMOUS_VEHICLE}-{self.name}" if self.name else ANONYMOUS_VEHICLE

    def need(self, *roles: Role) -> None:
        """Pass with any of these roles; `admin` has them all.

        :raises Forbidden: it has none of them
        """
        if not self.roles & {*roles, "admin"}:
            raise Forbidden(
                f"this token ({self.name}) may not do this",
                expected=f"the role {' or '.join(roles)}",
                got=", ".join(sorted(self.roles)),
                todo="Use another token, or have its roles changed under http.tokens.",
            )


class Tokens:
    """The tokens of a config; without any, whoever can connect may do everything."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    def caller(self, authorization: str | None) -> Caller:
        """Who shows this `Authorization` header.

        :raises Unauthorised: no token, or one that nobody has
        """
        if not self._keys:
            return Caller("", ROLES)
        scheme, _, token = (authorization or "").partition(" ")
        shown = hashlib.sha256(token.encode("latin-1", "replace")).digest()
        found = None
        for key in self._keys:  # all of them, whichever fits: the time taken tells nothing
            if hmac.compare_digest(shown, key.sha256):
                found = key
        if found is None or scheme.lower() != "bearer" or not token:
            raise Unauthorised("the token is missing or wrong", expected="Authorization: Bearer TOKEN")
        return Caller(found.name, found.roles)
