"""The program of benchmarks/ground_truth that trains: what it takes over from a validation."""

from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]


def test_a_validation_is_taken_over_only_if_its_recipe_and_epochs_are_those_of_the_ground_truth(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "ground_truth"))
    import train

    validation = ROOT / "studies" / "reference" / "v3_small_beat_mobilevitv3_xxs" / "validation.csv"
    table = tmp_path / "own.csv"
    train.write_rows(table, [])
    with pytest.raises(click.ClickException, match="in 10 epochs"):
        train.take_over(validation, table, epochs=30)
    assert train.take_over(validation, table, epochs=10) == 9
    assert train.take_over(validation, table, epochs=10) == 0
