"""The one type of progress callback, and the helper that reports on an iteration."""

from mvsearch.cli._progress import progress_bar
from mvsearch.utils.progress import Progress, no_progress, track


def test_track_reports_the_start_and_every_item():
    calls = []
    progress: Progress = lambda *call: calls.append(call)  # noqa: E731

    assert list(track("abc", "read", 3, progress)) == ["a", "b", "c"]
    assert calls == [(0, 3, "read"), (1, 3, "read"), (2, 3, "read"), (3, 3, "read")]


def test_track_works_without_a_callback_and_without_a_length():
    calls = []

    assert list(track([1, 2], "read", None, None)) == [1, 2]
    assert list(track([], "read", None, lambda *call: calls.append(call))) == []
    assert calls == [(0, None, "read")]
    no_progress(1, 2)


def test_a_progress_bar_has_one_bar_for_each_step():
    bar = progress_bar()
    for done in range(3):
        bar(done, 2, "fetch")
    bar(1, None, "decode")

    assert [(task.description, task.completed, task.total) for task in bar.tasks] == [
        ("fetch", 2, 2),
        ("decode", 1, None),
    ]
