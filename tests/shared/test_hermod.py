"""`hermod` in CPython: what a program sees on a desk, with calls that end in other threads, when they like."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

import hermod
from hermod import prelude

HANDLE = {"blob": "ab" * 32, "box": [0, 0, 120, 80]}


class Manual:
    """A backend whose calls end when the test says so, from another thread."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.futures: list[Future[Any]] = []

    def start(self, name: str, params: dict[str, Any], options: dict[str, Any]) -> Future[Any]:
        self.calls.append((name, params, options))
        self.futures.append(Future())
        return self.futures[-1]

    def functions(self) -> list[dict[str, Any]]:
        return [{"metadata": {"name": "llm"}}]

    def end(self, *numbers: int) -> None:
        for number in numbers:
            thread = threading.Thread(target=self.futures[number].set_result, args=({"output": number},))
            thread.start()
            thread.join()


@pytest.fixture
def backend() -> Iterator[Manual]:
    manual = Manual()
    with hermod.connect(manual):
        yield manual


def test_without_a_backend_there_is_one_clear_error() -> None:
    with pytest.raises(RuntimeError, match="hermod is not connected"):
        hermod.call("llm", prompt="x")


def test_a_call_starts_when_it_is_made(backend: Manual) -> None:
    patch: Any = vars(prelude)["ImagePatch"](HANDLE).crop(0, 0, 5, 6)
    hermod.call("f", a=[patch, (1, {"b": patch.image})], site="edge", at="3/1", deadline_s=2.0, priority=1)
    hermod.call("g")
    handle = {"blob": HANDLE["blob"], "box": [0, 74, 5, 6]}
    assert backend.calls == [
        ("f", {"a": [handle, [1, {"b": handle}]]}, {"site": "edge", "at": "3/1", "deadline_s": 2.0, "priority": 1}),
        ("g", {}, {}),
    ]
    assert backend.calls[0][1]["a"][0] is not patch.handle  # a backend cannot change the program's own


def test_functions(backend: Manual) -> None:
    assert hermod.functions() == [{"metadata": {"name": "llm"}}]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_results_arrive_in_any_order(backend: Manual, order: tuple[int, ...]) -> None:
    async def program() -> list[Any]:
        jobs = [hermod.call("llm", prompt=str(i)) for i in range(3)]
        asyncio.get_running_loop().call_soon(backend.end, *order)
        return [(await job)["output"] for job in jobs]

    assert asyncio.run(program()) == [0, 1, 2]


def test_one_job_in_several_tasks(backend: Manual) -> None:
    async def program() -> Any:
        job = hermod.call("llm", prompt="x")

        async def wait() -> Any:
            return await job

        tasks = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()  # leaves the others their call
        asyncio.get_running_loop().call_soon(backend.end, 0)
        second, third, again = await tasks[1], await tasks[2], await job
        return second is third is again, tasks[0].cancelled(), second

    assert asyncio.run(program()) == (True, True, {"output": 0})


def test_the_programs_copy_is_its_own(backend: Manual) -> None:
    async def program() -> Any:
        job = hermod.call("llm", prompt="x")
        backend.end(0)
        (await job)["mine"] = 1
        return await job

    assert asyncio.run(program()) == {"output": 0, "mine": 1}
    assert backend.futures[0].result() == {"output": 0}


def test_a_promise_waits_for_a_call_as_long_as_it_takes(backend: Manual) -> None:
    async def program() -> Any:
        number, promised = hermod.promise()

        async def keep() -> None:
            hermod.resolve(number, (await hermod.call("llm", prompt="x"))["output"])

        async def release() -> None:
            for _ in range(5000):  # many more turns than a deadlock would take
                await asyncio.sleep(0)
            backend.end(0)

        async def wait() -> Any:
            return await promised

        return (await asyncio.gather(wait(), keep(), release()))[0]

    assert asyncio.run(program()) == 0


def test_a_promise_that_nobody_keeps(backend: Manual) -> None:
    async def program() -> str:
        number, promised = hermod.promise()
        with pytest.raises(RuntimeError) as caught:
            await promised
        with pytest.raises(RuntimeError, match="promise 1 is not open"):
            hermod.resolve(number, 1)
        return str(caught.value)

    assert asyncio.run(program()) == "deadlock: only promises are pending"


def test_two_programs_do_not_share_promises(backend: Manual) -> None:
    first, _ = hermod.promise()
    with hermod.connect(Manual()):
        assert hermod.promise()[0] == 1
        hermod.resolve(1, "other")
    assert first == 1
    hermod.resolve(1, "mine")
    assert asyncio.run(take(hermod.promise)) is None


async def take(make: Any) -> None:
    number, promised = make()
    hermod.reject(number, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await promised


def test_a_job_in_a_gather_twice(desk: Any) -> None:
    source = (
        "import asyncio, hermod\n"
        "async def execute_command(image):\n"
        "    job = hermod.call('llm', prompt='x')\n"
        "    return await asyncio.gather(job, job)\n"
    )
    assert desk.both(source).value == [{"output": "x"}] * 2
