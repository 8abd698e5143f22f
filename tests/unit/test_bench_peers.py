"""What the witness's lines of a store under kills add up to."""

from pathlib import Path

from bench.peers.witness import Tally, Witness, lines, tally


def test_a_task_acknowledged_to_one_worker_counts_as_nothing() -> None:
    written = ["began t1 10.0", "acknowledged t1 10.0"]

    found = tally(["t1"], written, ["t1"])

    assert found == Tally(tasks=1, lost=0, twice=0, again=0, kills=0)


def test_a_task_acknowledged_to_two_workers_counts_as_twice_however_often() -> None:
    written = ["began t1 10.0", "began t1 11.0", "began t1 12.0"]
    written += ["acknowledged t1 10.0", "acknowledged t1 11.0", "acknowledged t1 12.0"]

    found = tally(["t1"], written, ["t1"])

    assert (found.twice, found.again, found.lost) == (1, 1, 0)


def test_one_process_that_did_a_task_twice_acknowledged_it_twice() -> None:
    written = ["began t1 10.0", "acknowledged t1 10.0", "began t1 10.7", "acknowledged t1 10.7"]

    assert tally(["t1"], written, ["t1"]).twice == 1


def test_the_same_acknowledgement_told_again_is_one() -> None:
    written = ["began t1 10.0", "acknowledged t1 10.0", "acknowledged t1 10.0"]

    assert tally(["t1"], written, ["t1"]).twice == 0


def test_a_task_done_again_after_its_worker_was_killed_is_neither_lost_nor_twice() -> None:
    written = ["began t1 10.0", "killed 1 10", "began t1 11.0", "acknowledged t1 11.0"]

    found = tally(["t1"], written, ["t1"])

    assert found == Tally(tasks=1, lost=0, twice=0, again=1, kills=1)


def test_a_task_that_nobody_acknowledged_and_the_store_does_not_hold_for_done_is_lost() -> None:
    written = ["began t1 10.0", "killed 1 10", "began t2 11.0", "acknowledged t2 11.0"]

    assert tally(["t1", "t2", "t3"], written, ["t2"]).lost == 2


def test_a_worker_killed_between_acknowledgement_and_line_loses_nothing() -> None:
    written = ["began t1 10.0", "killed 1 10"]

    assert tally(["t1"], written, ["t1"]).lost == 0


def test_a_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    Witness(tmp_path).note("began", "t1", "10.0")
    with (tmp_path / "witness").open("a") as file:
        file.write("acknowledged t1 1")

    assert lines(tmp_path) == ["began t1 10.0"]


def test_a_witness_that_never_wrote_has_no_lines(tmp_path: Path) -> None:
    assert lines(tmp_path) == []
