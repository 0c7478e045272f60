"""Tokens, roles and rates: who may do what, how often, and what he sees of others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from dicem_cloud.http.errors import Forbidden, RateLimited, Unauthorised
from dicem_cloud.http.limits import Rates
from dicem_cloud.http.settings import ROLES, HttpConfig, Key, RateConfig
from dicem_cloud.http.tokens import Caller, Tokens
from dicem_cloud.metrics import Meter
from dicem_cloud.store.opened import open_store
from dicem_cloud.store.settings import StoreConfig
from dicem_shared.errors import ConfigError

from .http_client import CALL, Asker, Client, Finder, error, png, serving

ASK = "/v1/functions/blip2:call"
TOKENS = {"reader": "r-token", "caller": "c-token", "both": "b-token", "boss": "a-token"}
ROLES_OF = {"reader": ["read"], "caller": ["call"], "both": ["read", "call"], "boss": ["admin"]}


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name]}"}


@pytest.fixture
def asker() -> Asker:
    return Asker()


@pytest.fixture
def client(clock: Any, asker: Asker) -> Iterator[Client]:
    tokens = [{"name": name, "sha256": hashed(token), "roles": ROLES_OF[name]} for name, token in TOKENS.items()]
    store = open_store(StoreConfig(), clock)
    with store, serving(
        clock, asker, Finder(), http={"tokens": tokens}, records=store, meter=Meter(["blip2", "yolov8"])
    ) as made:  # fmt: skip
        yield made


@pytest.mark.parametrize(
    ("method", "path", "roles"),
    [
        ("GET", "/v1/functions", {"read", "call"}),
        ("GET", "/v1/functions/blip2", {"read", "call"}),
        ("POST", CALL, {"call"}),
        ("GET", "/v1/answers", {"read"}),
        ("GET", "/v1/answers/x", {"read"}),
        ("GET", "/v1/answers/live", {"read"}),
        ("GET", "/v1/vehicles", {"read"}),
        ("GET", "/v1/vehicles/a/b", {"read"}),
        ("GET", "/v1/programs", {"read"}),
        ("GET", "/v1/programs/x", {"read"}),
        ("GET", "/metrics", {"read"}),
    ],
)
def test_each_route_has_its_roles(client: Client, method: str, path: str, roles: set[str]) -> None:
    for name, own in ROLES_OF.items():
        allowed = bool(roles & set(own)) or own == ["admin"]
        if allowed and path.endswith("live"):
            continue  # it does not end by itself
        response = client.request(method, path, headers=bearer(name))
        if allowed:
            assert response.status_code not in (401, 403), (name, response.text)
        else:
            assert error(response, 403)["reason"] == "forbidden"
            assert TOKENS[name] not in response.text
    said = error(client.request(method, path), 401)
    assert said["reason"] == "unauthorised"


def test_every_route_is_behind_a_door(client: Client) -> None:
    """Whoever adds a route decides who may use it: nothing is open but what stands here."""
    found = client.get("/v1/openapi.json").json()["paths"]
    is_open = {
        path for path, methods in found.items() for one in methods.values() if not one.get("security")
    }  # fmt: skip
    assert is_open == {"/healthz", "/readyz"}


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer  c-token", "c-token", "Basic c-token", "Bearer c-token ", "Bearer c-tokens",
     "Bearer " + hashed("c-token"), "Bearer \xe9"],
)  # fmt: skip
def test_a_wrong_token(header: str) -> None:
    key = Key("caller", bytes.fromhex(hashed("c-token")), ROLES, None)
    with pytest.raises(Unauthorised) as caught:
        Tokens([key]).caller(header)
    assert "c-token" not in str(caught.value)


def test_the_scheme_is_not_case_sensitive_and_the_token_is() -> None:
    tokens = Tokens([Key("caller", bytes.fromhex(hashed("Abc")), ROLES, None)])
    assert tokens.caller("bearer Abc").name == "caller"
    with pytest.raises(Unauthorised):
        tokens.caller("Bearer abc")


def test_a_token_beyond_ascii_is_compared_as_bytes() -> None:
    token = "Schlüssel"
    shown = f"Bearer {token}".encode().decode("latin-1")  # as a server hands a header over
    assert Tokens([Key("x", bytes.fromhex(hashed(token)), ROLES, None)]).caller(shown).name == "x"


def test_no_caller_sees_what_another_was_answered(client: Client, asker: Asker) -> None:
    """Neither the cached result of another, nor his images."""
    seen = []
    for name in ("caller", "both", "caller"):
        response = client.post(
            ASK,
            files={"image": ("a.png", png())},
            data={"query": "What?"},
            headers=bearer(name) | {"Idempotency-Key": "k"},
        )
        seen.append(response.json()["cached"])
    assert (seen, len(asker.asked)) == ([False, False, True], 2)


def test_each_caller_is_a_vehicle_of_his_own() -> None:
    assert Caller("anna", ROLES).vehicle == "_http-anna"
    assert Caller("", ROLES).vehicle == "_http"
    assert len(Caller("x" * 26, ROLES).vehicle) == 32


def test_a_role_that_is_missing_is_named() -> None:
    with pytest.raises(Forbidden, match="the role read or admin") as caught:
        Caller("anna", frozenset({"call"})).need("read", "admin")
    assert "anna" in str(caught.value)


class TestConfig:
    def test_tokens_from_the_environment_and_the_old_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ANNA", "a")
        monkeypatch.setenv("OLD", "o")
        config = HttpConfig.model_validate(
            {
                "token_env": "OLD",
                "rate": {"per_s": 5},
                "tokens": [
                    {"name": "anna", "env": "ANNA", "roles": ["read"], "rate": {"per_s": 1, "burst": 2}},
                    {"name": "bert", "sha256": hashed("b"), "roles": ["call"]},
                ],
            }
        )
        keys = {key.name: key for key in config.token_keys()}
        assert {name: key.sha256.hex() for name, key in keys.items()} == {
            "anna": hashed("a"), "bert": hashed("b"), "default": hashed("o"),
        }  # fmt: skip
        assert keys["default"].roles == ROLES
        assert [keys[name].rate.per_s for name in ("anna", "bert", "default")] == [1, 5, 5]  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("http", "said"),
        [
            ({"tokens": [{"name": "a", "roles": ["read"]}]}, "either env or sha256"),
            ({"tokens": [{"name": "a", "roles": ["read"], "env": "A", "sha256": "0" * 64}]}, "either env or sha256"),
            ({"tokens": [{"name": "a", "roles": [], "env": "A"}]}, "roles"),
            ({"tokens": [{"name": "a", "roles": ["root"], "env": "A"}]}, "roles"),
            ({"tokens": [{"name": "a/b", "roles": ["read"], "env": "A"}]}, "name"),
            ({"tokens": [{"name": "x" * 27, "roles": ["read"], "env": "A"}]}, "name"),
            ({"tokens": [{"name": "a", "roles": ["read"], "token": "s3cret"}]}, "token"),
            ({"tokens": [{"name": "a", "roles": ["read"], "sha256": "s3cret"}]}, "sha256"),
            ({"tokens": [{"name": "a", "roles": ["read"], "env": x} for x in "AB"]}, "two tokens are called a"),
            ({"tokens": [{"name": "default", "roles": ["read"], "env": "A"}], "token_env": "B"}, "two tokens"),
            ({"host": "0.0.0.0"}, "needs token_env or tokens"),
            ({"max_bodies_mb": 1}, "max_bodies_mb"),
            ({"rate": {"per_s": 0}}, "per_s"),
        ],
    )  # fmt: skip
    def test_what_is_refused(self, http: dict[str, Any], said: str) -> None:
        with pytest.raises(ValidationError, match=said):
            HttpConfig.model_validate(http)

    @pytest.mark.parametrize("value", [None, ""])
    def test_a_variable_that_is_not_set(self, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        monkeypatch.setenv("ANNA", value) if value is not None else monkeypatch.delenv("ANNA", raising=False)
        config = HttpConfig.model_validate({"tokens": [{"name": "anna", "env": "ANNA", "roles": ["read"]}]})
        with pytest.raises(ConfigError, match="ANNA is not set"):
            config.token_keys()

    def test_two_names_may_not_share_a_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ANNA", "same")
        config = HttpConfig.model_validate(
            {"token_env": "ANNA", "tokens": [{"name": "bert", "sha256": hashed("same"), "roles": ["read"]}]}
        )
        with pytest.raises(ConfigError, match="share a token"):
            config.token_keys()


class TestRates:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    def test_a_burst_then_as_much_as_flows_in(self) -> None:
        clock = self.Clock()
        rates = Rates([Key("anna", b"", ROLES, RateConfig(per_s=2, burst=3))], None, clock)  # type: ignore[arg-type]
        for _ in range(3):
            rates.take("anna")
        with pytest.raises(RateLimited) as caught:
            rates.take("anna")
        assert caught.value.retry_after_s == pytest.approx(0.5)
        clock.now = 0.5
        rates.take("anna")
        with pytest.raises(RateLimited):
            rates.take("anna")
        clock.now = 1000.0  # no more than a burst is ever saved up
        for _ in range(3):
            rates.take("anna")
        with pytest.raises(RateLimited):
            rates.take("anna")

    def test_callers_do_not_share_a_bucket(self) -> None:
        rate = RateConfig(per_s=1, burst=1)
        keys = [Key("anna", b"", ROLES, rate), Key("bert", b"", ROLES, rate), Key("carl", b"", ROLES, None)]
        rates = Rates(keys, None, self.Clock())  # type: ignore[arg-type]
        rates.take("anna")
        rates.take("bert")
        for _ in range(100):
            rates.take("carl")
        with pytest.raises(RateLimited):
            rates.take("anna")

    def test_over_http(self, clock: Any) -> None:
        with serving(clock, http={"rate": {"per_s": 0.1, "burst": 2}}) as client:
            assert [client.get("/v1/functions").status_code for _ in range(3)] == [200, 200, 429]
            refused = client.get("/v1/functions")
            assert error(refused, 429)["reason"] == "rate-limited"
            assert refused.headers["retry-after"] == "10"
            assert client.get("/healthz").status_code == 200
            clock.ticks += 10
            assert client.get("/v1/functions").status_code == 200
