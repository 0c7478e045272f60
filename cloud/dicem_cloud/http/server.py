"""The process's side of HTTP: uvicorn, which ends the streams before it waits for what is open."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicem_shared.errors import Overloaded

from .errors import response
from .limits import BUSY_RETRY_S


class Server(uvicorn.Server):
    """Serves an app of ours on a socket that is bound."""

    def __init__(self, app: FastAPI, *, graceful_s: int = 5) -> None:
        self._app = app
        super().__init__(
            uvicorn.Config(
                _Ended(app),
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=graceful_s,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server.shutdown`: nobody's stream of live answers keeps it waiting."""
        live = getattr(self._app.state, "live", None)
        if live is not None:
            live.close()
        await super().shutdown(sockets)


class _Ended:
    """ASGI: every response has an end, also when we shut down.

    Who still waits when the time for it is over is told so, and a stream of live answers that is broken off is closed
    as one should be.  uvicorn would write a trace or a line for each of them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class's text."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = has_ended = False

        async def noting(message: Message) -> None:
            nonlocal has_begun, has_ended
            has_begun = True
            has_ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:
            if not has_begun:
                stopped = response(Overloaded("the cloud is being stopped", retry_after_s=BUSY_RETRY_S))
                await stopped(scope, receive, noting)
        if has_begun and not has_ended:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
