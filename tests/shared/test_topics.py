"""Topics: what may stand in one, and whom a reply may go to."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicem_shared.errors import MessageError
from dicem_shared.topics import QOS, RETAINED, Topic, check_id, may_reply, parse, requests, topic

IDS = st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True)


def test_topics_as_documented() -> None:
    assert topic("fleet", "boat-1", "status") == "dicem/v1/fleet/boat-1/status"
    assert topic("fleet", "boat-1", "req", "blip2") == "dicem/v1/fleet/boat-1/req/blip2"
    assert topic("fleet", "boat-1", "deploy", "litter") == "dicem/v1/fleet/boat-1/deploy/litter"
    assert requests("blip2") == "$share/blip2/dicem/v1/+/+/req/blip2"
    assert parse("dicem/v1/f/v/res/agent") == Topic("f", "v", "res", "agent")
    assert parse("dicem/v1/f/v/event") == Topic("f", "v", "event", "")


def test_telemetry_alone_is_qos_0_and_what_is_retained() -> None:
    assert [kind for kind in ("status", "event", "telemetry", "cmd", "req") if QOS.get(kind, 1) == 0] == ["telemetry"]
    assert {"status", "config", "deploy", "deployed", "functions"} == RETAINED


@given(IDS, IDS, st.sampled_from(["deploy", "req", "res"]), IDS)
def test_named_topics_come_back(fleet: str, vehicle: str, kind: str, name: str) -> None:
    assert parse(topic(fleet, vehicle, kind, name)) == Topic(fleet, vehicle, kind, name)


@given(IDS, IDS, st.sampled_from(["status", "event", "telemetry", "cmd", "config", "functions"]))
def test_plain_topics_come_back(fleet: str, vehicle: str, kind: str) -> None:
    assert parse(topic(fleet, vehicle, kind)) == Topic(fleet, vehicle, kind)


@pytest.mark.parametrize(
    "value", ["", "a/b", "+", "#", "a" * 33, "é", "boat\n", "two words", "$SYS", "a.b", "\0", "\u0661"]
)
def test_ids_that_cannot_stand_in_a_topic(value: str) -> None:
    with pytest.raises(MessageError, match=r"vehicle cannot stand in a topic .*1 to 32 of A-Z a-z 0-9 _ -"):
        check_id(value, "vehicle")
    for fleet, vehicle in ((value, "boat"), ("fleet", value)):
        with pytest.raises(MessageError):
            topic(fleet, vehicle, "status")
    with pytest.raises(MessageError):
        requests(value)


@pytest.mark.parametrize(("kind", "name"), [("status", "x"), ("req", ""), ("deploy", ""), ("blob", ""), ("blob", "x")])
def test_a_kind_has_a_name_or_has_none(kind: str, name: str) -> None:
    with pytest.raises(MessageError, match="no such topic"):
        topic("f", "v", kind, name)


@pytest.mark.parametrize(
    "text",
    [
        "", "dicem", "dicem/v1", "dicem/v1/f/v", "dicem/v1/f/v/req/x/y", "dicem/v2/f/v/event", "other/v1/f/v/event",
        "dicem/v1/f//event", "dicem/v1/+/v/event", "dicem/v1/f/v/#", "dicem/v1/f/v/event/", "/dicem/v1/f/v/event",
        "dicem/v1/f/v/req", "dicem/v1/f/v/event/x", "dicem/v1/f/v/bogus", "dicem/v1/f/v/bogus/x",
        "dicem/v1/f/v/event\n", "dicem/v1/f/v/res/" + "a" * 33,
    ],
)  # fmt: skip
def test_what_is_no_topic_of_ours(text: str) -> None:
    with pytest.raises(MessageError, match="not a dicem topic"):
        parse(text)


@given(st.text() | st.lists(st.sampled_from(["dicem", "v1", "f", "req", "event", "+", ""]), max_size=7).map("/".join))
def test_nothing_but_a_message_error_comes_out_of_parse(text: str) -> None:
    with contextlib.suppress(MessageError):
        assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("reply", "allowed"),
    [
        ("dicem/v1/f/boat-1/res/agent", True),
        ("dicem/v1/f/boat-1/res/other", True),
        ("dicem/v1/f/boat-2/res/agent", False),
        ("dicem/v1/g/boat-1/res/agent", False),
        ("dicem/v1/f/boat-1/res", False),
        ("dicem/v1/f/boat-1/req/blip2", False),
        ("dicem/v1/f/boat-1/deploy/litter", False),
        ("dicem/v1/f/boat-1/cmd", False),
        ("dicem/v1/f/+/res/agent", False),
        ("", False),
        ("$SYS/broker", False),
    ],
)
def test_replies_go_under_the_senders_own_prefix(reply: str, allowed: bool) -> None:
    assert may_reply(parse("dicem/v1/f/boat-1/req/blip2"), reply) is allowed
