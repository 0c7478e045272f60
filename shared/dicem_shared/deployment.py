"""Programs on their way to vehicles: what is asked for, signed by an operator, and what a vehicle says came of it.

    operator -> deploy/<program>    retained: a `SignedDeployment`, what should be        (desired)
    vehicle  -> deployed/<program>  retained: a `Deployed`, what is                       (reported)

A boat that is away finds the retained message when it is back.  The signature covers the very bytes of the document; a
counter that only grows refuses what was sent before, and what was meant for another boat names another boat.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from . import messages
from .camera import Strict
from .errors import MessageError
from .keys import OperatorKey, PublicKey
from .types import Id, Utc

MAX_DEPLOYMENT_BYTES: Final = 120_000
"""Of a document that is signed."""
MAX_SIGNED_BYTES: Final = MAX_DEPLOYMENT_BYTES + 1000
"""Of one with its signature: it goes in one message."""
_PURPOSE: Final = b"dicem deployment 1\0"
"""Signed with the document, so that a signature made for something else is none for this."""

Action = Literal["run", "remove"]
State = Literal["running", "waiting", "refused", "removed", "stale"]
"""
running   from the next frame on
waiting   taken, but the vehicle's policy does not let it start yet; what ran before runs on
refused   it is not run; what ran before runs on
removed   it is not run any more
stale     a function that it calls has changed since it was checked, or is not known here; it is not run
"""


class Deployment(Strict):
    """What an operator asks of one vehicle."""

    schema_version: Literal[1] = 1
    fleet: Id
    vehicle: Id
    program: Id
    """its name; one that runs under this name is replaced"""
    counter: Annotated[int, Field(ge=1, lt=1 << 53)]
    """larger than that of every deployment before it"""
    action: Action
    issued_utc: Utc
    program_id: Annotated[str, Field(max_length=64)] = ""
    """of the stored program, for people"""
    question: Annotated[str, Field(max_length=2000)] = ""
    source: Annotated[str, Field(max_length=100_000)] = ""
    """the compiled program"""
    functions: Annotated[dict[str, str], Field(max_length=100)] = {}
    """the version of each function that it may call, as it was checked with; see `FunctionSpec.version`"""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.action == "run") != bool(self.source):
            raise ValueError("a program that is to run has a source, and one that is removed has none")
        return self

    def signed(self, key: OperatorKey) -> SignedDeployment:
        """The same with a signature.

        :raises MessageError: too large
        """
        document = messages.encode(self, limit=MAX_DEPLOYMENT_BYTES)
        return SignedDeployment(document=document, key=key.public.id, signature=key.sign(_PURPOSE + document))


class SignedDeployment(Strict):
    """A deployment as it travels."""

    schema_version: Literal[1] = 1
    document: Annotated[bytes, Field(max_length=MAX_DEPLOYMENT_BYTES)]
    """CBOR of a `Deployment`: the bytes that were signed"""
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """id of the operator's key"""
    signature: Annotated[bytes, Field(min_length=64, max_length=64)]

    def verified(self, keys: dict[str, PublicKey]) -> Deployment:
        """The document.

        :param keys: those that are trusted, by id
        :raises MessageError: nobody trusted has signed it, or what was signed is no deployment
        """
        key = keys.get(self.key)
        if key is None:
            raise MessageError(
                "a deployment is signed with a key that is not trusted here", got=self.key,
                todo="Put the operator's public key into deploy.operators of the vehicle's config.",
            )  # fmt: skip
        if not key.has_signed(_PURPOSE + self.document, self.signature):
            raise MessageError("a deployment's signature does not fit: it was changed on its way, or forged")
        return messages.decode(Deployment, self.document, limit=MAX_DEPLOYMENT_BYTES)


class Deployed(Strict):
    """What came of a deployment, as the vehicle reports it."""

    schema_version: Literal[1] = 1
    program: Id
    state: State
    counter: Annotated[int, Field(ge=0)] = 0
    """of the deployment that this is about; 0: of none that could be read"""
    program_id: str = ""
    """of the program that was asked for"""
    running_id: str = ""
    """of the program that runs under this name; empty: none, or the one of the vehicle's config"""
    previous_id: str = ""
    """of the one that ran before it, for going back"""
    reason: Annotated[str, Field(max_length=1000)] = ""
    t_utc: Utc = 0.0
