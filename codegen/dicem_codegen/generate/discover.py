"""Which functions there are: read from where they run.

    discover("local")                          the catalog that dicem comes with
    discover("http://127.0.0.1:8080")          a cloud's HTTP API; its token, if any, in $DICEM_TOKEN
    discover("mqtt://127.0.0.1:1883/FLEET")    what clouds announce to a broker; mqtts:// for TLS

What comes back was written by strangers: it is bounded in size and time, and read as `dicem functions -o yaml` is.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit

from dicem_shared.announcement import EVERY, MAX_FUNCTIONS, Announcement
from dicem_shared.broker_config import BrokerConfig, TlsConfig
from dicem_shared.catalog import catalog
from dicem_shared.config import parse_config
from dicem_shared.errors import ConfigError, DicemError, MessageError
from dicem_shared.function_files import MAX_BYTES, spec_of
from dicem_shared.functions import Registry
from dicem_shared.messages import decode
from dicem_shared.mqtt import Connection, Incoming

from .cloud_http import TOKEN_ENV, authorised, opener_for
from .prompt import MAX_WORDS, clean

LOCAL: Final = "local"
BROKER_PASSWORD_ENV: Final = "DICEM_BROKER_PASSWORD"
"""Environment variable that holds the password of a broker's user."""
TIMEOUT_S: Final = 10.0
"""for all of it"""
SETTLE_S: Final = 0.3
"""how long other workers' announcements are waited for after one has come: brokers send them in one go"""
MAX_ANNOUNCEMENTS: Final = 64
_EXPECTED: Final = "local, http://HOST:PORT or mqtt://HOST:PORT/FLEET"

T = TypeVar("T")


@dataclass(frozen=True)
class Discovered:
    """The functions, and where they were found."""

    functions: Registry
    source: str
    """`local`, or the URL without anything secret"""
    vocabulary: tuple[str, ...] | None = None
    """the words that the detector knows; None where nobody says"""


def discover(where: str = LOCAL, *, timeout_s: float = TIMEOUT_S) -> Discovered:
    """The functions that programs can call.

    :raises ConfigError: no such place, nobody there, or what they say cannot be used
    :raises BrokerError: no broker there, or it refused us
    """
    if where == LOCAL:
        return Discovered(catalog(), LOCAL)
    url = _url(where)
    if url.scheme in ("http", "https"):
        resources = _over_http(url, timeout_s)
    else:
        resources = _over_mqtt(where, timeout_s)
    functions = Registry()
    for place, resource in _bounded(resources, where):
        spec = spec_of(resource, where=place)
        if spec.name not in functions:  # several workers of one function are what a busy cloud has
            functions.add(spec)
    if not len(functions):
        raise ConfigError(f"{where} serves no functions", todo="Which are in the config of its `dicem cloud`?")
    return Discovered(functions, where, _vocabulary(resources))


def _url(where: str) -> SplitResult:
    try:
        url = urlsplit(where)
        host, _ = url.hostname, url.port
    except ValueError:
        raise ConfigError("--functions-from", expected=_EXPECTED, got=ascii(where[:80])) from None
    if url.password is not None or (url.username is not None and url.scheme in ("http", "https")):
        raise ConfigError(
            "--functions-from holds a user's password or token, which others can see there",
            todo=f"Put it into the environment variable {BROKER_PASSWORD_ENV} ({TOKEN_ENV} for HTTP).",
        )
    if url.scheme not in ("http", "https", "mqtt", "mqtts") or not host or not where.isprintable():
        raise ConfigError("--functions-from", expected=_EXPECTED, got=ascii(where[:80]))
    return url


def _bounded(resources: list[Any], where: str) -> Iterator[tuple[str, Any]]:
    if len(resources) > MAX_FUNCTIONS:
        raise ConfigError(f"{where}: too many functions", expected=f"at most {MAX_FUNCTIONS}", got=str(len(resources)))
    yield from ((f"{where}: item {number}", resource) for number, resource in enumerate(resources, start=1))


def _vocabulary(resources: Iterable[Any]) -> tuple[str, ...] | None:
    """The words that the first detector says it knows."""
    for resource in resources:
        status = resource.get("status") if isinstance(resource, dict) else None
        words = status.get("vocabulary") if isinstance(status, dict) else None
        if isinstance(words, list):
            plain = [clean(word, 64) for word in words[:MAX_WORDS] if isinstance(word, str)]
            return tuple(dict.fromkeys(word for word in plain if word))
    return None


# HTTP


def _over_http(url: SplitResult, timeout_s: float) -> list[Any]:
    where = url.geturl()
    path = url.path.rstrip("/")
    target = url._replace(path=path if path.endswith("/v1/functions") else f"{path}/v1/functions", fragment="")
    request = urllib.request.Request(target.geturl(), headers={"Accept": "application/json", "User-Agent": "dicem"})
    opener = opener_for(where)
    authorised(request)

    def read() -> bytes:
        with opener.open(request, timeout=timeout_s) as response:
            data: bytes = response.read(MAX_BYTES + 1)
            return data

    try:
        data = _within(timeout_s, read, where)
    except HTTPError as cause:
        raise _refused(cause, where) from None
    except (URLError, HTTPException, OSError, ValueError) as cause:
        reason = getattr(cause, "reason", None) or cause
        raise ConfigError(
            f"no cloud answers at {where}", got=clean(str(reason), 120) or type(cause).__name__,
            todo="Start one (dicem cloud --config cloud-demo), or use --functions-from local.",
        ) from None  # fmt: skip
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{where}: the list of functions is too long", expected=f"at most {MAX_BYTES} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as cause:
        raise ConfigError(f"{where} sent no JSON", got=clean(str(cause), 80)) from None
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise ConfigError(
            f"{where} sent no list of functions", expected="what GET /v1/functions of a dicem cloud gives"
        )
    return items


def _refused(cause: HTTPError, where: str) -> ConfigError:
    with cause:
        if cause.code in (401, 403):
            todo = f"Put the cloud's token into the environment variable {TOKEN_ENV}."
            return ConfigError(f"{where} refused us ({cause.code})", todo=todo)
        if 300 <= cause.code < 400:
            todo = "Redirects are not followed: name the place itself."
            return ConfigError(f"{where} redirects somewhere else ({cause.code})", todo=todo)
        return ConfigError(f"{where} has no list of functions ({cause.code})", todo="Is it a dicem cloud?")


def _within(seconds: float, work: Callable[[], T], where: str) -> T:
    """What `work` gives, if it does so in time; timeouts of sockets do not bound names that resolve slowly and servers
    that send a byte a second.  What is late is left to itself.

    :raises ConfigError: it did not
    """
    done: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except Exception as cause:
            done.put((None, cause))

    threading.Thread(target=run, name="discover", daemon=True).start()
    try:
        result, error = done.get(timeout=seconds)
    except queue.Empty:
        raise ConfigError(f"{where} did not answer in time", expected=f"an answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


# MQTT


def _over_mqtt(where: str, timeout_s: float) -> list[Any]:
    config, fleet = broker_of(where)
    heard: queue.Queue[Incoming] = queue.Queue(MAX_ANNOUNCEMENTS)

    def take(incoming: Incoming) -> None:
        if incoming.payload and not heard.full():
            heard.put_nowait(incoming)

    name = f"discover-{uuid.uuid4().hex[:12]}"
    connection = Connection(config, name, subscriptions=(EVERY,), on_message=take, keep_session=False)
    connection.open(timeout_s)
    try:
        said = _announced(heard, timeout_s)
    finally:
        connection.close()
    found = [each for each in said if fleet is None or each.fleets is None or fleet in each.fleets]
    if not found:
        whom = f" to fleet {clean(fleet, 32)}" if said and fleet is not None else ""
        raise ConfigError(
            f"no cloud announces functions{whom} at {where}",
            todo="Is `dicem cloud` running with this broker in its config? Its HTTP API has them too.",
        )
    return [resource for announcement in found for resource in announcement.functions]


def _announced(heard: queue.Queue[Incoming], timeout_s: float) -> list[Announcement]:
    """What was said until nothing more came for a while, in the order of the workers' names."""
    said: dict[str, Announcement] = {}
    problem: DicemError | None = None
    wait = timeout_s
    while True:
        try:
            incoming = heard.get(timeout=wait)
        except queue.Empty:
            break
        wait = SETTLE_S
        try:
            said[incoming.topic] = decode(Announcement, incoming.payload, limit=MAX_BYTES)
        except MessageError as cause:
            where = clean(incoming.topic, 80)
            problem = ConfigError(f"{where}: no announcement that can be read", got=str(cause)[:120])
        if len(said) >= MAX_ANNOUNCEMENTS:
            break
    if not said and problem is not None:
        raise problem
    return [said[topic] for topic in sorted(said)]


def broker_of(where: str) -> tuple[BrokerConfig, str | None]:
    """The broker that `mqtt://[USER@]HOST:PORT/FLEET` names, and the fleet, if it names one.

    :raises ConfigError: it names none
    """
    url = _url(where)
    if url.scheme not in ("mqtt", "mqtts"):
        raise ConfigError(f"{where} is no broker", expected="mqtt://HOST:PORT/FLEET")
    secure = url.scheme == "mqtts"
    settings: dict[str, Any] = {"host": url.hostname, "port": url.port or (8883 if secure else 1883)}
    if secure:
        settings["tls"] = TlsConfig()
    if url.username:
        settings["username"] = unquote(url.username)
        if os.environ.get(BROKER_PASSWORD_ENV):
            settings["password_env"] = BROKER_PASSWORD_ENV
    return parse_config(BrokerConfig, settings, where="--functions-from"), unquote(url.path.strip("/")) or None
