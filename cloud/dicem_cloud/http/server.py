"""The process's side of HTTP: uvicorn, which ends the streams before it waits for what is open."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI


class Server(uvicorn.Server):
    """Serves an app of ours on a socket that is bound."""

    def __init__(self, app: FastAPI, *, graceful_s: int = 5) -> None:
        self._app = app
        super().__init__(
            uvicorn.Config(
                app,
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
