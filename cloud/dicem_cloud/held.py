"""An MQTT connection whose messages stay the broker's until we say that they are safe.

Everywhere else a message is acknowledged as soon as it has arrived.  Here the broker keeps it, and gives it again when
we come back after a cut or a crash, until it was acknowledged by us.  It sends no more than its window of
unacknowledged messages (Mosquitto: `max_inflight_messages`, 20), so what is held here is bounded by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho

from dicem_shared.broker_config import BrokerConfig
from dicem_shared.mqtt import Connection


@dataclass(frozen=True)
class Held:
    """A message, and how it is acknowledged."""

    topic: str
    payload: bytes
    is_kept: bool
    """sent because we subscribed, not because it has just been said"""
    is_sure: bool
    """it comes again until it is acknowledged"""
    acknowledge: Callable[[], None]
    """may be called on any thread; does nothing where the connection is not that on which the message came"""


class HoldingConnection(Connection):
    """See the module's text; the session at the broker lies under `client_id`, which must stay the same."""

    def __init__(
        self, config: BrokerConfig, client_id: str, *, subscriptions: Sequence[str], on_held: Callable[[Held], None]
    ) -> None:
        super().__init__(config, client_id, subscriptions=subscriptions, on_message=lambda _: None)
        self._on_held = on_held
        self._connections = 0
        self._client.manual_ack_set(True)

    def _connected(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._connections += 1  # packet ids begin anew: what came before must not be acknowledged under them
        super()._connected(client, data, flags, reason, properties)

    def _arrived(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        connection = self._connections

        def acknowledge() -> None:
            if connection == self._connections:
                client.ack(message.mid, message.qos)

        is_sure = message.qos > 0
        self._on_held(
            Held(
                message.topic, bytes(message.payload), message.retain, is_sure, acknowledge if is_sure else lambda: None
            )
        )
