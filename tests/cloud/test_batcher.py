"""The batcher: real threads, an implementation that does as it is told, and no sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from dicem_cloud.batcher import Batcher, Done
from dicem_cloud.waiting import Bounds, Flow
from dicem_shared import catalog
from dicem_shared.clock import SystemClock
from dicem_shared.errors import CallTimeout, FunctionError, ImageError, Overloaded
from dicem_shared.implementations import Implementation, Work
from dicem_shared.types import ModelId

A, B = Flow("a"), Flow("b")
PATIENCE_S = 20
"""until a test that hangs fails"""


class Model(Implementation):
    """Answers with what it was asked; holds each batch until it is let go, where `held`."""

    spec = catalog.llm
    model = ModelId(function="llm", name="parrot", sha256="0" * 64)

    def __init__(self, answer: Callable[[str], Any] = str.upper, *, held: bool = False) -> None:
        self.answer, self.batches = answer, list[list[str]]()
        self.go, self.began = threading.Semaphore(0 if held else 10**6), threading.Semaphore(0)

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        prompts = [work.params["prompt"] for work in batch]
        self.batches.append(prompts)
        self.began.release()
        assert self.go.acquire(timeout=PATIENCE_S)
        return [self.answer(prompt) for prompt in prompts]

    def wait_for_batch(self) -> None:
        assert self.began.acquire(timeout=PATIENCE_S)


class Clock(SystemClock):
    """The system's, which can be put forward."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class Desk:
    def __init__(self, batcher: Batcher, clock: Clock) -> None:
        self.batcher, self.clock = batcher, clock

    def ask(self, prompt: str, flow: Flow = A, *, priority: int = 5) -> Future[Done]:
        deadline_s = self.clock.monotonic() + 60.0
        work = Work({"prompt": prompt})
        return self.batcher.submit(lambda: work, flow, priority=priority, deadline_s=deadline_s)

    def call(self, prompt: str) -> Done:
        return self.batcher.call(lambda: Work({"prompt": prompt}), A, deadline_s=self.clock.monotonic() + 60.0)


@contextmanager
def desk(
    model: Model, max_batch: int = 1, max_wait_s: float = 0.0, max_waiting: int = 100, *, ahead: int = 0, **more: Any
) -> Iterator[Desk]:
    clock = Clock()
    with Batcher(model, Bounds(max_batch, max_wait_s, max_waiting), clock, ahead=ahead, **more) as batcher:
        yield Desk(batcher, clock)


def outcome(future: Future[Done]) -> Any:
    return future.result(PATIENCE_S).outcome


def test_everybody_gets_his_own_answer() -> None:
    model = Model()
    with desk(model, 4) as at:
        futures = {f"q{n}": at.ask(f"q{n}", Flow(f"v{n % 3}")) for n in range(50)}
        assert {prompt: outcome(future) for prompt, future in futures.items()} == {p: p.upper() for p in futures}
    assert sorted(prompt for batch in model.batches for prompt in batch) == sorted(futures)
    assert max(map(len, model.batches)) <= 4


def test_what_waits_shares_a_batch() -> None:
    model = Model(held=True)
    with desk(model, 3) as at:
        first = at.ask("first")
        model.wait_for_batch()
        others = [at.ask(f"q{n}") for n in range(4)]
        for _ in range(3):
            model.go.release()
        done = [future.result(PATIENCE_S) for future in (first, *others)]
    assert model.batches == [["first"], ["q0", "q1", "q2"], ["q3"]]
    assert [each.batch_size for each in done] == [1, 3, 3, 3, 1]
    assert all(each.queue_s >= 0 and each.compute_s >= 0 for each in done)


def test_a_lone_call_waits_for_company_no_longer_than_it_may() -> None:
    with desk(Model(), 8, max_wait_s=0.01) as at:
        assert outcome(at.ask("a")) == "A"


def test_a_bad_item_fails_alone() -> None:
    def answer(prompt: str) -> Any:
        return ImageError("broken") if prompt == "bad" else prompt

    model = Model(answer, held=True)
    with desk(model, 8) as at:
        at.ask("first")
        model.wait_for_batch()
        futures = [at.ask(prompt) for prompt in ("good", "bad", "fine")]
        model.go.release()
        model.go.release()
        found = [outcome(future) for future in futures]
    assert (found[0], found[2]) == ("good", "fine")
    assert isinstance(found[1], ImageError)


def test_a_batch_that_goes_wrong_is_an_outcome_and_the_next_one_runs() -> None:
    def answer(prompt: str) -> Any:
        if prompt == "bomb":
            raise MemoryError("no room")
        return prompt

    with desk(Model(answer)) as at:
        assert isinstance(outcome(at.ask("bomb")), MemoryError)
        assert outcome(at.ask("again")) == "again"


def test_lost_items_are_noticed() -> None:
    class Loses(Model):
        def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
            return []

    with desk(Loses()) as at:
        assert isinstance(outcome(at.ask("a")), FunctionError)


def test_what_is_cancelled_while_it_waits_is_never_computed() -> None:
    model = Model(held=True)
    with desk(model) as at:
        running = at.ask("running")
        model.wait_for_batch()
        cancelled, kept = at.ask("cancelled"), at.ask("kept")
        assert cancelled.cancel()
        assert not running.cancel()  # too late: it is being computed
        assert at.batcher.load().waiting == 1
        model.go.release()
        model.go.release()
        assert (outcome(running), outcome(kept)) == ("RUNNING", "KEPT")
        with pytest.raises(CancelledError):
            cancelled.result(0)
    assert model.batches == [["running"], ["kept"]]


def test_what_is_too_late_is_told_so() -> None:
    model = Model(held=True)
    with desk(model) as at:
        at.ask("running")
        model.wait_for_batch()
        late = at.ask("late")
        at.clock.ahead_s = 3600.0
        model.go.release()
        with pytest.raises(CallTimeout, match="llm: its turn did not come in time"):
            late.result(PATIENCE_S)
    assert model.batches == [["running"]]


def test_too_much_is_refused_and_what_matters_more_gets_a_place() -> None:
    model = Model(held=True)
    with desk(model, max_waiting=2) as at:
        running = at.ask("running")
        model.wait_for_batch()
        one, two = at.ask("one"), at.ask("two")
        with pytest.raises(Overloaded, match="too many calls wait"):
            at.ask("three")
        urgent = at.ask("urgent", B, priority=0)
        with pytest.raises(Overloaded, match="calls that matter more"):
            two.result(PATIENCE_S)
        for _ in range(3):
            model.go.release()
        assert [outcome(each) for each in (running, urgent, one)] == ["RUNNING", "URGENT", "ONE"]
    assert model.batches == [["running"], ["urgent"], ["one"]]


def test_at_the_end_the_batch_under_way_is_finished_and_the_rest_refused() -> None:
    model = Model(held=True)
    with desk(model) as at:
        running = at.ask("running")
        model.wait_for_batch()
        waiting = at.ask("waiting")
        threading.Thread(target=lambda: (waiting.exception(PATIENCE_S), model.go.release())).start()
    assert outcome(running) == "RUNNING"
    with pytest.raises(Overloaded, match="being stopped"):
        waiting.result(0)
    with pytest.raises(Overloaded, match="being stopped"):
        at.ask("later")


def test_a_full_batch_is_read_while_another_is_computed() -> None:
    model = Model(held=True)
    with desk(model, 2, ahead=1) as at:
        running = at.ask("running")
        model.wait_for_batch()
        read = threading.Semaphore(0)

        def prepare(prompt: str) -> Work:
            read.release()
            return Work({"prompt": prompt})

        later = [
            at.batcher.submit(partial(prepare, prompt), A, deadline_s=at.clock.monotonic() + 60)
            for prompt in ("b", "c", "d")
        ]
        assert read.acquire(timeout=PATIENCE_S)
        assert read.acquire(timeout=PATIENCE_S)  # both of the full batch
        assert not read.acquire(blocking=False)  # the third may still get company
        assert not running.done()
        assert later[1].cancel()  # it has been read, but nothing was computed for it
        for _ in range(3):
            model.go.release()
        assert [outcome(each) for each in (running, later[0], later[2])] == ["RUNNING", "B", "D"]
    assert model.batches == [["running"], ["b"], ["d"]]


def test_what_matters_more_takes_the_place_of_what_was_taken_ahead_and_has_not_begun() -> None:
    model = Model(held=True)
    with desk(model, ahead=1) as at:
        running = at.ask("running")
        model.wait_for_batch()
        read = threading.Semaphore(0)

        def prepare() -> Work:
            read.release()
            return Work({"prompt": "survey"})

        survey = at.batcher.submit(prepare, A, priority=8, deadline_s=at.clock.monotonic() + 60)
        assert read.acquire(timeout=PATIENCE_S)
        live = at.ask("live", B, priority=2)
        for _ in range(3):
            model.go.release()
        assert [outcome(each) for each in (running, live, survey)] == ["RUNNING", "LIVE", "SURVEY"]
    assert model.batches == [["running"], ["live"], ["survey"]]


def test_what_cannot_be_read_fails_alone() -> None:
    def broken() -> Work:
        raise ImageError("no image")

    model = Model(held=True)
    with desk(model, 4) as at:
        at.ask("first")
        model.wait_for_batch()
        bad = at.batcher.submit(broken, A, deadline_s=at.clock.monotonic() + 60)
        good = at.ask("good")
        model.go.release()
        model.go.release()
        assert isinstance(outcome(bad), ImageError)
        assert outcome(good) == "GOOD"
    assert model.batches == [["first"], ["good"]]


def test_several_batches_at_once_where_the_implementation_takes_them() -> None:
    model = Model(held=True)
    with desk(model, 2, at_once=lambda: 3) as at:
        futures = [at.ask(f"q{n}") for n in range(6)]
        for _ in range(3):
            model.wait_for_batch()
        assert at.batcher.load().running >= 3
        for _ in range(6):
            model.go.release()
        assert [outcome(each) for each in futures] == [f"Q{n}" for n in range(6)]


class TestCall:
    def test_where_nobody_waits_it_is_computed_at_once_in_the_callers_thread(self) -> None:
        where: list[str] = []
        with desk(Model(lambda _: where.append(threading.current_thread().name))) as at:
            done = at.call("a")
        assert (done.batch_size, done.queue_s) == (1, 0.0)
        assert where == [threading.current_thread().name]

    def test_where_somebody_computes_it_waits_for_its_turn(self) -> None:
        model = Model(held=True)
        with desk(model) as at:
            running = at.ask("running")
            model.wait_for_batch()
            model.go.release()
            model.go.release()
            assert at.call("next").outcome == "NEXT"
            assert outcome(running) == "RUNNING"

    def test_others_wait_while_a_caller_computes(self) -> None:
        model = Model(held=True)
        with desk(model, ahead=0) as at:
            caller = threading.Thread(target=at.call, args=("inline",))
            caller.start()
            model.wait_for_batch()
            waits = at.ask("waits")
            assert at.batcher.load().waiting == 1
            model.go.release()
            model.go.release()
            assert outcome(waits) == "WAITS"
            caller.join(PATIENCE_S)

    def test_a_caller_who_is_interrupted_leaves_the_function_free(self) -> None:
        def interrupted(prompt: str) -> str:
            raise KeyboardInterrupt

        model = Model(interrupted)
        with desk(model) as at:
            with pytest.raises(KeyboardInterrupt):
                at.call("a")
            model.answer = str.upper
            assert at.call("b").outcome == "B"

    def test_a_function_that_likes_company_waits_for_it(self) -> None:
        model = Model()
        with desk(model, 8, max_wait_s=0.01) as at:
            assert at.call("a").outcome == "A"

    def test_what_cannot_be_read_is_an_outcome(self) -> None:
        def broken() -> Work:
            raise ImageError("no image")

        with desk(Model()) as at:
            done = at.batcher.call(broken, A, deadline_s=at.clock.monotonic() + 60)
            assert isinstance(done.outcome, ImageError)
            assert at.call("again").outcome == "AGAIN"


def test_many_threads_at_once() -> None:
    with desk(Model(), 8, max_waiting=10_000) as at:
        found: dict[str, str] = {}

        def caller(name: str) -> None:
            for number in range(50):
                prompt = f"{name}{number}"
                found[prompt] = outcome(at.ask(prompt, Flow(name)))

        threads = [threading.Thread(target=caller, args=(f"t{n}x",)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert len(found) == 800
        assert all(answer == prompt.upper() for prompt, answer in found.items())
        assert at.batcher.load().waiting == 0
