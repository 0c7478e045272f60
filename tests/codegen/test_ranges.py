"""`make verify` goes through a range of seeds: in order, with any number of processes, and it can be stopped."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from .generator.ranges import CHUNK, Checked, check_range
from .generator.rows import ROWS
from .generator.standing_in import ENDS, STAYS, WRONG, standing_in, telling_its_process, without_trouble
from .generator.tally import Line, Tally, duration

ROOT = Path(__file__).resolve().parents[2]
COUNT = CHUNK + 3
"""programs: work for two processes"""


def test_every_seed_once_and_in_order_and_what_goes_wrong_with_its_seed() -> None:
    """Also where the process is gone."""
    found = list(check_range(7, 45, jobs=2, worlds=2, opening=standing_in))
    assert [checked.seed for checked in found] == list(range(7, 52))
    wrong = {checked.seed: checked.trouble for checked in found if checked.trouble}
    assert wrong.keys() == {WRONG, ENDS}
    assert wrong[WRONG] == f"no {WRONG}"
    assert wrong[ENDS].startswith(f"seed {ENDS}: ended its process (-9)\n\n")
    assert [checked.rows for checked in found[:2]] == [{"sets"}, {"del"}]


def test_a_program_that_does_not_end_is_waited_for_no_longer_than_was_said() -> None:
    (found,) = check_range(STAYS, 1, jobs=1, worlds=1, opening=standing_in, patience_s=0.0)
    assert found.trouble.startswith(f"seed {STAYS}: does not end\n\n")


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_any_number_of_processes_finds_the_same(jobs: int) -> None:
    count = CHUNK * 2 + 3
    found = list(check_range(100 - count, count, jobs=jobs, worlds=1, opening=without_trouble))
    assert found == [Checked(seed, frozenset({str(seed)})) for seed in range(100 - count, 100)]


def test_who_stops_early_leaves_no_process_behind() -> None:
    with closing(check_range(0, 10_000, jobs=2, worlds=1, opening=telling_its_process)) as found:
        processes = {int(next(iter(checked.rows))) for checked, _ in zip(found, range(CHUNK + 1), strict=False)}
    assert processes
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


# The command


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.codegen.generator", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_says_the_same_with_one_process_and_with_two() -> None:
    arguments = ("--first", "500", "--count", str(COUNT), "--worlds", "1", "--json")
    one, two = (run(*arguments, "--jobs", jobs) for jobs in "12")
    assert (one.returncode, one.stdout) == (two.returncode, two.stdout)
    told = json.loads(one.stdout)
    assert (told["first"], told["count"], told["done"]) == (500, COUNT, COUNT)
    assert one.returncode == bool(told["differing"])
    assert list(told["rows"]) == list(ROWS)
    assert sum(told["rows"].values()) > COUNT
    assert f"{COUNT} programs in " in one.stderr


def test_one_seed_is_shown_and_checked() -> None:
    done = run("--seed", "4")
    assert done.returncode == 0
    assert "def execute" in done.stdout
    assert "1 programs from seed 4 on: no difference" in done.stdout


@pytest.mark.parametrize("wrong", [["--count", "0"], ["--first", "-1"], ["--jobs", "0"], ["--seed", "-3"]])
def test_a_range_that_is_none_is_refused(wrong: list[str]) -> None:
    done = run(*wrong)
    assert done.returncode == 2
    assert "must be" in done.stderr.splitlines()[-1]


def test_ctrl_c_says_what_was_done_and_how_to_go_on() -> None:
    """On a terminal, where it reaches the whole group of processes."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.codegen.generator", "--first", "300", "--count", "100000", "--jobs", "2"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        shown = b""
        while b" a second, " not in shown:
            shown += os.read(ours, 1000)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 130
    done = int(said.split(" programs from seed 300 on: no difference")[0])
    assert 0 < done < 100_000
    assert said.endswith(f"\ngo on with FIRST={300 + done} COUNT={100_000 - done}\n")
    assert "differ" in shown.decode()


# What it has come to


def test_the_summary() -> None:
    tally = Tally(10, 4)
    for seed, trouble in enumerate(("", "no", "", "no"), 10):
        tally.add(Checked(seed, frozenset({"sets"}), trouble))
        assert tally.whole == (seed == 13)
    assert tally.text().startswith("4 programs from seed 10 on: 2 differ: seeds 11, 13\nprograms that reach a row: ")
    assert "sets 4" in tally.text()
    assert "go on" not in tally.text()
    assert json.loads(tally.document())["differing"] == [11, 13]
    assert Tally(5, 9).text() == "0 programs from seed 5 on: no difference\ngo on with FIRST=5 COUNT=9"


def test_the_line_says_how_fast_and_how_long() -> None:
    tally = Tally(0, 50_000)
    line = Line(tally, io.StringIO())
    assert line.text(3.0) == "0 of 50000 programs, 0 differ"
    tally.done = 5_000
    assert line.text(500.0) == "5000 of 50000 programs, 0 differ, 10.0 a second, 1 h 15 min left"
    assert [duration(seconds) for seconds in (0, 59.6, 61)] == ["0 s", "1 min 0 s", "1 min 1 s"]


def test_elsewhere_than_on_a_terminal_there_is_no_line_to_write_over() -> None:
    stream = io.StringIO()
    line = Line(Tally(0, 1), stream)
    line.update()
    line.clear()
    assert stream.getvalue() == ""
    line.end()
    assert stream.getvalue().startswith("0 programs in 0 s")
