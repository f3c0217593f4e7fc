import numpy as np

from mvsearch.metrics.classified import Classified

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.05, 0.9, 0.05], [0.3, 0.3, 0.4]], np.float32)
FOUR = Classified(("a", "b", "c"), PROBABILITIES, ("0", "1", "2", "3"), np.array([0, 1, 2, 2]))


def test_a_confusion_has_the_classes_in_rows_and_the_predictions_in_columns():
    assert FOUR.confusion().tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 1]]


def test_the_most_confident_mistake_comes_first():
    assert FOUR.mistakes() == [2, 1]
    assert [name for name, _ in FOUR.best(1)] == ["c", "b", "a"]
