"""What the cloud says of its functions: the same over HTTP and over MQTT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dicem_shared.announcement import Announcement
from dicem_shared.implementations import Implementation


def resource(implementation: Implementation) -> dict[str, Any]:
    """A function as Kubernetes shows its resources, with its model and, for a detector, the words that it knows."""
    model = implementation.model
    status: dict[str, Any] = {"model": {"name": model.name, "sha256": model.sha256}, "replicas": 1}
    if vocabulary := getattr(implementation, "vocabulary", ()):
        status["vocabulary"] = list(vocabulary)
    return implementation.spec.resource(status)


def announcement(functions: Mapping[str, Implementation], fleets: Iterable[str] | None) -> Announcement:
    """What a worker publishes of itself."""
    resources = tuple(resource(one) for _, one in sorted(functions.items()))
    return Announcement(fleets=None if fleets is None else tuple(sorted(fleets)), functions=resources)
