"""The endpoint: everything that a server can do to us ends in a reply or in one clear line."""

from __future__ import annotations

import email.utils
import json
from collections.abc import Callable
from typing import Any

import pytest

from dicem_codegen.generate import trouble
from dicem_codegen.generate.endpoint import MAX_CHARACTERS
from dicem_codegen.generate.errors import BudgetExceeded, EndpointError
from dicem_codegen.generate.transport import MAX_BODY_BYTES
from dicem_shared.errors import ConfigError

from .conftest import KEY, NOW, Desk
from .endpoint_server import (
    KEY_ENV,
    Play,
    Stage,
    cut_off,
    drips,
    drips_headers,
    fails,
    floods,
    hangs,
    hangs_up,
    refuses,
    says,
    sends,
    without_schema,
    writes,
)

Desks = Callable[..., Desk]
GOOD = "def execute_command(image):\n    return 1\n"


def test_a_reply_comes_in_pieces_and_is_counted(desk: Desks) -> None:
    at = desk([says(GOOD, usage=(1234, 56))], usd_per_million_prompt_tokens=2.0, usd_per_million_completion_tokens=10.0)
    reply = at.ask()
    assert json.loads(reply.text)["program"] == GOOD
    assert (reply.problem, reply.form) == ("", "schema")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (1234, 56)
    assert reply.usage.usd == pytest.approx((1234 * 2 + 56 * 10) / 1e6)
    assert at.budget.spent == reply.usage
    assert at.tokens[0] == 0
    assert at.tokens == sorted(at.tokens)
    assert at.tokens[-1] > 3
    assert (at.said, at.waits) == ([], [])


def test_what_is_sent(desk: Desks) -> None:
    at = desk([says(GOOD)], max_tokens=777, temperature=0.5, seed=9)
    at.ask()
    [asked] = at.server.requests
    assert asked.path == "/v1/chat/completions"
    body = asked.body
    assert (body["model"], body["max_tokens"], body["temperature"], body["seed"]) == ("scripted", 777, 0.5, 9)
    assert body["messages"] == [{"role": "user", "content": "hello in schema"}]
    schema = body["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["required"] == ["plan", "program"]
    assert schema["schema"]["additionalProperties"] is False


def test_what_may_be_left_out(desk: Desks) -> None:
    at = desk([says(GOOD)], max_tokens_as="max_completion_tokens", temperature=None, seed=None, format="text")
    reply = at.ask()
    body = at.server.requests[0].body
    assert not {"max_tokens", "temperature", "seed", "response_format"} & body.keys()
    assert body["max_completion_tokens"] == 4096
    assert reply.form == "text"
    assert "```python" in reply.text


def test_nothing_of_the_environment_goes_to_strangers(desk: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "secret-of-somebody-else")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer secret-of-somebody-else\nX-Mine: secret-too")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.example/v1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    at = desk([says(GOOD)])
    at.ask()
    headers = at.server.requests[0].headers
    assert "secret" not in json.dumps(headers)
    assert headers.keys() <= {
        "host", "connection", "accept", "content-type", "content-length", "user-agent", "accept-encoding",
    }  # fmt: skip


def test_the_key_goes_into_one_header_and_nowhere_else(desk: Desks) -> None:
    echo = writes(json.dumps({"plan": f"I was given {KEY}", "program": GOOD}))
    at = desk([fails(503, f"busy, {KEY}"), fails(401, f"Incorrect API key: {KEY}")], api_key_env=KEY_ENV)
    with pytest.raises(EndpointError) as caught:
        at.ask()
    assert at.server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps(at.server.requests[0].body)
    assert KEY not in str(caught.value) + "".join(at.said) + repr(at.config)
    assert f"Check the key in {KEY_ENV}" in str(caught.value)
    at = desk([echo], api_key_env=KEY_ENV)
    reply = at.ask()
    assert KEY not in reply.text
    assert "I was given [key]" in reply.text


def test_a_key_that_is_not_there(desk: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_ENV)
    with pytest.raises(ConfigError, match=f"the environment variable {KEY_ENV} is not set"):
        desk([], api_key_env=KEY_ENV)
    monkeypatch.setenv(KEY_ENV, "two\nlines")
    with pytest.raises(ConfigError, match="printable ASCII") as caught:
        desk([], api_key_env=KEY_ENV)
    assert "two" not in str(caught.value)


@pytest.mark.parametrize(
    ("play", "problem"),
    [
        (cut_off(GOOD), "cut off at the limit of its length"),
        (refuses("I will not."), "the model refused: I will not."),
        (writes("{", finish="content_filter"), "content filter"),
        (writes("", finish="tool_calls"), "calls a tool"),
        (writes(""), "the reply is empty"),
        (writes(" \n "), "the reply is empty"),
    ],
)
def test_replies_that_are_none_go_back_to_the_model(desk: Desks, play: Play, problem: str) -> None:
    assert problem in desk([play]).ask().problem


# A busy or broken server


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_busy_servers_are_asked_again(desk: Desks, status: int) -> None:
    at = desk([fails(status), fails(status), says(GOOD)])
    assert at.ask().problem == ""
    assert at.waits == [0.5, 1.0]
    assert f"({status}); again in 0.5 s (2 tries left)" in at.said[0]
    assert "(1 try left)" in at.said[1]


def test_pauses_grow_and_have_an_end(desk: Desks) -> None:
    at = desk([fails(500)] * 11, retries=10)
    with pytest.raises(EndpointError, match=r"has failed \(500\), 11 times"):
        at.ask()
    assert at.waits == [0.5, 1, 2, 4, 8, 16, 20, 20, 20, 20]


def test_jitter_shortens_a_pause_by_half_at_most(desk: Desks) -> None:
    at = desk([fails(500), says(GOOD)])
    at.endpoint._chance = lambda: 0.0
    at.ask()
    assert at.waits == [0.25]


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "7"}, 7.0, 7.71),
        ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5, 1.66),
        ({"Retry-After": email.utils.formatdate(NOW + 30, usegmt=True)}, 30.0, 33.1),
        ({"Retry-After": "58"}, 58.0, 60.0),
        ({"Retry-After": "-5"}, 0.0, 0.0),
        ({"Retry-After": "soon"}, 0.5, 0.5),
        ({"Retry-After": "nan"}, 0.5, 0.5),
        ({"Retry-After": "Mon, 99 Foo 9999 99:99:99 GMT"}, 0.5, 0.5),
    ],
)
def test_the_pause_that_a_server_asks_for(desk: Desks, headers: dict[str, str], least: float, most: float) -> None:
    at = desk([fails(429, headers=headers), says(GOOD)])
    at.ask()
    assert least <= at.waits[0] <= most


def test_a_server_that_asks_for_too_long_a_pause_is_left_alone(desk: Desks) -> None:
    at = desk([fails(429, headers={"Retry-After": "3600"}), says(GOOD)])
    with pytest.raises(EndpointError, match=r"asks to wait 3600 s .*Ask later"):
        at.ask()
    assert (at.waits, len(at.server.requests)) == ([], 1)


@pytest.mark.parametrize("play", [hangs(), hangs("{"), drips(), drips_headers()])
def test_a_server_that_never_ends_is_given_up(desk: Desks, play: Play) -> None:
    """Silence ends by `timeout_s`, a drip by `reply_timeout_s`, before the headers as well as in the middle."""
    at = desk([play, play, play], timeout_s=0.25, reply_timeout_s=0.5, retries=1)
    with pytest.raises(
        EndpointError, match=r"did not answer in time, 2 times .*0\.25 s of silence, 0\.5 s for a reply"
    ):
        at.ask()
    assert len(at.server.requests) == 2


def test_a_hang_may_be_followed_by_a_reply(desk: Desks) -> None:
    at = desk([hangs('{"pl'), says(GOOD)], timeout_s=1.0)
    assert json.loads(at.ask().text)["program"] == GOOD
    assert at.budget.spent.prompt_tokens > 1000, "what was begun is billed"


def test_a_line_that_is_not_hung_up_costs_nothing(desk: Desks) -> None:
    def play(stage: Stage) -> None:
        stage.begin()
        stage.piece('{"plan": "", "program": "x"}')
        stage.piece(finish="stop")
        stage.closing.wait(30)

    at = desk([play], timeout_s=1.0, retries=0)
    assert at.ask().text == '{"plan": "", "program": "x"}'


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (hangs_up(), "cannot be reached, or hung up"),
        (sends(b"data: {not json\n\n", "text/event-stream"), "events that are no JSON"),
        (sends(b"data: \xff\xfe\n\n", "text/event-stream"), "events that are no JSON"),
        (sends(b"data: " + b"[" * 100_000 + b"\n\n", "text/event-stream"), "events that are no JSON"),
        (sends(b'data: {"error": {"message": "overloaded"}}\n\n', "text/event-stream"), "an error.*overloaded"),
        (sends(b"data: [1, 2]\n\n", "text/event-stream"), "broke off in the middle"),
        (sends(b'data: {"choices": 5, "usage": []}\n\ndata: {"choices": [7]}\n\n', "text/event-stream"), "broke off"),
        (sends(b'data: {"choices": [{"delta": 4, "finish_reason": {}}]}\n\n', "text/event-stream"), "broke off"),
        (sends(b"data: [DONE]\n\n", "text/event-stream"), "broke off"),
        (sends(b"", "text/event-stream"), "broke off"),
    ],
)
def test_streams_that_break_are_asked_for_again(desk: Desks, play: Play, said: str) -> None:
    at = desk([play, play], retries=1)
    with pytest.raises(EndpointError, match=said):
        at.ask()
    assert len(at.server.requests) == 2
    at = desk([play, says(GOOD)], retries=1)
    assert at.ask().problem == ""


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (fails(401, "who?"), r"refused us \(401\) \(got who\?\)\. Set api_key_env"),
        (fails(403, "no"), r"refused us \(403\)"),
        (fails(404, "no such model"), "has no model scripted, or is not there .*got no such model"),
        (fails(429, "pay", code="insufficient_quota"), "no quota left .*got pay"),
        (fails(413, "too long"), r"refused the request \(413\) \(got too long\)"),
        (fails(400, "no temperature", param="temperature"), "no temperature.*Set temperature: null"),
        (fails(400, "x", param="max_tokens"), "Set max_tokens_as: max_completion_tokens"),
        (sends(b"<html>hello", "text/html"), "expected text/event-stream, got text/html: <html>hello.*ends in /v1"),
        (sends(b'{"id": 1}'), "got application/json"),
        (sends(b"", "", 204), "no reply that can be read"),
        (sends(b"", "text/html", 302, Location="http://elsewhere.example/v1"), r"redirects to elsewhere\.example"),
        (sends(b"", "text/html", 307, Location="/v2"), "redirects to somewhere else"),
        (sends(b"x" * 50, "text/event-stream", Content_Encoding="gzip"), "a compressed reply"),
        (sends(b"data: " + b"x" * (MAX_BODY_BYTES + 1), "text/event-stream"), "more than 8,000,000 bytes"),
        (floods(), f"more than {MAX_CHARACTERS:,} characters"),
    ],
)
def test_what_no_second_try_will_mend_is_one_line(desk: Desks, play: Play, said: str) -> None:
    at = desk([play] * 3, format="schema")
    with pytest.raises(EndpointError, match=said) as caught:
        at.ask()
    assert len(at.server.requests) == 1
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_redirects_are_not_followed_with_the_key(desk: Desks) -> None:
    there = desk([says(GOOD)])
    at = desk([sends(b"", "text/html", 308, Location=f"{there.config.base_url}/chat/completions")], api_key_env=KEY_ENV)
    with pytest.raises(EndpointError, match="set base_url to where it really is"):
        at.ask()
    assert there.server.requests == []


def test_nobody_there(desk: Desks) -> None:
    at = desk([], retries=1)
    at.server.__exit__(None, None, None)
    with pytest.raises(EndpointError, match=r"cannot be reached, or hung up, 2 times .*Is it running"):
        at.ask()
    assert at.budget.spent.prompt_tokens == 0, "nobody charges for that"


def test_control_characters_of_a_stranger_reach_no_terminal(desk: Desks) -> None:
    at = desk([fails(400, "\x1b[2Jwiped\u202e\r\nsecond line" + "x" * 5000)], format="text")
    with pytest.raises(EndpointError) as caught:
        at.ask()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


# Endpoints without a schema


@pytest.mark.parametrize("status", [400, 422])
def test_an_endpoint_without_schemas_is_asked_for_plain_text_once_and_for_all(desk: Desks, status: int) -> None:
    at = desk([without_schema(says(GOOD), status), says(GOOD), says(GOOD)])
    reply = at.ask()
    assert reply.form == "text"
    assert at.server.requests[-1].messages[0]["content"] == "hello in text"
    at.ask()
    assert [asked.form for asked in at.server.requests] == ["schema", "text", "text"]
    assert len(at.said) == 1
    assert "does not take a JSON schema: asked for plain text from now on" in at.said[0]


def test_who_insists_on_the_schema_gets_the_refusal(desk: Desks) -> None:
    at = desk([without_schema(says(GOOD))], format="schema")
    with pytest.raises(EndpointError, match="response_format is not supported"):
        at.ask()


def test_a_refusal_for_another_reason_is_told_after_both_forms(desk: Desks) -> None:
    at = desk([fails(400, "the prompt is too long"), fails(400, "the prompt is too long")])
    with pytest.raises(EndpointError, match="the prompt is too long"):
        at.ask()
    assert [asked.form for asked in at.server.requests] == ["schema", "text"]


# Budgets


def test_no_request_that_could_go_over_the_budget_is_sent(desk: Desks) -> None:
    at = desk([says(GOOD)], max_tokens=2000, budget_tokens=2000)
    with pytest.raises(BudgetExceeded, match=r"token budget .*at most 2,000 tokens, got 0 spent and up to 2,\d+"):
        at.ask()
    assert at.server.requests == []


def test_the_money_of_a_question_ends(desk: Desks) -> None:
    prices: dict[str, Any] = {"usd_per_million_prompt_tokens": 10.0, "usd_per_million_completion_tokens": 100.0}
    at = desk([says(GOOD, usage=(1000, 3000))] * 5, max_tokens=4000, budget_usd=1.0, **prices)
    at.ask()
    at.ask()
    with pytest.raises(BudgetExceeded, match=r"money budget .*at most 1 USD, got 0\.6200 spent and up to 0\.40"):
        at.ask()
    assert len(at.server.requests) == 2


def test_a_reply_over_the_budget_is_used_and_said(desk: Desks) -> None:
    at = desk([says(GOOD, usage=(5000, 200_000))])
    assert at.ask().problem == ""
    assert at.said == ["the question has taken 205,000 tokens of 100,000"]
    with pytest.raises(BudgetExceeded):
        at.ask()


@pytest.mark.parametrize("usage", [None, (0, 0), (-5, -5), ("many", None), (True, 1.5), (10**30, 10**30)])
def test_what_a_server_does_not_count_is_estimated(desk: Desks, usage: tuple[Any, Any] | None) -> None:
    at = desk([says(GOOD, usage=usage)])
    reply = at.ask("x" * 2500)
    assert 1000 < reply.usage.prompt_tokens < 1100
    assert 20 < reply.usage.completion_tokens < 200


def test_the_last_line_of_defence(desk: Desks) -> None:
    config = desk([]).config
    found = trouble.trouble_of(ZeroDivisionError("odd"), config, trouble.Secret(None), NOW)
    assert "cannot be used (got ZeroDivisionError: odd)" in str(found.error)
    assert not found.again
