"""A connection to an MQTT 5 broker, with what paho leaves to its user.

Kept here, because all of it was learned the hard way: Nagle's algorithm off (a round trip of 30 kB falls from 88 ms to
under one), nothing handed to paho while there is no connection (it would queue and send it twice), an explicit session
expiry (else a reply that comes during a cut is lost), the will that says `offline`, reason codes looked at.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from .broker_config import BrokerConfig
from .errors import BrokerError
from .messages import CONTENT_TYPE

NO_SUBSCRIBERS = 0x10
REFUSED = 0x80
TAKEN_OVER = ": somebody else has connected under our name"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Incoming:
    """A message that arrived."""

    topic: str
    payload: bytes
    response_topic: str = ""
    correlation: bytes = b""


@dataclass(frozen=True)
class Note:
    """A small retained message about ourselves."""

    topic: str
    payload: bytes


class Connection:
    """See the module's text.  Callbacks come on the connection's own thread; they must be quick and not block."""

    def __init__(
        self,
        config: BrokerConfig,
        client_id: str,
        *,
        subscriptions: Sequence[str],
        on_message: Callable[[Incoming], None],
        on_up: Callable[[], None] = lambda: None,
        online: Note | None = None,
        offline: Note | None = None,
        stopped: Note | None = None,
        keep_session: bool = True,
    ) -> None:
        self._config, self._subscriptions = config, tuple(subscriptions)
        self._on_message, self._on_up = on_message, on_up
        self._online, self._stopped, self._keep_session = online, stopped, keep_session
        self.generation = 0
        """how often the broker has let us in: what went out under an earlier number may be lost"""
        self._ready = threading.Event()
        self._refusal = ""
        self._closing = False
        # No lock of ours: one taken in `on_publish` and held around `publish` deadlocks with paho's own.
        self._waiting: dict[int, Callable[[int], None]] = {}
        self._early: dict[int, int] = {}
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        client.max_queued_messages_set(0)
        if config.username is not None:
            client.username_pw_set(config.username, config.password())
        if config.tls is not None:
            tls = config.tls
            with _tls_files():
                client.tls_set(
                    ca_certs=str(tls.ca_file) if tls.ca_file else None,
                    certfile=str(tls.cert_file) if tls.cert_file else None,
                    keyfile=str(tls.key_file) if tls.key_file else None,
                )
        if offline is not None:
            client.will_set(offline.topic, offline.payload, qos=1, retain=True)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = self._arrived
        client.on_publish = self._acknowledged
        client.on_socket_open = _without_delay
        self._client = client

    @property
    def is_up(self) -> bool:
        """True while the broker is connected and our subscriptions stand."""
        return self._ready.is_set()

    def open(self, timeout_s: float = 10.0) -> None:
        """Connect, subscribe and keep connected from now on.

        :raises BrokerError: no broker there, it refused us, or it did not answer in time
        """
        config = self._config
        where = f"{config.host}:{config.port}"
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = config.session_expiry_s if self._keep_session else 0
        try:
            self._client.connect(
                config.host, config.port, config.keepalive_s,
                clean_start=not self._keep_session, properties=properties,
            )  # fmt: skip
        except (OSError, ValueError) as cause:
            raise BrokerError(
                f"no MQTT broker at {where}", got=str(cause),
                todo="Start one (mosquitto -c configs/mosquitto-demo.conf), or set broker.host and broker.port.",
            ) from None  # fmt: skip
        self._client.loop_start()
        if not self._ready.wait(timeout_s):
            self._stop()
            raise BrokerError(f"the MQTT broker at {where} did not let us in", got=self._refusal or "no answer in time")

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        response_topic: str = "",
        correlation: bytes = b"",
        expiry_s: float | None = None,
        on_ack: Callable[[int], None] | None = None,
    ) -> bool:
        """Send a message; False (and nothing queued) while there is no connection.

        `on_ack` gets the broker's reason code: 0, 0x10 where nobody subscribes, 0x80 and above where it refused.
        """
        if not self.is_up:
            return False
        properties = _properties(PacketTypes.PUBLISH)
        properties.ContentType = CONTENT_TYPE
        if response_topic:
            properties.ResponseTopic = response_topic
        if correlation:
            properties.CorrelationData = correlation
        if expiry_s is not None:
            properties.MessageExpiryInterval = max(1, int(expiry_s))
        info = self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        if qos:
            self._waiting[info.mid] = on_ack or _ignore
            self._settle_early(info.mid)
        return info.rc == paho.MQTT_ERR_SUCCESS

    def close(self) -> None:
        """Say `stopped` and disconnect, so that the broker does not publish the will."""
        if self.is_up and self._stopped is not None:
            said = threading.Event()
            note = self._stopped
            self.publish(note.topic, note.payload, retain=True, on_ack=lambda _: said.set())
            said.wait(2.0)
        self._stop()

    def _stop(self) -> None:
        self._closing = True
        self._ready.clear()
        self._client.disconnect()
        self._client.loop_stop()

    # Called by paho, on its thread

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            return
        if self._subscriptions:
            options = SubscribeOptions(qos=1)
            client.subscribe([(name, options) for name in self._subscriptions])
        else:
            self._now_up()

    def _subscribed(self, _client: paho.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._refusal = f"a subscription was refused: {refused[0]}"
            return
        self._now_up()

    def _now_up(self) -> None:
        self.generation += 1
        if self.generation > 1:
            log.warning("the broker is back")
        self._ready.set()
        if self._online is not None:
            self.publish(self._online.topic, self._online.payload, retain=True)
        self._on_up()

    def _disconnected(self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        if self._ready.is_set() and not self._closing:
            log.warning("the broker is gone (%s)%s", reason, TAKEN_OVER if int(reason.value) == 0x8E else "")
        self._ready.clear()
        self._refusal = self._refusal or str(reason)
        self._waiting.clear()
        self._early.clear()

    def _arrived(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        properties = message.properties
        self._on_message(
            Incoming(
                message.topic,
                bytes(message.payload),
                str(getattr(properties, "ResponseTopic", "")),
                bytes(getattr(properties, "CorrelationData", b"")),
            )
        )

    def _acknowledged(self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        self._early[mid] = int(reason.value)
        self._settle_early(mid)

    def _settle_early(self, mid: int) -> None:
        """Bring acknowledgement and callback together, whichever thread comes last; `pop` lets only one win."""
        if mid in self._early and mid in self._waiting:
            code, on_ack = self._early.pop(mid, None), self._waiting.pop(mid, None)
            if code is not None and on_ack is not None:
                on_ack(code)


def _properties(packet: int) -> Any:
    return Properties(packet)  # type: ignore[no-untyped-call]


def _ignore(_code: int) -> None:
    pass


def _without_delay(_client: paho.Client, _data: Any, sock: Any) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@contextlib.contextmanager
def _tls_files() -> Any:
    try:
        yield
    except (OSError, ValueError) as cause:
        raise BrokerError("the TLS files of the broker cannot be used", got=str(cause)) from None
