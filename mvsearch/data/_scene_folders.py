"""Recognises folders of scenes, whose images have masks or boxes, by the names in them."""

from pathlib import Path

_IMAGES = frozenset(("images", "image", "imgs", "img"))
_MASKS = frozenset(("masks", "mask", "labels", "annotations", "segmentations", "trimaps"))


def scene_source(folder: Path) -> tuple[str, str] | None:
    """The source that reads a folder of scenes, and its task; None for a folder of other images."""
    names = {entry.name.casefold(): entry for entry in folder.iterdir() if entry.is_dir()}
    if "jpegimages" in names:
        return "voc", "segmentation"
    if any(folder.glob("instances_*.json")) or ("annotations" in names and any(names["annotations"].glob("*.json"))):
        return "coco", "detection"
    if names.keys() & _IMAGES and names.keys() & _MASKS:
        return "voc", "segmentation"
    return None
