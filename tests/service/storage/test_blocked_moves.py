"""Thousands of originals of one folder are one thing to log and to try."""

from pathlib import Path

from structlog.testing import capture_logs

from service.config.sections import Retry
from service.storage.blocked_moves import BlockedMoves

RETRY = Retry(first_wait=5.0, longest_wait=600.0)


def test_a_folder_is_told_of_once_and_counted(tmp_path: Path) -> None:
    """However many originals wait for it."""
    moves: BlockedMoves[int] = BlockedMoves(RETRY)
    with capture_logs() as logs:
        for number in range(220):
            moves.add(tmp_path, number, 0.0, leaves=True)
        moves.add(tmp_path / "b", 1, 0.0, leaves=False)

    assert ["originals.blocked"] * 2 == [entry["event"] for entry in logs]
    assert 221 == len(moves)
    first, second = moves.words()
    assert first.startswith(f"220 originals cannot leave {tmp_path}: ")
    assert second.startswith(f"1 original cannot enter {tmp_path / 'b'}: ")
    assert [220, 1] == [count for _folder, count, _reason in moves.folders()]


def test_one_is_tried_for_all_after_waits_that_double(tmp_path: Path) -> None:
    """In three days some hundred tries, not one for each original."""
    moves: BlockedMoves[int] = BlockedMoves(RETRY)
    for number in range(220):
        moves.add(tmp_path, number, 0.0, leaves=True)
    tried, now = 0, 0.0
    while now < 3 * 86_400:
        for number in moves.probes(now):
            tried += 1
            moves.add(tmp_path, number, now, leaves=True)
        (now,) = moves.dues()

    assert 220 == len(moves)
    assert 430 < tried < 450


def test_when_one_has_left_all_may(tmp_path: Path) -> None:
    """That is told, and nothing waits any more."""
    moves: BlockedMoves[int] = BlockedMoves(RETRY)
    for number in range(3):
        moves.add(tmp_path, number, 0.0, leaves=True)
    (probe,) = moves.probes(5.0)
    with capture_logs() as logs:
        rest = moves.opened(tmp_path / "other", tmp_path)

    assert ([0, 1, 2], 3) == ([probe, *rest], logs[0]["photos"])
    assert 0 == len(moves)
    assert [] == list(moves.dues()) == moves.probes(1e9)


def test_many_folders_are_summed_up(tmp_path: Path) -> None:
    """A line for each of the first, and one for the rest."""
    moves: BlockedMoves[int] = BlockedMoves(RETRY)
    for number in range(8):
        moves.add(tmp_path / str(number), number, 0.0, leaves=True)

    assert 6 == len(list(moves.words()))
    assert "3 originals cannot leave or enter 3 more folders" == list(moves.words())[-1]
