"""The weights of a trial or a training that a command takes if it is not told which."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mvsearch.metrics.trial import Trial
    from mvsearch.validation.document import ValidatedWeights

RANDOM = "random"
"""The value of `--weights` for random ones."""


def validated_weights_of(
    arch: str, trial: "Trial | None", weights: Path | None, *, storage: str | None
) -> "ValidatedWeights | None":
    """The weights of the last validation of a trial, printed on stderr; None if others are given, or if it has none."""
    if trial is None or weights is not None:
        return None
    from mvsearch.study.reader import open_study
    from mvsearch.validation.document import validated_weights

    reader = open_study(arch.rpartition(":")[0], storage=storage)
    validated = validated_weights(reader, trial.record.key)
    if validated:
        click.echo(f"{arch}: takes {validated.words}; --weights takes others.", err=True)
    return validated


def training_weights(arch: str, weights: Path | None) -> Path | None:
    """The weights of a training folder, printed on stderr; None if others are given, or for another ARCH."""
    from mvsearch.arch.published import is_published
    from mvsearch.training.trained_network import WEIGHTS

    path = Path(arch) / WEIGHTS
    if weights is not None or is_published(arch) or not path.is_file():  # a published name is never a folder
        return None
    click.echo(f"{arch}: takes the weights of this training; --weights takes others.", err=True)
    return path


def given_weights(weights: Path | None) -> Path | None:
    """The file of `--weights`; None for random ones."""
    return None if weights is not None and str(weights) == RANDOM else weights
