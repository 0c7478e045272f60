"""Ports for servers that tests start."""

from __future__ import annotations

import contextlib
import os
import socket
from itertools import cycle

RANGE = 500
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_first = 20_000 + _worker % 24 * RANGE
_ports = cycle(range(_first, _first + RANGE))


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now, another one each time.

    Tests that run side by side have ranges of their own, below the ports that the system gives to whoever asks: nobody
    takes one before the server does.
    """
    for port, _ in zip(_ports, range(RANGE), strict=False):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"none of the ports from {_first} on is free")
