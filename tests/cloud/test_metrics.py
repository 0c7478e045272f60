"""What Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra [cloud]")

from prometheus_client.parser import text_string_to_metric_families

from dicem_cloud.batcher import Load
from dicem_cloud.gateway import Gateway
from dicem_cloud.metrics import Meter
from dicem_cloud.service import Finished, Service
from dicem_shared.errors import CallTimeout, DicemError, Overloaded
from dicem_shared.types import Reply, Request

from .http_client import CALL, Asker, Finder, png, serving

Ask = Callable[..., Request]


def samples(meter: Meter, name: str) -> dict[tuple[str, ...], float]:
    """The values of a metric, as Prometheus reads them, by its labels in the order of their names (`le` last)."""
    return {
        tuple(
            value for key, value in sorted(one.labels.items(), key=lambda label: (label[0] == "le", label))
        ): one.value
        for family in text_string_to_metric_families(meter.text()[0].decode())
        for one in family.samples
        if one.name == name
    }


def finished(request: Request, *, vehicle: str = "boat", error: DicemError | None = None, **how: Any) -> Finished:
    reply = None if error else Reply(call_id=request.call_id, result=1, **how.pop("reply", {}))
    return Finished(request, vehicle, reply, error, **how)


def test_a_call_that_was_computed(ask: Ask) -> None:
    meter = Meter(["colour"])
    for _ in range(2):
        meter.observe(
            finished(
                ask(), latency_s=0.32, queue_s=0.02, compute_s=0.3, batch_size=3,
                reply={"price_usd": 0.5, "compute_s": 0.1},
            )
        )  # fmt: skip
    assert samples(meter, "dicem_calls_total") == {("colour", "answered"): 2}
    assert samples(meter, "dicem_wait_seconds_sum") == {("colour",): 0.04}
    assert samples(meter, "dicem_compute_seconds_sum") == {("colour",): 0.6}
    assert samples(meter, "dicem_latency_seconds_sum")[("colour",)] == pytest.approx(0.64)
    assert samples(meter, "dicem_batch_size_bucket")[("colour", "2.0")] == 0
    assert samples(meter, "dicem_batch_size_bucket")[("colour", "4.0")] == 2
    assert samples(meter, "dicem_cost_usd_total") == {("p", "boat"): 1.0}
    assert samples(meter, "dicem_device_seconds_total") == {("p", "boat"): pytest.approx(0.2)}


def test_one_that_was_known_costs_nothing_again(ask: Ask) -> None:
    meter = Meter(["colour"])
    meter.observe(finished(ask(), reply={"price_usd": 0.5, "cached": True}))
    assert samples(meter, "dicem_calls_total") == {("colour", "cached"): 1}
    assert samples(meter, "dicem_cached_total") == {("colour",): 1}
    assert samples(meter, "dicem_cost_usd_total") == {}


def test_refusals_by_reason(ask: Ask) -> None:
    meter = Meter(["colour"])
    for error in (Overloaded("busy", retry_after_s=1), CallTimeout("late"), CallTimeout("late")):
        meter.observe(finished(ask(), error=error))
    assert samples(meter, "dicem_calls_total") == {("colour", "refused"): 3}
    assert samples(meter, "dicem_refusals_total") == {("overloaded",): 1, ("too-late",): 2}


def test_what_vehicles_make_up_does_not_grow_it(ask: Ask) -> None:
    meter = Meter(["colour"], max_pairs=3)
    for number in range(50):
        request = ask().model_copy(update={"function": f"made-up-{number}", "program": f"p{number}"})
        meter.observe(finished(request, vehicle=f"boat-{number}", reply={"price_usd": 1.0}))
    assert samples(meter, "dicem_calls_total") == {("other", "answered"): 50}
    costs = samples(meter, "dicem_cost_usd_total")
    assert costs == {("p0", "boat-0"): 1, ("p1", "boat-1"): 1, ("p2", "boat-2"): 1, ("other", "other"): 47}


def test_it_never_raises(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    Meter(["colour"]).observe(finished(ask()).__class__(None, "boat", None, None))  # type: ignore[arg-type]
    assert "not counted" in caplog.text


def test_odd_names_do_not_break_the_text(ask: Ask) -> None:
    meter = Meter(["colour"])
    program = 'p"\n\\} 7\nevil{x="\U0001f6a2'
    meter.observe(finished(ask().model_copy(update={"program": program}), reply={"price_usd": 2.0}))
    assert samples(meter, "dicem_cost_usd_total") == {(program, "boat"): 2.0}


def test_what_waits_is_read_when_it_is_asked_for(ask: Ask) -> None:
    meter, load = Meter(["colour"]), [Load(waiting=3, running=1, oldest_s=0.5, expected_wait_s=2.0)]
    meter.watch(lambda: {"colour": load[0]})
    assert samples(meter, "dicem_queue_depth") == {("colour",): 3}
    load[0] = Load(waiting=0, running=0, oldest_s=0.0, expected_wait_s=0.0)
    assert samples(meter, "dicem_queue_depth") == {("colour",): 0}
    assert samples(meter, "dicem_queue_oldest_seconds") == {("colour",): 0.0}
    meter.gauge("streams", "Streams", lambda: 7.0)
    assert samples(meter, "dicem_streams") == {(): 7.0}


def test_a_service_tells_it(gateway: Gateway, ask: Ask) -> None:
    meter = Meter(gateway.functions)
    with Service(gateway, observers=[meter.observe]) as service:
        meter.watch(service.loads)
        service.submit(ask(), vehicle="boat").result(30)
        service.submit(ask(), vehicle="boat").result(30)
        assert service.submit(ask("nothing"), vehicle="boat").exception(30) is not None
    assert samples(meter, "dicem_calls_total") == {
        ("colour", "answered"): 1, ("colour", "cached"): 1, ("other", "refused"): 1
    }  # fmt: skip
    assert samples(meter, "dicem_queue_depth") == {("colour",): 0, ("liar",): 0, ("depth",): 0}


class TestOverHttp:
    def test_requests_are_counted_by_route(self, clock: Any) -> None:
        meter = Meter(["yolov8", "blip2"])
        with serving(clock, Finder(), Asker(), meter=meter) as client:
            client.post(CALL, files={"image": ("a.png", png())})
            client.post(CALL, files={"image": ("a.png", b"x")})
            for path in ("/v1/functions/yolov8", "/v1/functions/nothing", "/what/ever", "/what/else"):
                client.get(path)
            client.request("BREW", "/v1/functions")
            text = client.get("/metrics")
        assert text.headers["content-type"].startswith("text/plain")
        assert samples(meter, "dicem_http_requests_total") == {
            ("POST", "/v1/functions/{name}:call", "200"): 1,
            ("POST", "/v1/functions/{name}:call", "400"): 1,
            ("GET", "/v1/functions/{name}", "200"): 1,
            ("GET", "/v1/functions/{name}", "404"): 1,
            ("GET", "other", "404"): 2,
            ("other", "/v1/functions", "405"): 1,
            ("GET", "/metrics", "200"): 1,
        }
        assert samples(meter, "dicem_http_refusals_total") == {
            ("", "bad-image"): 1, ("", "unknown-function"): 1, ("", "failed"): 3,
        }  # fmt: skip
        assert 'dicem_calls_total{function="yolov8",outcome="answered"} 1.0' in text.text

    def test_openmetrics_where_it_is_asked_for(self, clock: Any) -> None:
        with serving(clock, meter=Meter(["yolov8"])) as client:
            response = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        assert response.headers["content-type"].startswith("application/openmetrics-text")
        assert response.text.rstrip().endswith("# EOF")

    def test_they_may_be_public(self, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from dicem_cloud.http.app import create_app

        from .http_client import Client, config

        monkeypatch.setenv("CLOUD_TOKEN", "t")
        locked = config(token_env="CLOUD_TOKEN")
        public = locked.model_copy(update={"metrics": locked.metrics.model_copy(update={"public": True})})
        with serving(clock) as client:
            service = client.service
            for settings, status in ((locked, 401), (public, 200)):
                assert Client(create_app(service, settings, meter=Meter([]))).get("/metrics").status_code == status
