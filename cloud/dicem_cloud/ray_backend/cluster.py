"""Ray: found, or started for us alone and ended with us."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from dicem_shared.errors import ConfigError, MissingExtra, SiteUnavailable

from .board import Board, BoardLike, SharedBoard
from .loop import LoopThread

log = logging.getLogger(__name__)

ENVIRONMENT = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",  # Ray's own calls: arrays not copied, no bound of 4 MB, deaths noticed
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",  # no HTTP port at each replica
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TQDM_PATCH_PRINT": "0",  # else it puts a `print` of its own in the place of Python's
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""What Ray reads when it is imported, here and in the replicas."""
REACH_S = 5.0
"""until a cluster's address must answer; Ray itself would try for minutes"""
LEAVE_S = 1.0
"""until what belongs to a Ray of our own must have ended"""
NAMESPACE = "dicem"


@dataclass(frozen=True)
class Cluster:
    """A Ray that we are connected to."""

    ray: Any
    serve: Any
    loop: LoopThread
    """where handles are made and used; it ends after the connection, over which Ray tells it of replicas"""
    board: BoardLike
    """where the gateways that use it size it together"""
    ours: bool
    """it was started for us, and nobody else uses it"""

    def controller(self) -> Any:
        """The actor that manages Ray Serve's deployments."""
        constants = importlib.import_module("ray.serve._private.constants")
        return self.ray.get_actor(constants.SERVE_CONTROLLER_NAME, namespace=constants.SERVE_NAMESPACE)


def load(*, locked: bool = False) -> tuple[Any, Any]:
    """Ray and Ray Serve; by name, so that the rest can be checked where they are not installed.

    `locked`: a cluster that this process starts lets nobody in without a token that it makes up.  Ray listens on all of
    a machine's addresses, and whoever it lets in may run what he likes.

    :raises MissingExtra: they are not installed
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if locked and "ray" not in sys.modules and not any(name.startswith("RAY_AUTH_") for name in os.environ):
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its own
            ray, serve = importlib.import_module("ray"), importlib.import_module("ray.serve")
    except ImportError as error:
        raise MissingExtra(f"Ray Serve ({error.name})", "cluster") from None
    for name in ("ray", "ray.serve"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return ray, serve


@contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """A connection to the cluster at `address` (HOST:PORT, or auto), or to one that is started here for it (None).

    :raises MissingExtra: Ray is not installed
    :raises SiteUnavailable: there is no such cluster
    :raises ConfigError: the cluster does not let us in, or has other versions
    """
    ray, serve = load(locked=address is None)
    address = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    if address not in (None, "auto"):
        _reach(address)
    if ray.is_initialized():
        raise ConfigError("this process is connected to Ray already", todo="One backend at a time.")
    with LoopThread("ray") as loop, _started(ray) if address is None else _joined(ray, address):
        serve.start(
            proxy_location="Disabled",  # no HTTP of Ray's own: we come by handles only
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        board = Board() if address is None else SharedBoard(ray, NAMESPACE)
        yield Cluster(ray, serve, loop, board, ours=address is None)


@contextmanager
def _started(ray: Any) -> Iterator[None]:
    """One of our own."""
    psutil = importlib.import_module("psutil")  # comes with Ray
    before = set(psutil.Process().children(recursive=True))
    folder = tempfile.mkdtemp(prefix="dicem-ray-")
    try:
        with _undisturbed():
            ray.init(
                address="local",
                namespace=NAMESPACE,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=folder,
            )
        yield
    finally:
        begun = set(psutil.Process().children(recursive=True)) - before
        ray.shutdown()
        _, left = psutil.wait_procs(begun, timeout=LEAVE_S)
        for process in left:  # Ray's agents, which look for their dead parent for a minute
            with suppress(psutil.Error):
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM count once this is over: a half-started Ray would not be ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = {one: signal.signal(one, lambda *which: came.append(which)) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        if came:
            signal.raise_signal(came[0][0])


@contextmanager
def _joined(ray: Any, address: str) -> Iterator[None]:
    try:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        if address == "auto":
            raise _no_cluster(address) from None
        raise SiteUnavailable(
            f"the Ray cluster at {address} cannot be joined from here", got=" ".join(str(error).split())[:300],
            todo="This machine must be a node of it: ray start --address there.",
        ) from None  # fmt: skip
    except (RuntimeError, ray.exceptions.RayError) as error:
        raise ConfigError(
            f"the Ray cluster {address} does not take us", got=" ".join(str(error).split())[:400]
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """See that something at the address speaks as Ray does, and to us; Ray itself would try and complain for long.

    :raises SiteUnavailable: nothing does
    :raises ConfigError: it wants a token
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except (OSError, ValueError):
        raise _no_cluster(address) from None
    if os.environ.get("RAY_USE_TLS", "0") not in ("0", "false"):
        return
    with suppress(ImportError):
        grpc = importlib.import_module("grpc")
        channel = grpc.insecure_channel(address)
        try:
            grpc.channel_ready_future(channel).result(timeout=REACH_S)
        except grpc.FutureTimeoutError:
            raise _no_cluster(address) from None
        finally:
            channel.close()
    raylet = importlib.import_module("ray._raylet")
    try:
        raylet.GcsClient(address=address)  # what Ray calls first, twenty times
    except importlib.import_module("ray.exceptions").AuthenticationError:
        todo = "Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, as its nodes have them."
        raise ConfigError(f"the Ray cluster at {address} lets nobody in without its token", todo=todo) from None
    except Exception as error:
        log.warning("the Ray cluster at %s: %s", address, error)


def _no_cluster(address: str) -> SiteUnavailable:
    where = "on this machine" if address == "auto" else f"at {address}"
    todo = "Start one (ray start --head), correct ray.address, or leave it out: then one is started here."
    return SiteUnavailable(f"there is no Ray cluster {where}", todo=todo)
