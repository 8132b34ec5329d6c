"""One suite for every executor: the same results, and the same end of what fails."""

import signal
import subprocess
import sys

import pytest

from covalign.errors import InputError
from covalign.tasks.executor import Executor
from covalign.tasks.outcome import ATTEMPTS, Failure, Outcome, TaskError, all_found
from samples.laboratory import IMPORTABLE, gone, laboratory, waited_for
from samples.tasks import at_home, squared, stubborn, unsendable


def carried_out(executor, *arguments):
    with executor.opened() as carry_out:
        yield from carry_out(*arguments)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a Dask scheduler with two workers in processes of their own, as a laboratory has one."""
    distributed = pytest.importorskip("distributed")
    folder = str(tmp_path_factory.mktemp("cluster"))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=folder, env=IMPORTABLE
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(params=["here", "processes", "cluster"])
def executor(request):
    if request.param == "cluster":
        return Executor(scheduler=request.getfixturevalue("address"))
    return Executor(workers=2 if request.param == "processes" else 1)


def begun(folder, item):
    return int((folder / item).read_text())


@pytest.mark.slow
def test_every_item_ends_and_tells(executor):
    told = []
    outcomes = carried_out(executor, squared, iter(range(7)), {"plus": 100}, lambda *each: told.append(each))
    assert {each.place: each.found for each in outcomes} == {i: 100 + i * i for i in range(7)}
    assert sorted(told) == [(i, f"squaring {i}") for i in range(7)]


@pytest.mark.slow
def test_items_are_taken_as_they_can_be_worked_on(executor):
    taken = []

    def items():
        for item in range(40):
            taken.append(item)
            yield item

    outcomes = carried_out(executor, squared, items(), {"plus": 0}, lambda *_: None)
    next(outcomes)
    assert len(taken) < 12
    assert len(list(outcomes)) == 39


@pytest.mark.slow
def test_failures_are_tried_again_reported_and_stop_nothing(executor, tmp_path):
    items = ["fine", "input", "broken", "broken:2", "fine again"]
    common = {"folder": str(tmp_path)}
    outcomes = {
        each.place: each.found for each in carried_out(executor, stubborn, items, common, lambda *_: None)
    }
    assert outcomes[0] == outcomes[4] == 1
    assert outcomes[1] == Failure("this input is bad")
    assert outcomes[2].said.startswith("ZeroDivisionError: nothing to divide by, in stubborn (tasks.py:")
    assert outcomes[3] == 3
    assert [begun(tmp_path, item) for item in items] == [1, 1, ATTEMPTS, 3, 1]


@pytest.mark.slow
def test_what_others_are_at_comes_last_and_is_no_failure(executor, tmp_path):
    times = ATTEMPTS + 2
    items = [f"occupied:{times}", *"abcdefghijkl"]
    outcomes = list(carried_out(executor, stubborn, items, {"folder": str(tmp_path)}, lambda *_: None))
    places = [each.place for each in outcomes]
    assert places.index(0) > len(items) // 2
    assert outcomes[places.index(0)].found == times + 1
    assert sorted(places) == list(range(len(items)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["processes", "cluster"])
def test_a_killed_process_is_replaced_and_only_its_item_begun_again(kind, tmp_path, request):
    executor = Executor(2) if kind == "processes" else Executor(scheduler=request.getfixturevalue("address"))
    items = ["killed:1", "fine", *(f"fine {i}" for i in range(4))]
    outcomes = {
        each.place: each.found
        for each in carried_out(executor, stubborn, items, {"folder": str(tmp_path)}, lambda *_: None)
    }
    assert outcomes[0] == 2
    assert [outcomes[place] for place in range(1, 6)] == [1] * 5


@pytest.mark.slow
def test_what_kills_every_process_is_given_up_and_said(tmp_path):
    outcomes = carried_out(
        Executor(2), stubborn, ["killed", "fine"], {"folder": str(tmp_path)}, lambda *_: None
    )
    with pytest.raises(
        InputError, match=r"1 of 2 tasks failed, the others are kept: item 0: its process was ended"
    ):
        all_found(outcomes, lambda place: f"item {place}", "tasks")
    assert begun(tmp_path, "killed") == ATTEMPTS
    assert begun(tmp_path, "fine") == 1


def test_a_reason_that_many_share_is_said_once():
    failed = [Outcome(place, Failure("no such folder")) for place in range(20)]
    outcomes = [*failed, Outcome(20, Failure("too dark")), Outcome(21, "fine")]
    with pytest.raises(InputError) as caught:
        all_found(outcomes, lambda place: f"item {place}", "tasks")
    assert str(caught.value) == (
        "21 of 22 tasks failed, the others are kept: item 0, item 1, item 2 and 17 others: no such folder; "
        "item 20: too dark"
    )


def test_a_bug_is_said_in_one_line_and_keeps_its_trace(tmp_path):
    outcomes = carried_out(
        Executor(), stubborn, ["broken", "fine"], {"folder": str(tmp_path)}, lambda *_: None
    )
    with pytest.raises(InputError, match="item 0: ZeroDivisionError") as caught:
        all_found(outcomes, lambda place: f"item {place}", "tasks")
    assert isinstance(caught.value.__cause__, TaskError)
    assert "Traceback" in str(caught.value.__cause__)


def test_what_cannot_be_sent_is_refused_before_anything_starts():
    with pytest.raises(InputError, match="cannot be sent to another process"):
        list(carried_out(Executor(2), squared, [1], {"plus": lambda: 0}, lambda *_: None))


@pytest.mark.slow
def test_a_result_that_cannot_be_sent_is_reported():
    (outcome,) = carried_out(Executor(2), unsendable, [1], None, lambda *_: None)
    assert "pickle" in outcome.found.said


@pytest.mark.slow
def test_processes_end_with_the_one_that_started_them(tmp_path):
    """Neither a killed parent nor one that stops listening leaves processes behind."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import multiprocessing, os, signal\n"
        "from covalign.tasks.executor import Executor\n"
        "from samples.tasks import squared\n"
        "if __name__ == '__main__':\n"
        "    with Executor(2).opened() as carry_out:\n"
        "        outcomes = carry_out(squared, range(9), {'plus': 0}, lambda *_: None)\n"
        "        next(outcomes)\n"
        "        print(*(each.pid for each in multiprocessing.active_children()), flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    found = subprocess.run(
        [sys.executable, script], env=IMPORTABLE, capture_output=True, text=True, check=False
    )
    children = [int(each) for each in found.stdout.split()]
    assert found.returncode == -signal.SIGKILL
    assert len(children) == 2
    assert all(waited_for(lambda child=child: gone(child)) for child in children)


@pytest.mark.slow
def test_a_lost_scheduler_is_named(tmp_path):
    pytest.importorskip("distributed")
    named = tmp_path / "scheduler.json"
    with laboratory(named) as scheduler:
        outcomes = carried_out(
            Executor(scheduler=str(named)), squared, range(50), {"plus": 0}, lambda *_: None
        )
        assert not isinstance(next(outcomes).found, Failure)
        scheduler.kill()
        with pytest.raises(InputError, match=r"the Dask scheduler was lost .* run the same command"):
            list(outcomes)


def test_who_is_told_may_stop_everything(tmp_path):
    def told(place, what):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        list(carried_out(Executor(), squared, [1, 2], {"plus": 0}, told))


def test_what_everything_fails_for_is_said_once():
    outcomes = [Outcome(place, Failure("no images")) for place in range(3)]
    with pytest.raises(InputError, match=r"^no images$"):
        all_found(outcomes, str, "tasks")


def test_fewer_workers_than_one_are_refused():
    with pytest.raises(InputError, match="workers: got 0, expected at least 1"):
        Executor(0)


@pytest.mark.slow
def test_processes_are_kept_for_the_next_items(executor):
    with executor.opened() as carry_out:
        processes = [
            {each.found for each in carry_out(at_home, range(8), None, lambda *_: None)} for _ in range(2)
        ]
        squares = [each.found for each in carry_out(squared, [3], {"plus": 1}, lambda *_: None)]
    assert len(processes[0] | processes[1]) <= 2
    assert squares == [10]


def test_a_scheduler_that_writes_no_file_is_named(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("covalign.tasks.cluster.WRITTEN_WITHIN", 0)
    named = str(tmp_path / "none.json")
    with pytest.raises(
        InputError, match=r"none.json': cannot be reached \(no such file was written within 0 s\)"
    ):
        list(carried_out(Executor(scheduler=named), squared, [1], {"plus": 0}, lambda *_: None))
