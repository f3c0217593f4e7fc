"""The images that an exported file is verified on."""

from pathlib import Path

from mvsearch.data import DataSettings, load
from mvsearch.errors import DataError
from mvsearch.metrics.trial import Trial
from mvsearch.training.image_samples import ImageSample, sample_images
from mvsearch.utils import plugins


def select_images(name: str | None, trial: Trial | None = None) -> DataSettings:
    """The data source or folder of a name; by default that of the trial's study, or else fashion_mnist."""
    if name is None:
        return DataSettings(**trial.settings.get("data", {})) if trial else DataSettings()
    if name not in plugins.names("data_source") and Path(name).is_dir():
        return DataSettings(source="folder", path=name)
    if name == "folder":
        raise DataError("name the folder itself: --data /my/images.", at="--data folder")
    if Path(name).name != name:
        raise DataError("there is no such folder; use a folder of images or a data source.", at=f"--data {name}")
    plugins.check("data_source", name, error=DataError)
    return DataSettings(source=name)


def draw_samples(settings: DataSettings, size: int, held_out: int, training: int) -> tuple[ImageSample, ImageSample]:
    """As many images of the test part and of the training part as asked for, at `size` pixels."""
    path = Path(settings.path) if settings.path else None
    data = load(
        settings.source, path=path, size=settings.size, test_fraction=settings.test_fraction, seed=settings.seed
    )
    return sample_images(data, size, held_out=held_out, training=training)
