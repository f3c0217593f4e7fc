"""How long a training step of a network takes on this machine, by some real steps on random pixels."""

from dataclasses import replace
from statistics import median
from time import perf_counter, process_time

import numpy as np

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet, Images
from mvsearch.profiling.timing import fixed_threads
from mvsearch.training.recipe import ShortTraining

_WARM, _TIMED = 2, 5


def training_step_s(arch: Architecture, training: ShortTraining, *, device: str = "cpu") -> float:
    """Seconds of a step, for the architecture's image size and classes; on a CPU processor time of one thread.

    So it is the same while other processes use the machine.
    """
    from mvsearch.nn import build
    from mvsearch.training.distributed import ProcessGroup
    from mvsearch.training.in_memory import InMemorySet
    from mvsearch.training.tasks import load_task
    from mvsearch.training.trainer import Trainer

    clock = process_time if device == "cpu" else perf_counter
    short, times = replace(training, steps=_WARM + _TIMED), []
    images = InMemorySet.of(load_task(arch.task), _random_images(arch, training.recipe.batch), short, device)
    trainer = Trainer(build(arch, seed=0), images, training.recipe, ProcessGroup(device=device), reseed=False)
    with fixed_threads(1):
        for _ in trainer.train_epoch():
            times.append(clock())
    return median(after - before for before, after in zip(times[_WARM - 1 :], times[_WARM:], strict=False))


def _random_images(arch: Architecture, batch: int) -> DataSet:
    count, size = max(2 * batch, 2 * arch.num_classes), int(arch.image_size)
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    classes = tuple(map(str, range(arch.num_classes)))
    part = Images(pixels, np.arange(count) % arch.num_classes, classes)
    return DataSet("random", part, part, "", (), "random pixels", "")
