"""Messages as bytes: what goes in comes out, and from a stranger's bytes only a MessageError does."""

from __future__ import annotations

import datetime
import math
import random
import re
import time
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicem_shared.errors import MessageError, MessageTooLarge
from dicem_shared.ids import digest
from dicem_shared.messages import MAX_DEPTH, MAX_MESSAGE_BYTES, decode, encode
from dicem_shared.types import Answer, FrameInfo, Handle, Reply, Request, ShippedBlob

BLOB = "ab" * 32
FRAME = FrameInfo(camera="bow", sequence=3, t_utc=1_780_000_000.25, blob=BLOB, width=640, height=480)
REQUEST = Request(
    call_id="0123456789abcdef" * 2,
    vehicle="boat-1",
    program="litter-1",
    frame=FRAME,
    function="blip2",
    params={"image": {"blob": BLOB, "box": [1, 2, 30, 40]}, "query": "What is this?"},
    blobs=(ShippedBlob(blob="cd" * 32, source=Handle(blob=BLOB, box=(1, 2, 30, 40)), data=b"\xff\xd8 pixels \x00"),),
    deadline_utc=1_780_000_030.25,
    reply_topic="dicem/v1/f/boat-1/res/agent",
)
ANSWER = Answer(
    id="a", survey_id="s", vehicle="v", camera="c", frame=1, program_id="p", status="final", source="edge", t_utc=0
)
SMALL = Reply(call_id="c")
FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text() | st.binary() | FINITE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ANYTHING = st.recursive(
    PLAIN | st.floats() | st.integers() | st.datetimes(timezones=st.just(datetime.timezone.utc)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers() | st.text(), inner, max_size=4),
    max_leaves=12,
)


def refused(data: bytes, kind: Any = Reply) -> str:
    with pytest.raises(MessageError) as caught:
        decode(kind, data)
    return str(caught.value)


def tried(kind: Any, data: bytes) -> Any:
    """The message, or None where it is refused in one clean line; any other exception fails the test."""
    try:
        return decode(kind, data)
    except MessageError as error:
        said = str(error)
    assert said.isprintable()
    return None


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# What goes in comes out


def test_a_request_comes_back_with_its_pixels_as_bytes() -> None:
    data = encode(REQUEST)
    assert decode(Request, data) == REQUEST
    assert b"\xff\xd8 pixels \x00" in data
    raw = cbor2.loads(data)
    assert raw["frame"]["t_utc"] == 1_780_000_000.25
    assert raw["params"]["query"] == "What is this?"
    assert "attempt" not in raw  # defaults stay at home


def test_the_same_message_is_the_same_bytes() -> None:
    turned = REQUEST.model_copy(update={"params": dict(reversed(REQUEST.params.items()))})
    assert list(turned.params) != list(REQUEST.params)
    assert encode(turned) == encode(REQUEST)


@given(PLAIN, st.floats(0, 1e6), st.text())
def test_replies_come_back(result: Any, seconds: float, call: str) -> None:
    reply = Reply(call_id=call, result=result, compute_s=seconds, cached=True)
    back = decode(Reply, encode(reply))
    assert back == reply
    assert digest(back.result) == digest(result)  # which tells 1, 1.0 and True apart


@given(st.dictionaries(st.text(), PLAIN, max_size=4))
def test_a_programs_value_comes_back(value: dict[str, Any]) -> None:
    answer = ANSWER.model_copy(update={"value": value})
    assert decode(Answer, encode(answer)).value == value


def test_a_value_as_deep_as_a_program_may_return_comes_back() -> None:
    answer = ANSWER.model_copy(update={"value": nested(32)})
    assert decode(Answer, encode(answer)) == answer


# What may not go out


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_do_not_go_out(number: float) -> None:
    for value in (number, [1, {"a": number}]):
        sneaked = SMALL.model_copy(update={"result": value})  # past the model's own check
        with pytest.raises(MessageError, match=f"not plain .*got {number}"):
            encode(sneaked)
    with pytest.raises(MessageError, match="not plain"):
        encode(SMALL.model_copy(update={"queue_s": number}))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2**63, "got int"), (-(2**63), "got int"), ({1, 2}, "got set"), (datetime.date(2026, 6, 1), "got date"),
        (1j, "got complex"), (object(), "got object"), ({1: 2}, "a key is not text"), (nested(MAX_DEPTH), "too deep"),
    ],
)  # fmt: skip
def test_what_decode_would_refuse_does_not_go_out(value: Any, said: str) -> None:
    with pytest.raises(MessageError, match=said):
        encode(SMALL.model_copy(update={"result": value}))


def test_half_a_surrogate_pair_does_not_go_out() -> None:
    with pytest.raises(MessageError, match=r"a Reply cannot be sent .*surrogates not allowed"):
        encode(SMALL.model_copy(update={"result": "\ud800"}))


def test_the_size_limit_holds_both_ways_to_the_byte() -> None:
    assert MAX_MESSAGE_BYTES == 128_000  # what some brokers close above
    data = encode(SMALL.model_copy(update={"result": b"x" * 1000}))
    size = len(data)
    reply = decode(Reply, data, limit=size)
    assert encode(reply, limit=size) == data
    with pytest.raises(MessageTooLarge, match=f"{size} bytes .*at most {size - 1} bytes") as out:
        encode(reply, limit=size - 1)
    assert "limits.message_bytes" in out.value.todo
    with pytest.raises(MessageTooLarge, match=f"at most {size - 1} bytes, got {size}"):
        decode(Reply, data, limit=size - 1)
    with pytest.raises(MessageTooLarge):
        encode(SMALL.model_copy(update={"result": b"x" * MAX_MESSAGE_BYTES}))


# What a stranger sends


@given(st.binary(max_size=300))
def test_random_bytes_are_a_message_error(data: bytes) -> None:
    refused(data)


@given(st.integers(0, 10**9))
def test_damaged_messages_are_a_message_error_or_a_message(seed: int) -> None:
    rng, data = random.Random(seed), bytearray(encode(REQUEST))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 20)]
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
            case _:
                data[at] ^= 1 << rng.randrange(8)
    message = tried(Request, bytes(data))
    assert message is None or tried(Request, encode(message)) == message


@given(ANYTHING)
def test_any_cbor_is_a_message_error_or_a_message(value: Any) -> None:
    for kind in (Reply, Request, Answer):
        tried(kind, cbor2.dumps(value))


@given(st.dictionaries(st.sampled_from(sorted(Reply.model_fields)), ANYTHING))
def test_a_reply_of_any_values_is_a_message_error_or_a_reply(fields: dict[str, Any]) -> None:
    reply = tried(Reply, cbor2.dumps(fields | {"call_id": "c"}))
    assert reply is None or encode(reply)  # whatever came in can be sent on


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_message_cut_short_is_refused(cut: int) -> None:
    assert refused(encode(REQUEST)[:cut], Request).startswith("not CBOR: premature end")


def test_bytes_after_the_message_are_refused() -> None:
    assert refused(encode(SMALL) + b"\x00") == "bytes are left over after the message"


@pytest.mark.parametrize("tag", [0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 55799])
def test_no_tag_reaches_the_decoder(tag: int) -> None:
    tagged = cbor2.dumps(cbor2.CBORTag(tag, "1"))
    for value in (tagged, b"\x81" + tagged, b"\xa1\x61a" + tagged):
        assert "a CBOR tag" in refused(value)


def test_shared_references_do_not_unfold() -> None:
    """Each list holds the one before twice: 60 levels are 2**60 values for whoever walks them."""
    levels = [b"\xd8\x1c\x82\x01\x01"]
    levels += [b"\xd8\x1c\x82" + (b"\xd8\x1d" + cbor2.dumps(level)) * 2 for level in range(59)]
    bomb = b"\x98\x3c" + b"".join(levels)
    assert len(bomb) < 1000
    assert cbor2.loads(bomb[:2].replace(b"\x3c", b"\x0a") + b"".join(levels[:10]))[9]  # it is well-formed
    started = time.monotonic()
    assert "a CBOR tag" in refused(bomb)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("length", [0, 1, 22, 23, 24, 25, 40, 255, 256, 257, 65_535, 65_536])
def test_pixels_that_look_like_tags_are_pixels(length: int) -> None:
    reply = Reply(call_id="Ü" * min(length, 300), result=[b"\xd8\xc1" * (length // 2) + b"\xd8" * (length % 2), length])
    assert decode(Reply, encode(reply)) == reply


@pytest.mark.parametrize(
    "promise", ["9b7fffffffffffffff", "9a7fffffff", "5b7fffffffffffffff", "7a7fffffff", "bb7fffffffffffffff"]
)
def test_a_promised_length_reserves_nothing(promise: str) -> None:
    started = time.monotonic()
    assert refused(bytes.fromhex(promise) + b"abc").startswith("not CBOR")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "not CBOR"),
        ("f97e00", "not plain"),  # NaN
        ("f97c00", "not plain"),  # infinity
        ("f7", "not plain"),  # undefined
        ("e0", "not plain"),  # a simple value
        ("1bffffffffffffffff", "not plain"),  # 2**64 - 1
        ("a10102", "a key is not text"),
        ("a2616101616102", "Duplicate map key"),
        ("9f01ff", "not CBOR"),  # indefinite length
        ("5f4101ff", "not CBOR"),
        ("63eda080", "not CBOR"),  # half a surrogate pair
        ("ff", "not CBOR"),
        ("1c", "not CBOR"),  # a reserved length
        ("5c", "not CBOR"),
        ("80", "not a Reply: the message"),
        ("01", "not a Reply: the message"),
        ("a0", "not a Reply: call_id: Field required"),
    ],
)
def test_what_is_no_message(data: str, said: str) -> None:
    assert said in refused(bytes.fromhex(data))


def test_depth_is_bounded_before_python_runs_out_of_it() -> None:
    assert "depth" in refused(b"\x81" * 100_000 + b"\x00")
    deepest = SMALL.model_copy(update={"result": nested(MAX_DEPTH - 2)})
    assert decode(Reply, encode(deepest)) == deepest
    deeper = cbor2.dumps({"call_id": "c", "result": nested(MAX_DEPTH - 1)}, canonical=True)
    assert "deep" in refused(deeper)
    with pytest.raises(MessageError, match="too deep"):
        encode(SMALL.model_copy(update={"result": nested(MAX_DEPTH - 1)}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vehicle": "boat/1"}, "vehicle: String should match"),
        ({"vehicle": "boat\n"}, "vehicle: String should match"),
        ({"call_id": "0" * 31}, "call_id: String should match"),
        ({"attempt": 0}, "attempt: "),
        ({"priority": 10}, "priority: "),
        ({"schema_version": 2}, "schema_version: "),
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"frame": None}, "frame: "),
        ({"params": [1]}, "params: "),
        ({"blobs": [{"blob": BLOB}]}, "blobs.0.source: Field required"),
        ({"deadline_utc": "soon"}, "deadline_utc: "),
    ],
)
def test_what_is_no_request_says_where(change: dict[str, Any], said: str) -> None:
    raw = cbor2.loads(encode(REQUEST)) | change
    assert f"not a Request: {said}" in refused(cbor2.dumps(raw), Request)


def test_a_strangers_words_do_not_forge_a_log() -> None:
    said = refused(cbor2.dumps({"call_id": "c", "x\n2026-06-01 ERROR all is lost\x1b[2J" + "y" * 10_000: 1}))
    assert said.isprintable()
    assert len(said) < 300
    assert re.search(r"x\?2026-06-01 ERROR", said)
