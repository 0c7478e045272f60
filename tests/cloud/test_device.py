"""A device shared by several networks: recorded moves, threads that wait for each other and for nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from dicem_cloud.device import Device, Placed, Scratch, held_seconds
from dicem_shared.errors import ModelError, OutOfDeviceMemory
from dicem_shared.implementations import Work, together

GB = 10**9


class Recorded:
    """Weights that write down where they go; `fail` is called before they move to the device."""

    def __init__(self, name: str, log: list[str], size_gb: float, fail: Callable[[], None] = lambda: None) -> None:
        self.name, self.log, self.fail = name, log, fail
        self.size_bytes = int(size_gb * GB)

    def to_device(self) -> None:
        self.fail()
        self.log.append(f"+{self.name}")

    def to_host(self) -> None:
        self.log.append(f"-{self.name}")


class Meter(Scratch):
    """Says that computing took `peak` bytes; a MemoryError is memory that ran out."""

    def __init__(self) -> None:
        self.peak = 0
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1

    def peak_bytes(self) -> int:
        return self.peak

    def failure(self, error: BaseException) -> OutOfDeviceMemory | None:
        return OutOfDeviceMemory("memory ran out") if isinstance(error, MemoryError) else None


class Shop:
    """One device of `gb`, and networks on it."""

    def __init__(self, gb: float | None) -> None:
        self.meter = Meter()
        self.device = Device("gpu", None if gb is None else int(gb * GB), self.meter)
        self.log: list[str] = []
        self.pool = ThreadPoolExecutor(8)

    def place(self, name: str, gb: float, item_gb: float = 0.0, **how: Callable[[], None]) -> Placed:
        return self.device.place(name, Recorded(name, self.log, gb, **how), item_bytes=int(item_gb * GB))

    def use(self, *placed: Placed) -> None:
        for one in placed:
            with one.held():
                pass

    def hold(self, placed: Placed, items: int = 1) -> Held:
        return Held(self, placed, items)


class Held:
    """A thread that holds a device until it is told to leave; leaves at the end of a `with` at the latest."""

    def __init__(self, shop: Shop, placed: Placed, items: int) -> None:
        self.inside, self.leave = threading.Event(), threading.Event()
        self.done: Future[None] = shop.pool.submit(self._run, placed, items)

    def _run(self, placed: Placed, items: int) -> None:
        try:
            with placed.held(items):
                self.inside.set()
                assert self.leave.wait(20)
        finally:
            self.inside.set()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave.set()
        self.done.result(20)

    def entered(self) -> Held:
        assert self.inside.wait(20)
        return self


def in_line(shop: Shop, count: int) -> None:
    """Wait until so many threads stand in line."""
    with shop.device._changed:
        assert shop.device._changed.wait_for(lambda: len(shop.device._line) >= count, 20)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell those who wait when somebody joins the line, which the device itself has no need to."""

    class Told(list[object]):
        def append(self, item: object) -> None:
            super().append(item)
            self.device._changed.notify_all()  # type: ignore[attr-defined]

    made = Device.__post_init__

    def patched(device: Device) -> None:
        made(device)
        told = Told()
        told.device = device  # type: ignore[attr-defined]
        device._line = told  # type: ignore[assignment]

    monkeypatch.setattr(Device, "__post_init__", patched)


class TestWeights:
    def test_they_come_when_first_needed_and_stay(self) -> None:
        shop = Shop(None)
        one = shop.place("a", 1)
        assert shop.device.resident == ()
        shop.use(one, one)
        assert (shop.log, shop.device.resident, shop.device.moves) == (["+a"], ("a",), 1)

    def test_the_least_recently_used_leave_first_and_only_as_many_as_must(self) -> None:
        shop = Shop(10)
        a, b, c = shop.place("a", 3), shop.place("b", 3), shop.place("c", 3)
        shop.use(a, b, c, a)
        shop.use(shop.place("d", 4))
        assert shop.log == ["+a", "+b", "+c", "-b", "+d"]
        assert shop.device.resident == ("c", "a", "d")
        shop.use(b)
        assert shop.log[5:] == ["-c", "+b"]

    def test_room_to_compute_pushes_others_out_too(self) -> None:
        shop = Shop(10)
        a, b = shop.place("a", 4), shop.place("b", 4, item_gb=1)
        shop.use(a, b)
        with b.held(2):
            assert shop.device.resident == ("a", "b")
        with b.held(3):
            assert shop.device.resident == ("b",)

    def test_without_a_bound_nothing_leaves(self) -> None:
        shop = Shop(None)
        shop.use(*(shop.place(str(n), 1000) for n in range(3)))
        assert shop.log == ["+0", "+1", "+2"]

    def test_two_networks_of_one_name_are_two(self) -> None:
        shop = Shop(10)
        shop.use(shop.place("a", 4), shop.place("a", 4))
        assert shop.log == ["+a", "+a"]


class TestTheGate:
    def test_two_that_fit_compute_at_once(self) -> None:
        shop = Shop(10)
        with shop.hold(shop.place("a", 4)).entered(), shop.hold(shop.place("b", 4)).entered():
            assert set(shop.device.resident) == {"a", "b"}

    def test_two_batches_of_one_network_share_its_weights(self) -> None:
        shop = Shop(10)
        one = shop.place("a", 6, item_gb=1)
        with shop.hold(one, 2).entered(), shop.hold(one, 2).entered():
            assert (one.users, shop.log) == (2, ["+a"])

    def test_what_is_computed_with_does_not_leave(self, line: None) -> None:
        shop = Shop(10)
        a, b = shop.place("a", 6), shop.place("b", 6)
        with shop.hold(a).entered() as first:
            second = shop.hold(b)
            in_line(shop, 1)
            assert not second.inside.is_set()
            first.leave.set()
            second.entered()
            assert shop.log == ["+a", "-a", "+b"]
            with second:
                pass

    def test_idle_ones_leave_before_older_ones_that_compute(self) -> None:
        shop = Shop(10)
        busy = shop.place("busy", 4)
        with shop.hold(busy).entered():
            shop.use(shop.place("idle", 4), shop.place("new", 4))
        assert shop.log == ["+busy", "+idle", "-idle", "+new"]

    def test_a_large_one_is_not_starved_by_small_ones(self, line: None) -> None:
        """Small ones that come after it would fit, and would keep the device busy for ever; they wait."""
        shop = Shop(10)
        small, large = shop.place("small", 2), shop.place("large", 9)
        with shop.hold(small).entered() as first, ExitStack() as later:
            second = later.enter_context(shop.hold(large))
            in_line(shop, 1)
            third = later.enter_context(shop.hold(small))
            in_line(shop, 2)
            assert not third.inside.is_set()
            first.leave.set()
            second.entered()
            assert shop.device.resident == ("large",)
            second.leave.set()
            third.entered()

    def test_what_can_never_fit_is_refused_at_once(self) -> None:
        shop = Shop(10)
        with pytest.raises(OutOfDeviceMemory, match=r"a does not fit on gpu \(expected at most 10\.0 GB, got 11"):
            shop.use(shop.place("a", 11))
        with shop.hold(shop.place("b", 9)).entered(), pytest.raises(OutOfDeviceMemory), shop.place("c", 9, 1).held(2):
            pass
        assert shop.log == ["+b"]

    def test_while_weights_are_under_way_batches_begin_and_end_beside_it(self) -> None:
        """Loading takes seconds: whoever has all that he needs does not wait for it."""
        shop = Shop(10)
        here = shop.place("here", 2)
        shop.use(here)
        going = threading.Event()
        started = threading.Event()

        def slow() -> None:
            started.set()
            assert going.wait(20)

        with shop.hold(shop.place("slow", 2, fail=slow)) as coming:
            assert started.wait(20)
            assert shop.device.resident == ("here",)
            shop.use(here, here)
            assert not coming.inside.is_set()
            going.set()
            coming.entered()
        assert shop.log == ["+here", "+slow"]

    def test_two_who_need_the_same_weights_wait_for_one_move(self, line: None) -> None:
        shop = Shop(10)
        going, started = threading.Event(), threading.Event()

        def slow() -> None:
            started.set()
            assert going.wait(20)

        one = shop.place("a", 2, fail=slow)
        with shop.hold(one) as first:
            assert started.wait(20)
            with shop.hold(one) as second:
                in_line(shop, 1)
                assert not second.inside.is_set()
                going.set()
                first.entered()
                second.entered()
        assert shop.log == ["+a"]

    def test_many_threads_never_take_more_than_there_is(self) -> None:
        shop = Shop(10)
        lock, taken, there = threading.Lock(), [0.0], dict.fromkeys(range(5), 0.0)

        class Counted(Recorded):
            """Weights that say where they are."""

            def to_device(self) -> None:
                self._now(self.size_bytes / GB)

            def to_host(self) -> None:
                self._now(0.0)

            def _now(self, gb: float) -> None:
                with lock:
                    assert there[int(self.name)] != gb
                    there[int(self.name)] = gb
                    assert sum(there.values()) + taken[0] <= 10

        networks = [
            shop.device.place(str(n), Counted(str(n), [], 2 + n % 3), item_bytes=GB // 2) for n in range(5)
        ]  # fmt: skip

        def work(number: int) -> None:
            name, items = number % 5, 1 + number % 4
            with networks[name].held(items):
                with lock:
                    taken[0] += items * 0.5
                    assert there[name]
                    assert sum(there.values()) + taken[0] <= 10
                with lock:
                    taken[0] -= items * 0.5

        list(shop.pool.map(work, range(400)))
        assert {int(name) for name in shop.device.resident} == {name for name, gb in there.items() if gb}
        assert all(one.users == 0 for one in networks)
        assert (shop.device._taken, shop.device._computing, len(shop.device._line)) == (0, 0, 0)


class TestMemoryThatRanOut:
    def test_idle_weights_leave_and_the_error_is_ours(self) -> None:
        shop = Shop(10)
        idle, other = shop.place("idle", 2), shop.place("other", 2)
        shop.use(idle)
        with pytest.raises(OutOfDeviceMemory, match="memory ran out"), other.held():
            raise MemoryError
        assert shop.device.resident == ("other",)
        shop.use(idle)
        assert shop.log == ["+idle", "+other", "-idle", "+idle"]

    def test_any_other_error_passes_and_moves_nothing(self) -> None:
        shop = Shop(10)
        shop.use(shop.place("idle", 2))
        with pytest.raises(KeyError), shop.place("a", 2).held():
            raise KeyError("x")
        assert shop.device.resident == ("idle", "a")

    def test_what_a_failed_pass_had_computed_is_let_go(self) -> None:
        """The trace of the error holds the frames of the pass, and they the tensors."""
        shop = Shop(10)
        one = shop.place("a", 2)
        kept: list[object] = []

        class Tensor:
            def __del__(self) -> None:
                kept.append("gone")

        def forward() -> None:
            tensor = Tensor()
            raise MemoryError(f"no room beside {tensor!r}")

        try:
            with one.held():
                forward()
        except OutOfDeviceMemory:
            assert kept == ["gone"]

    def test_so_many_are_not_tried_again_but_come_in_halves(self) -> None:
        shop = Shop(10)
        one = shop.place("a", 2)
        tried: list[int] = []

        def answer(batch: list[Work]) -> list[int]:
            with one.held(len(batch)):
                tried.append(len(batch))
                if len(batch) > 2:
                    raise MemoryError
                return [1] * len(batch)

        works = [Work({})] * 8
        assert together(works, answer) == [1] * 8  # type: ignore[arg-type]
        assert tried == [8, 4, 2, 2, 2, 2]  # the second four are known to be too many
        tried.clear()
        together(works, answer)  # type: ignore[arg-type]
        assert tried == [2, 2, 2, 2]

    def test_a_single_item_is_always_tried(self) -> None:
        shop = Shop(10)
        one = shop.place("a", 2)
        for _ in range(2):
            with pytest.raises(OutOfDeviceMemory, match="ran out"), one.held(1):
                raise MemoryError
        shop.use(one)


class TestWhatIsLearned:
    def test_what_an_item_takes_is_the_most_that_was_seen(self) -> None:
        shop = Shop(10)
        one = shop.place("a", 2)
        for peak, items, known in ((4 * GB, 4, GB), (2 * GB, 4, GB), (3 * GB, 1, 3 * GB)):
            shop.meter.peak = peak
            with one.held(items):
                pass
            assert one.item_bytes == known

    def test_one_that_took_more_than_our_own_bound_does_not_lock_the_others_out(self) -> None:
        shop = Shop(10)
        one = shop.place("a", 2)
        shop.meter.peak = 9 * GB
        shop.use(one)
        assert one.item_bytes == 8 * GB
        shop.use(one)

    def test_a_peak_that_several_share_teaches_nothing(self) -> None:
        shop = Shop(None)
        a, b = shop.place("a", 1), shop.place("b", 1)
        shop.meter.peak = 8 * GB
        with shop.hold(a).entered() as first:
            with shop.hold(b).entered():
                pass
            first.leave.set()
            first.done.result(20)
        assert (a.item_bytes, b.item_bytes) == (0, 0)
        shop.use(a)
        assert a.item_bytes == 8 * GB


class TestMovesThatFail:
    def test_the_device_is_as_if_nobody_had_come(self) -> None:
        shop = Shop(10)
        broken = [True]

        def fail() -> None:
            if broken.pop():
                raise ModelError("damaged")

        old, one = shop.place("old", 6), shop.place("a", 6, item_gb=1, fail=fail)
        shop.use(old)
        with pytest.raises(ModelError, match="damaged"), one.held(2):
            pytest.fail("went in without its weights")
        assert (shop.device.resident, one.users, shop.device._taken, shop.device.moves) == ((), 0, 0, 1)
        broken.append(False)
        shop.use(one, old)
        assert shop.log == ["+old", "-old", "+a", "-a", "+old"]

    def test_memory_that_runs_out_while_moving_is_our_error(self) -> None:
        shop = Shop(10)

        def fail() -> None:
            raise MemoryError

        with pytest.raises(OutOfDeviceMemory, match="ran out"), shop.place("a", 6, fail=fail).held():
            pass
        shop.use(shop.place("b", 9))

    def test_where_there_is_less_room_than_was_thought_the_idle_make_some(self) -> None:
        shop = Shop(10)
        short = [True]

        def fail() -> None:
            if short and short.pop():
                raise MemoryError

        with shop.hold(shop.place("busy", 1)).entered():
            shop.use(shop.place("idle", 1), shop.place("a", 1, fail=fail))
            assert shop.device.resident == ("busy", "a")
        assert shop.log == ["+busy", "+idle", "-idle", "+a"]

    def test_those_who_waited_go_on(self, line: None) -> None:
        shop = Shop(10)
        going, started = threading.Event(), threading.Event()

        def fail() -> None:
            started.set()
            assert going.wait(20)
            raise ModelError("damaged")

        first = shop.hold(shop.place("a", 6, fail=fail), 1)
        assert started.wait(20)
        with shop.hold(shop.place("b", 6)) as second:
            in_line(shop, 1)
            going.set()
            with pytest.raises(ModelError):
                first.done.result(20)
            second.entered()


def test_time_on_the_device_is_counted_once_and_billed_to_each_thread() -> None:
    ticks = iter(range(100))
    device = Device("gpu", now=lambda: float(next(ticks)))
    one = device.place("a", Recorded("a", [], 1))
    before = held_seconds()
    with one.held():
        pass
    with one.held():
        pass
    assert held_seconds() - before == 2.0
    assert device.busy_s > 0
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(held_seconds).result() == 0.0
