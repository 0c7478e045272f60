"""The service: every call has one end, whoever else asks the same, gives up, or computes it elsewhere."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import pytest

from dicem_cloud import service as service_module
from dicem_cloud.config import Limits
from dicem_cloud.gateway import Gateway
from dicem_cloud.results import Claim, MemoryResults, ResultStore
from dicem_cloud.service import Finished, Service
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.clock import SystemClock
from dicem_shared.errors import (
    BlobMissing,
    CallTimeout,
    DicemError,
    FunctionError,
    InvalidCall,
    MessageError,
    Overloaded,
    UnknownFunction,
)
from dicem_shared.implementations import Work
from dicem_shared.types import Reply, Request

from .conftest import Colour, Liar

PATIENCE_S = 20
Ask = Callable[..., Request]


class Held(Colour):
    """Waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.began = threading.Semaphore(0), threading.Semaphore(0)

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        self.began.release()
        assert self.go.acquire(timeout=PATIENCE_S)
        return super().run(batch)

    def wait_for_batch(self) -> None:
        assert self.began.acquire(timeout=PATIENCE_S)

    def open(self) -> None:
        for _ in range(1000):
            self.go.release()


class Clock(SystemClock):
    ahead_s = 0.0

    def utc(self) -> float:
        return super().utc() + self.ahead_s


@pytest.fixture
def requests(ask: Ask) -> Ask:
    """Requests with different call ids, whose deadline is a minute from now."""
    numbers = count()

    def make(*given: Any, call: int | None = None, **more: Any) -> Request:
        request = ask(*given, **more)
        number = next(numbers) if call is None else call
        deadline = SystemClock().utc() + 60.0
        return request.model_copy(update={"call_id": f"{number:032x}", "deadline_utc": deadline})

    return make


@contextmanager
def serving(
    colours: Colour, *, results: ResultStore | None = None, clock: Clock | None = None, **more: Any
) -> Iterator[tuple[Service, list[Finished]]]:
    clock = clock or Clock()
    seen: list[Finished] = []
    limits = Limits.model_validate(more)
    functions = {"colour": colours, "liar": Liar()}
    gateway = Gateway(
        functions, MemoryBlobStore(clock), clock, prices={"colour": 3600.0}, limits=limits, results=results
    )
    with Service(gateway, observers=[seen.append]) as service:
        yield service, seen


def reply(future: Future[Reply]) -> Reply:
    return future.result(PATIENCE_S)


def test_calls_share_a_batch_and_each_pays_its_share(requests: Ask) -> None:
    held = Held()
    with serving(held) as (service, seen):
        first = service.submit(requests(), vehicle="boat")
        held.wait_for_batch()
        others = [service.submit(requests(), vehicle="boat") for _ in range(3)]
        held.open()
        replies = [reply(each) for each in (first, *others)]
    assert held.batches == [1, 3]
    assert [each.result for each in replies] == [{"output": "red"}] * 4
    assert all(each.queue_s >= 0 and each.price_usd == each.compute_s > 0 for each in replies)
    assert sorted(each.batch_size for each in seen) == [1, 3, 3, 3]
    found = {each.request.call_id: each for each in seen}
    assert found[replies[1].call_id].compute_s == pytest.approx(3 * replies[1].compute_s)
    assert all(each.latency_s >= each.queue_s for each in seen)


def test_a_bad_image_in_a_batch_fails_alone(requests: Ask) -> None:
    held = Held()
    with serving(held) as (service, _):
        service.submit(requests(), vehicle="boat")
        held.wait_for_batch()
        good, bad = requests(), requests()
        bad = bad.model_copy(update={"blobs": (bad.blobs[0].model_copy(update={"data": b"\xff\xd8 no image"}),)})
        missing = requests(vehicle="other")
        missing = missing.model_copy(update={"blobs": ()})
        futures = [
            service.submit(good, vehicle="boat"),
            service.submit(bad, vehicle="boat"),
            service.submit(missing, vehicle="other"),
        ]
        held.open()
        assert reply(futures[0]).result == {"output": "red"}
        with pytest.raises(MessageError, match="a blob is not what its id says"):
            reply(futures[1])
        with pytest.raises(BlobMissing):
            reply(futures[2])


def test_what_cannot_be_served_is_said_at_once(requests: Ask) -> None:
    with serving(Colour()) as (service, seen):
        with pytest.raises(UnknownFunction, match="Did you mean colour"):
            reply(service.submit(requests("color"), vehicle="boat"))
        with pytest.raises(MessageError, match="not its sender's own"):
            reply(service.submit(requests(), vehicle="pirate"))
        with pytest.raises(FunctionError, match="its schema does not allow"):
            reply(service.submit(requests("liar"), vehicle="boat"))
        with pytest.raises(FunctionError, match=r"colour failed \(KeyError\)") as caught:
            reply(service.submit(requests(wanted="crash"), vehicle="boat"))
        with pytest.raises(InvalidCall, match="wrong"):
            reply(service.submit(requests(wrong=1), vehicle="boat"))
    assert "secret" not in str(caught.value)
    assert [type(each.error) for each in seen] == [
        UnknownFunction,
        MessageError,
        FunctionError,
        FunctionError,
        InvalidCall,
    ]


class TestTwins:
    def test_a_call_that_comes_again_while_it_is_computed_is_computed_once(self, requests: Ask) -> None:
        held = Held()
        with serving(held) as (service, seen):
            request = requests(call=7)
            first = service.submit(request, vehicle="boat")
            held.wait_for_batch()
            again = service.submit(request.model_copy(update={"attempt": 2}), vehicle="boat")
            other = service.submit(requests(call=7, vehicle="other"), vehicle="other")
            held.open()
            found, repeated = reply(first), reply(again)
            assert not reply(other).cached
        assert held.batches == [1, 1]
        assert (found.attempt, found.cached, repeated.attempt, repeated.cached) == (1, False, 2, True)
        assert repeated.result == found.result
        assert len(seen) == 2

    def test_both_are_told_why_it_failed_and_the_next_attempt_may_fare_better(self, requests: Ask) -> None:
        held = Held()
        with serving(held) as (service, _):
            request = requests(call=7, wanted="crash")
            futures = [service.submit(request, vehicle="boat") for _ in range(2)]
            held.open()
            for future in futures:
                with pytest.raises(FunctionError):
                    reply(future)
            assert reply(service.submit(requests(call=7), vehicle="boat")).result == {"output": "red"}

    def test_one_who_gives_up_does_not_take_the_other_along(self, requests: Ask) -> None:
        held = Held()
        with serving(held) as (service, _):
            service.submit(requests(), vehicle="boat")
            held.wait_for_batch()
            futures = [service.submit(requests(call=7), vehicle="boat") for _ in range(2)]
            assert futures[0].cancel()
            held.open()
            assert reply(futures[1]).result == {"output": "red"}

    def test_what_nobody_waits_for_is_not_computed(self, requests: Ask) -> None:
        held = Held()
        with serving(held) as (service, _):
            service.submit(requests(), vehicle="boat")
            held.wait_for_batch()
            futures = [service.submit(requests(call=7), vehicle="boat") for _ in range(2)]
            assert service.loads()["colour"].waiting == 1
            assert all(future.cancel() for future in futures)
            assert service.loads()["colour"].waiting == 0
            again = service.submit(requests(call=7), vehicle="boat")
            held.open()
            assert reply(again).result == {"output": "red"}
        assert held.batches == [1, 1]


class TestBounds:
    def test_too_many_calls_are_refused_with_a_time_to_come_back(self, requests: Ask) -> None:
        held = Held()
        with serving(held, waiting_calls=2) as (service, seen):
            service.submit(requests(), vehicle="boat")
            held.wait_for_batch()
            kept = [service.submit(requests(), vehicle="boat") for _ in range(2)]
            with pytest.raises(Overloaded, match="too many calls wait") as caught:
                reply(service.submit(requests(), vehicle="boat"))
            assert caught.value.retry_after_s > 0
            assert isinstance(seen[0].error, Overloaded)
            held.open()
            assert len({reply(each).call_id for each in kept}) == 2

    def test_too_many_bytes_are_refused_and_room_comes_back(self, requests: Ask) -> None:
        held = Held()
        with serving(held, waiting_mb=0.002) as (service, _):
            running = service.submit(requests(), vehicle="boat")
            held.wait_for_batch()
            with pytest.raises(Overloaded, match="too many images wait"):
                reply(service.submit(requests(), vehicle="boat"))
            held.open()
            reply(running)
            assert reply(service.submit(requests(), vehicle="boat")).result == {"output": "red"}

    def test_what_has_become_too_old_is_not_computed(self, requests: Ask) -> None:
        clock = Clock()
        with serving(Colour(), clock=clock) as (service, _):
            request = requests()
            clock.ahead_s = 3600.0
            with pytest.raises(CallTimeout, match="before the call came"):
                reply(service.submit(request, vehicle="boat"))

    def test_what_does_not_fit_is_refused_before_it_waits(self, requests: Ask) -> None:
        """It could be of any size."""
        held = Held()
        with serving(held) as (service, _):
            service.submit(requests(), vehicle="boat")
            held.wait_for_batch()
            junks: tuple[dict[str, Any], ...] = ({"wanted": [[]] * 1000}, {f"p{n}": 0 for n in range(10_000)})
            for junk in junks:
                request = requests()
                request.params.update(junk)
                with pytest.raises(InvalidCall):
                    service.submit(request, vehicle="boat").result(0)
            assert service.loads()["colour"].waiting == 0
            held.open()

    def test_what_is_refused_asks_nothing_of_the_store(self, requests: Ask) -> None:
        shared, held, asked = Shared(), Held(), list[str]()

        class Counting(Holder):
            def claim(self, vehicle: str, call_id: str) -> Reply | Claim:
                asked.append(call_id)
                return super().claim(vehicle, call_id)

            def release(self, vehicle: str, call_id: str) -> None:
                asked.append(call_id)
                super().release(vehicle, call_id)

        with serving(held, results=Counting(shared, "a"), waiting_calls=1) as (service, seen):
            service.submit(requests(), vehicle="boat")
            held.wait_for_batch()
            service.submit(requests(), vehicle="boat")
            again, known = requests(call=7), len(asked)
            with pytest.raises(Overloaded):
                service.check(again, vehicle="boat")
            with pytest.raises(Overloaded):
                reply(service.submit(again, vehicle="boat"))
            assert len(asked) == known
            assert [type(each.error) for each in seen] == [Overloaded, Overloaded]
            held.open()

    def test_what_is_known_is_answered_however_much_waits(self, requests: Ask) -> None:
        held = Held()
        with serving(held, waiting_calls=1) as (service, _):
            held.open()
            first = reply(service.submit(requests(call=7), vehicle="boat"))
            held.go = threading.Semaphore(0)
            held.wait_for_batch()
            service.submit(requests(), vehicle="boat")
            held.wait_for_batch()
            service.submit(requests(), vehicle="boat")
            service.check(requests(call=7), vehicle="boat")
            assert reply(service.submit(requests(call=7), vehicle="boat")).result == first.result
            held.open()

    def test_at_the_end_nobody_is_left_waiting(self, requests: Ask) -> None:
        held = Held()
        with serving(held) as (service, _):
            running = service.submit(requests(), vehicle="boat")
            held.wait_for_batch()
            waiting = service.submit(requests(), vehicle="boat")
            waiting.add_done_callback(lambda _: held.open())
        assert reply(running).result == {"output": "red"}
        with pytest.raises(Overloaded, match="being stopped"):
            reply(waiting)


class TestCall:
    def test_where_the_function_is_idle_it_is_computed_by_the_caller(self, requests: Ask) -> None:
        threads: list[str] = []

        class Named(Colour):
            def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
                threads.append(threading.current_thread().name)
                return super().run(batch)

        with serving(Named()) as (service, seen):
            assert service.call(requests(call=1), vehicle="boat").result == {"output": "red"}
            assert service.call(requests(call=1), vehicle="boat").cached
            with pytest.raises(FunctionError):
                service.call(requests(wanted="crash"), vehicle="boat")
            with pytest.raises(UnknownFunction):
                service.call(requests("color"), vehicle="boat")
        assert set(threads) == {threading.current_thread().name}
        assert len(seen) == 4

    def test_a_twin_waits_for_the_one_under_way(self, requests: Ask) -> None:
        held = Held()
        with serving(held) as (service, _):
            first = service.submit(requests(call=1), vehicle="boat")
            held.wait_for_batch()
            held.open()
            assert service.call(requests(call=1), vehicle="boat").result == reply(first).result
        assert held.batches == [1]


class Shared(MemoryResults):
    """What several gateways share, with claims that end when their holder says so."""

    def __init__(self) -> None:
        super().__init__(100)
        self.claims: dict[tuple[str, str], object] = {}
        self.asked = threading.Semaphore(0)

    def of(self, holder: str) -> ResultStore:
        return Holder(self, holder)


class Holder(ResultStore):
    def __init__(self, shared: Shared, name: str) -> None:
        self.shared, self.name = shared, name

    def claim(self, vehicle: str, call_id: str) -> Reply | Claim:
        known = self.shared.claim(vehicle, call_id)
        if isinstance(known, Reply):
            return known
        ours = self.shared.claims.setdefault((vehicle, call_id), self.name) == self.name
        if not ours:
            self.shared.asked.release()
        return Claim.OURS if ours else Claim.ELSEWHERE

    def put(self, vehicle: str, reply: Reply) -> Reply:
        kept = self.shared.put(vehicle, reply)
        self.release(vehicle, reply.call_id)
        return kept

    def release(self, vehicle: str, call_id: str) -> None:
        if self.shared.claims.get((vehicle, call_id)) == self.name:
            del self.shared.claims[vehicle, call_id]


class TestTwoGateways:
    def test_what_the_other_computes_is_waited_for(self, requests: Ask) -> None:
        shared, held, idle = Shared(), Held(), Colour()
        with (
            serving(held, results=shared.of("a")) as (one, _),
            serving(idle, results=shared.of("b")) as (two, _),
        ):
            first = one.submit(requests(call=1), vehicle="boat")
            held.wait_for_batch()
            second = two.submit(requests(call=1).model_copy(update={"attempt": 2}), vehicle="boat")
            assert shared.asked.acquire(timeout=PATIENCE_S)
            held.open()
            assert reply(second).result == reply(first).result
            assert (reply(second).cached, reply(second).attempt) == (True, 2)
        assert (held.batches, idle.batches) == ([1], [])

    def test_where_the_other_fails_it_is_computed_here(self, requests: Ask) -> None:
        shared, held, idle = Shared(), Held(), Colour()
        with (
            serving(held, results=shared.of("a")) as (one, _),
            serving(idle, results=shared.of("b")) as (two, _),
        ):
            first = one.submit(requests(call=1, wanted="crash"), vehicle="boat")
            held.wait_for_batch()
            second = two.submit(requests(call=1), vehicle="boat")
            assert shared.asked.acquire(timeout=PATIENCE_S)
            held.open()
            with pytest.raises(FunctionError):
                reply(first)
            assert reply(second).result == {"output": "red"}

    def test_the_first_answer_stays_where_both_computed(self, requests: Ask) -> None:
        shared, held = Shared(), Held()
        with serving(held, results=shared.of("a")) as (service, _):
            future = service.submit(requests(call=1), vehicle="boat")
            held.wait_for_batch()
            faster = Reply(call_id=f"{1:032x}", attempt=5, result={"output": "faster"})
            shared.put("boat", faster)
            held.open()
            assert (reply(future).result, reply(future).attempt) == ({"output": "faster"}, 1)

    def test_who_waits_for_another_has_a_deadline_and_may_give_up(self, requests: Ask) -> None:
        shared, clock = Shared(), Clock()
        shared.claims["boat", f"{1:032x}"] = shared.claims["boat", f"{2:032x}"] = "gone"
        with serving(Colour(), results=shared.of("b"), clock=clock) as (service, _):
            late, unwanted = (service.submit(requests(call=n), vehicle="boat") for n in (1, 2))
            assert unwanted.cancel()
            clock.ahead_s = 3600.0
            with pytest.raises(CallTimeout, match="another gateway"):
                reply(late)

    def test_a_claim_is_renewed_while_its_call_is_under_way(
        self, requests: Ask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service_module, "RENEW_S", 0.01)
        claims = threading.Semaphore(0)

        class Counting(Holder):
            def claim(self, vehicle: str, call_id: str) -> Reply | Claim:
                claims.release()
                return super().claim(vehicle, call_id)

        shared, held = Shared(), Held()
        with serving(held, results=Counting(shared, "a")) as (service, seen):
            future = service.submit(requests(call=1), vehicle="boat")
            for _ in range(5):
                assert claims.acquire(timeout=PATIENCE_S)
            held.open()
            assert reply(future).result == {"output": "red"}
        assert (len(seen), shared.claims) == (1, {})

    def test_another_that_took_it_over_and_was_faster_is_believed(
        self, requests: Ask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service_module, "RENEW_S", 0.01)
        shared, held = Shared(), Held()
        with serving(held, results=shared.of("a")) as (service, seen):
            future = service.submit(requests(call=1), vehicle="boat")
            held.wait_for_batch()
            shared.put("boat", Reply(call_id=f"{1:032x}", result={"output": "faster"}))
            assert reply(future).result == {"output": "faster"}
            held.open()
        assert len(seen) <= 2

    def test_vehicles_of_one_name_in_two_fleets_are_two(self, requests: Ask) -> None:
        colours = Colour()
        with serving(colours) as (service, _):
            first = reply(service.submit(requests(call=1), vehicle="boat", fleet="north"))
            other = requests(call=1).model_copy(update={"blobs": ()})
            with pytest.raises(BlobMissing):
                reply(service.submit(other, vehicle="boat", fleet="south"))
            assert reply(service.submit(other, vehicle="boat", fleet="north")).cached
        assert (first.cached, colours.batches) == (False, [1])

    def test_at_the_end_who_waits_for_another_is_told(self, requests: Ask) -> None:
        shared = Shared()
        shared.claims["boat", f"{1:032x}"] = "gone"
        with serving(Colour(), results=shared.of("b")) as (service, _):
            waits = service.submit(requests(call=1), vehicle="boat")
            assert shared.asked.acquire(timeout=PATIENCE_S)
        with pytest.raises(Overloaded, match="being stopped"):
            reply(waits)
        with pytest.raises(Overloaded, match="being stopped"):
            reply(service.submit(requests(call=1), vehicle="boat"))
        assert shared.claims == {("boat", f"{1:032x}"): "gone"}


def test_who_finds_another_at_work_while_we_stop_is_told(requests: Ask) -> None:
    """Nobody watches for the other's answer any more."""
    asked, watcher = threading.Event(), list[threading.Thread]()

    class Late(MemoryResults):
        def claim(self, vehicle: str, call_id: str) -> Reply | Claim:
            asked.set()
            watcher[0].join(PATIENCE_S)
            return Claim.ELSEWHERE

    futures: list[Future[Reply]] = []
    with serving(Colour(), results=Late(1)) as (service, _):
        watcher.append(service._watcher)
        caller = threading.Thread(target=lambda: futures.append(service.submit(requests(), vehicle="boat")))
        caller.start()
        assert asked.wait(PATIENCE_S)
    caller.join(PATIENCE_S)
    with pytest.raises(Overloaded, match="being stopped"):
        reply(futures[0])
    assert service._under_way == {}


def test_a_failing_observer_harms_nobody(requests: Ask) -> None:
    clock = Clock()

    def broken(_: Finished) -> None:
        raise RuntimeError("observer")

    gateway = Gateway({"colour": Colour()}, MemoryBlobStore(clock), clock)
    with Service(gateway, observers=[broken]) as service:
        assert reply(service.submit(requests(), vehicle="boat")).result == {"output": "red"}


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_asked_cancelled_and_refused_every_call_ends_and_nothing_stays(requests: Ask, seed: int) -> None:
    given = [requests(call=number, vehicle=f"v{number % 5}") for number in range(40)]

    def caller(service: Service, seed: int, futures: list[Future[Reply]]) -> None:
        chance = random.Random(seed)
        for _ in range(60):
            request = chance.choice(given)
            future = service.submit(request, vehicle=request.vehicle)
            futures.append(future)
            if chance.random() < 0.3:
                future.cancel()

    with serving(Colour(), waiting_calls=8, waiting_mb=0.05, results_kept=3) as (service, seen):
        futures: list[list[Future[Reply]]] = [[] for _ in range(6)]
        threads = [
            threading.Thread(target=caller, args=(service, 100 * seed + n, own)) for n, own in enumerate(futures)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        every = [future for own in futures for future in own]
        assert len(every) == 360
        for future in every:
            if not future.cancelled():
                with suppress(DicemError):
                    assert reply(future).result == {"output": "red"}
    assert service._under_way == {}
    assert service._bytes == 0
    assert {type(each.error) for each in seen} <= {type(None), Overloaded}
