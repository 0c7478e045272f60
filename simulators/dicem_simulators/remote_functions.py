"""Functions of a cloud that is reached over HTTP, as `dicem ask` needs them: each call is one request.

The pixels travel as one JPEG a call.  What the cloud answers is held against the schema, like any result.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request

from dicem_codegen.generate.cloud_http import authorised, opener_for
from dicem_shared import images
from dicem_shared.errors import CallTimeout, DicemError, InvalidCall, SiteUnavailable
from dicem_shared.functions import FunctionSpec, Registry
from dicem_shared.ids import digest
from dicem_shared.implementations import Implementation, Work, each
from dicem_shared.patches import Patch
from dicem_shared.types import ModelId

TIMEOUT_S: Final = 60.0
MAX_REPLY: Final = 2_000_000
JPEG_QUALITY: Final = 92


class RemoteFunction(Implementation):
    """An `Implementation` that asks a cloud's HTTP API."""

    def __init__(self, spec: FunctionSpec, url: str) -> None:
        base = url.rstrip("/").removesuffix("/v1/functions")
        self.spec, self._url = spec, f"{base}/v1/functions/{spec.name}:call"
        self.model = ModelId(function=spec.name, name=f"at {url}", sha256=digest("remote", url, spec.name) * 2)
        self._told: dict[int, ModelId] = {}
        self._opener = opener_for(url)

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """See `Implementation.run`."""
        return each(batch, self._ask)

    def model_for(self, work: Work) -> ModelId:
        """See `Implementation.model_for`: the one that the cloud named with its answer."""
        return self._told.pop(id(work), self.model)

    def _ask(self, work: Work) -> Any:
        body = json.dumps({name: _sent(value) for name, value in work.params.items()}, allow_nan=False).encode()
        request = authorised(Request(self._url, data=body, headers={"Content-Type": "application/json"}))
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                data = _whole(response)
        except HTTPError as cause:
            raise self._refused(cause) from None
        except TimeoutError:
            raise CallTimeout(f"{self.spec.name}: no answer from the cloud in {TIMEOUT_S:g} s") from None
        except (OSError, HTTPException) as cause:
            reason = str(getattr(cause, "reason", cause))[:200]
            raise SiteUnavailable(f"{self.spec.name}: the cloud cannot be reached", got=reason) from None
        reply = self._read(data)
        result = self.spec.check_result(reply.get("result"))
        if isinstance(model := reply.get("model"), dict):
            with contextlib.suppress(ValueError):  # an answer is an answer, whoever gave it
                self._told[id(work)] = ModelId.model_validate(model)
        return result

    def _read(self, data: bytes) -> dict[str, Any]:
        try:
            reply = json.loads(data) if len(data) <= MAX_REPLY else None
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise InvalidCall(f"{self.spec.name}: the cloud's reply cannot be read")
        return reply

    def _refused(self, cause: HTTPError) -> DicemError:
        try:
            with cause:
                text = cause.read(2000).decode("utf-8", "replace")
            said = str(json.loads(text)["error"]["message"])
        except (ValueError, KeyError, TypeError, RecursionError, OSError, HTTPException):
            said = cause.reason
        return InvalidCall(f"{self.spec.name}: the cloud refused the call", got=f"{cause.code} {said[:300]}")


def remote_functions(functions: Registry, url: str) -> dict[str, Implementation]:
    """All functions of a cloud."""
    return {spec.name: RemoteFunction(spec, url) for spec in functions}


def _whole(response: Any) -> bytes:
    """What comes, up to one byte too many.

    :raises TimeoutError: it comes byte by byte
    """
    give_up, data = time.monotonic() + TIMEOUT_S, bytearray()
    while len(data) <= MAX_REPLY and (piece := response.read1(MAX_REPLY + 1 - len(data))):
        data += piece
        if time.monotonic() > give_up:
            raise TimeoutError
    return bytes(data)


def _sent(value: Any) -> Any:
    if isinstance(value, Patch):
        return base64.b64encode(images.encode(value.pixels, quality=JPEG_QUALITY)).decode()
    return value
