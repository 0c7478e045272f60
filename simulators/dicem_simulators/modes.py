"""The three ways to run a mission that are always reported side by side.

    cloud-only   each frame is shipped whole, every function runs in the cloud: the baseline of DiCE-M
    per-call     the detector at the edge, each other call its own round trip with its own crop: DiCE-M
    split        what the vehicle can answer it answers, a crop is shipped once, questions go out together: ours

All three run the real runner, detector, codec, gateway and functions; time and bytes come from the link and the device
profiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dicem_cloud.gateway import Gateway
from dicem_edge.agent import Agent, AgentConfig
from dicem_edge.shipping import LoadedFrame, Shipper, ShippingConfig
from dicem_shared import messages
from dicem_shared.clock import VirtualClock
from dicem_shared.implementations import Implementation
from dicem_shared.links import Link
from dicem_shared.profiles import DeviceProfile
from dicem_shared.program import Program
from dicem_shared.runner import Interpreter
from dicem_shared.topics import topic
from dicem_shared.transport import OnReply, Traffic
from dicem_shared.types import Answer, Cost, Failure, Reply, Request, Site

from .devices import SimulatedDevice
from .links import Channel

Mode = Literal["cloud-only", "per-call", "split"]
MODES: tuple[Mode, ...] = ("cloud-only", "per-call", "split")
FLEET = "sim"
WHOLE_FRAME_LIMIT = 64_000_000
MQTT_BYTES = 64
"""Fixed header and MQTT 5 properties of a publish beside its topics, as counted on a real one, rounded up."""


@dataclass(frozen=True)
class World:
    """What the modes share: the functions at both sites, the device profiles, the link, the seed."""

    edge: Mapping[str, Implementation]
    cloud: Mapping[str, Implementation]
    edge_profile: DeviceProfile
    cloud_profile: DeviceProfile
    link: Link
    seed: int
    vehicle: str
    vocabulary: tuple[str, ...]
    deadline_s: float = 120.0


class Mission:
    """One mode on one recording, on its own virtual clock."""

    def __init__(
        self,
        mode: Mode,
        world: World,
        interpreter: Interpreter,
        gateway_of: Callable[[VirtualClock], Gateway],
        start_utc: float,
    ) -> None:
        self.mode, self.world = mode, world
        self.clock = VirtualClock(start_utc)
        random = np.random.default_rng([world.seed, MODES.index(mode)])
        self.up = Channel(world.link, "up", self.clock, random)
        self.down = Channel(world.link, "down", self.clock, random)
        self.edge_device = SimulatedDevice(world.edge_profile, self.clock)
        self.cloud_device = SimulatedDevice(world.cloud_profile, self.clock)
        self.answers: dict[int, Answer] = {}
        """by frame, as the vehicle has them"""
        local: Site = "cloud" if mode == "cloud-only" else "edge"
        self._agent = Agent(
            AgentConfig(
                vehicle=world.vehicle,
                survey="simulation",
                vocabulary=world.vocabulary,
                placement=placement(mode, world),
                reply_topic=topic(FLEET, world.vehicle, "res", "agent"),
                deadline_s=world.deadline_s,
            ),
            interpreter,
            world.cloud if mode == "cloud-only" else world.edge,
            self.cloud_device if mode == "cloud-only" else self.edge_device,
            None if mode == "cloud-only" else self._transport(gateway_of(self.clock)),
            Shipper(ShippingConfig(once=mode == "split")),
            self.clock,
            local_site=local,
            alarm=self.clock.call_later,
        )
        for condition in world.link.conditions:
            if not condition.carries:
                self.clock.call_at(condition.t_s, self._agent.cloud_away)

    def _transport(self, gateway: Gateway) -> ModelledTransport:
        world = self.world
        return ModelledTransport(
            self.clock, gateway, self.up, self.down, self.cloud_device, world.edge_profile.encode_s, world.link
        )

    def offer(self, program: Program, frame: LoadedFrame) -> None:
        """Let the frame arrive at its stamp."""
        self.clock.call_at(
            frame.info.t_utc - self.clock.utc() + self.clock.monotonic(), lambda: self._take(program, frame)
        )

    def _take(self, program: Program, frame: LoadedFrame) -> None:
        if self.mode == "cloud-only":
            envelope = len(messages.encode(frame.info)) + _mqtt(topic(FLEET, self.world.vehicle, "req", "frame"))
            sent = 0

            def arrived() -> None:
                self._after(self.world.cloud_profile.program_s, lambda: self._run_in_cloud(program, frame, sent))

            sent = self.up.send(envelope + len(frame.data), arrived)
        else:
            self._after(self.world.edge_profile.program_s, lambda: self._agent.submit(program, frame, self._at_edge))

    def totals(self) -> Cost:
        """What the whole mission put on the wire and on the cloud's device, withdrawn and late calls too."""
        up, down, cloud_s = self.up.bytes, self.down.bytes, self.cloud_device.busy_s
        return Cost(bytes_up=up, bytes_down=down, cloud_s=cloud_s, usd=self._usd(up + down, cloud_s))

    def _usd(self, size: int, cloud_s: float) -> float:
        return size / 1e6 * self.world.link.usd_per_mb + cloud_s * self.world.cloud_profile.usd_per_hour / 3600

    def _after(self, delay: float, action: Callable[[], None]) -> None:
        self.clock.call_later(delay, action)

    def _at_edge(self, answer: Answer) -> None:
        """The vehicle has its answer; the cloud is told."""
        sent = self.up.send(_event_bytes(answer), lambda: None)
        self._keep(answer, up=sent, down=0, latency_s=answer.latency_s)

    def _run_in_cloud(self, program: Program, frame: LoadedFrame, sent: int) -> None:
        def answered(answer: Answer) -> None:
            back = 0

            def arrived() -> None:
                self._keep(answer, up=sent, down=back, latency_s=self.clock.utc() - frame.info.t_utc)

            back = self.down.send(_event_bytes(answer), arrived)

        self._agent.submit(program, frame, answered)

    def _keep(self, answer: Answer, *, up: int, down: int, latency_s: float) -> None:
        up, down = answer.cost.bytes_up + up, answer.cost.bytes_down + down
        cloud_s = answer.cost.cloud_s
        usd = self._usd(up + down, cloud_s)
        cost = Cost(bytes_up=up, bytes_down=down, cloud_s=cloud_s, usd=usd, calls=answer.cost.calls)
        if latency_s > self.world.deadline_s:  # the same deadline for every mode, wherever the time went
            late = {"status": "failed", "value": None, "reason": "TimeoutError: no answer before the deadline"}
            answer = answer.model_copy(update=late)
        self.answers[answer.frame] = answer.model_copy(update={"cost": cost, "latency_s": latency_s})


def placement(mode: Mode, world: World) -> dict[str, Site]:
    """Where each function runs.  DiCE-M keeps the detector on the vehicle and asks the cloud for everything else."""
    if mode == "cloud-only":
        return dict.fromkeys(world.cloud, "cloud")
    if mode == "per-call":
        return {name: "edge" if name == "yolov8" else "cloud" for name in {*world.edge, *world.cloud}}
    return {name: "edge" if name in world.edge else "cloud" for name in {*world.edge, *world.cloud}}


class ModelledTransport:
    """`CallTransport` over the modelled link, to the real gateway."""

    def __init__(
        self,
        clock: VirtualClock,
        gateway: Gateway,
        up: Channel,
        down: Channel,
        device: SimulatedDevice,
        encode_s: float,
        link: Link,
    ) -> None:
        self._clock, self._gateway, self._up, self._down, self._device = clock, gateway, up, down, device
        self._encode_s, self._encoder_free, self._link = encode_s, 0.0, link

    @property
    def reachable(self) -> bool:
        """See `dicem_shared.transport.CallTransport.reachable`."""
        return self._link.at(self._clock.monotonic()).carries

    def send(self, request: Request, on_reply: OnReply) -> None:
        """See `dicem_shared.transport.CallTransport.send`."""
        data = messages.encode(request)
        where = topic(FLEET, request.vehicle, "req", request.function)
        ended = False
        size_up = 0

        def end(reply: Reply, down: int) -> None:
            nonlocal ended
            if not ended:
                ended = True
                on_reply(reply, Traffic(size_up, down))

        def too_late() -> None:
            message = f"{request.function}: no answer before the deadline"
            failure = Failure(kind="TimeoutError", message=message)
            end(Reply(call_id=request.call_id, attempt=request.attempt, failure=failure), 0)

        def arrived() -> None:
            reply = self._gateway.handle(messages.decode(Request, data), vehicle=request.vehicle)
            if reply.failure is not None or reply.cached:
                self._answer(request, reply, end)
                return
            latency = 0.0

            def served() -> None:
                price = latency * self._device.profile.usd_per_hour / 3600
                spent = {"compute_s": latency, "price_usd": price}
                self._answer(request, reply.model_copy(update=spent), end)

            latency = self._device.occupy(request.function, served)

        def encoded() -> None:
            nonlocal size_up
            size_up = self._up.send(len(data) + _mqtt(where, request.reply_topic), arrived)

        crops = sum(blob.data is not None and blob.blob != request.frame.blob for blob in request.blobs)
        self._encoder_free = max(self._encoder_free, self._clock.monotonic()) + crops * self._encode_s
        self._clock.call_at(self._encoder_free, encoded)  # in order: what names pixels must not overtake them
        self._clock.call_at(request.deadline_utc - self._clock.utc() + self._clock.monotonic(), too_late)

    def _answer(self, request: Request, reply: Reply, end: Callable[[Reply, int], None]) -> None:
        size = 0
        size = self._down.send(len(messages.encode(reply)) + _mqtt(request.reply_topic), lambda: end(reply, size))

    def close(self) -> None:
        """Nothing to close."""


def _mqtt(*topics: str) -> int:
    return MQTT_BYTES + sum(len(t) for t in topics)


def _event_bytes(answer: Answer) -> int:
    return len(messages.encode(answer)) + _mqtt(topic(FLEET, answer.vehicle, "event"))
