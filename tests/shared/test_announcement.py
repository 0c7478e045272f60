"""What a cloud announces: where, in what shape, and what is refused."""

from __future__ import annotations

import pytest

from dicem_shared.announcement import CLOUD, EVERY, MAX_FUNCTIONS, Announcement, announcement_topic
from dicem_shared.catalog import catalog
from dicem_shared.errors import MessageError
from dicem_shared.messages import MAX_MESSAGE_BYTES, decode, encode
from dicem_shared.topics import RETAINED, parse


def test_the_topic_is_one_of_ours_and_retained() -> None:
    where = parse(announcement_topic("cloud-host-123"))
    assert (where.fleet, where.vehicle, where.kind, where.name) == (CLOUD, "cloud-host-123", "functions", "")
    assert where.kind in RETAINED
    assert str(where).replace("cloud-host-123", "+") == EVERY


@pytest.mark.parametrize(
    ("worker", "part"),
    [("a.b/c+d#e", "a-b-c-d-e"), ("x" * 100 + "-77", "x" * 29 + "-77"), ("", "worker"), ("é", "-")],
)
def test_any_name_makes_a_topic(worker: str, part: str) -> None:
    assert parse(announcement_topic(worker)).vehicle == part


def test_the_whole_catalog_goes_in_one_message() -> None:
    said = Announcement(fleets=("demo",), functions=tuple(spec.resource() for spec in catalog()))
    data = encode(said)
    assert len(data) < MAX_MESSAGE_BYTES / 4
    assert decode(Announcement, data) == said


@pytest.mark.parametrize(
    "changes",
    [
        {"fleets": ("a/b",)},
        {"functions": [1]},
        {"functions": [{}] * (MAX_FUNCTIONS + 1)},
        {"schema_version": 2},
        {"x": 1},
    ],
)
def test_what_is_no_announcement(changes: dict[str, object]) -> None:
    import cbor2

    with pytest.raises(MessageError, match="not a Announcement"):
        decode(Announcement, cbor2.dumps({"functions": []} | changes))
