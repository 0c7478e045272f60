"""The trace of a frame: every call names it, and whoever has the answer knows it too."""

from __future__ import annotations

from typing import Any

import pytest

from dicem_shared.ids import digest, parse_traceparent, span_of, traceparent

from .test_agent import ALL


def test_all_calls_of_a_frame_share_the_trace_that_the_answer_names(vehicle: Any) -> None:
    answer = vehicle.answer(ALL)
    assert len(vehicle.cloud.requests) == 2
    assert {request.traceparent for request in vehicle.cloud.requests} == {traceparent(answer.id)}


def test_the_answers_id_is_the_traces() -> None:
    answer = digest("an answer")
    assert parse_traceparent(traceparent(answer)) == (answer, span_of(answer), 1)
    assert span_of(answer) != span_of(digest("another"))


@pytest.mark.parametrize(
    "text",
    ["", "00", f"00-{'0' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'0' * 16}-01", f"00-{'A' * 32}-{'1' * 16}-01",
     f"00-{'1' * 32}-{'1' * 16}-01-x", f"00-{'1' * 32}-{'1' * 16}-01\n", f"ff-{'1' * 32}-{'1' * 16}-01"],
)  # fmt: skip
def test_what_is_no_trace(text: str) -> None:
    assert parse_traceparent(text) is None
