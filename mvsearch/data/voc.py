"""Your own scenes in the format of PASCAL VOC.

    PATH/JPEGImages/ID.jpg  Annotations/ID.xml  SegmentationClass/ID.png (a palette; 0 background, 255 unknown)
    PATH/ImageSets/Main/{train,val}.txt  ImageSets/Segmentation/{train,val}.txt     IDs; without them the seed splits
    PATH/classes.txt          names in the order of the masks' numbers; without it, those in Annotations, sorted

Objects marked as difficult are left out, as in VOC's own evaluation.
"""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from mvsearch.data._cache import Decoding, files_identity, load_or_decode
from mvsearch.data._images import DataSet, Request
from mvsearch.data._labelled import Box, Labelled, decode_scenes, folder_of, size_of, split
from mvsearch.data._source import DataSource
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track

LICENCE = "that of your images"
TASKS = ("segmentation", "detection")

LISTS = {"segmentation": "Segmentation", "detection": "Main"}
LABELS = {"segmentation": ("SegmentationClass", ".png"), "detection": ("Annotations", ".xml")}


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder itself: nothing is fetched."""
    return folder_of("voc", path, "JPEGImages")


def load(request: Request, progress: Progress | None) -> DataSet:
    """Masks or boxes, by the task; squares of `size` (256) pixels."""
    root, size, task = get(request.path, progress), size_of(request), request.task or TASKS[0]
    names = _classes(root)
    train, test = _parts(root, task, request, names, progress)
    folder, suffix = LABELS[task]
    labels = [root / folder / f"{item.file.stem}{suffix}" for item in (*train, *test)]
    files = [[item.file for item in part] for part in (train, test)]
    identity = [task, size, names, *(files_identity(root, paths) for paths in (*files, labels))]

    def decode() -> Decoding:
        masks = task == "segmentation"
        streams = (decode_scenes(part, len(names) + 1, size, masks, progress) for part in (train, test))
        return Decoding(("background", *names), *streams)

    return load_or_decode("voc", identity, decode, source=str(root), licence=LICENCE)


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Counts the images that are labelled for each task."""
    root = get(path, progress)
    counts = (f"{len(_stems(root, task))} images for {task}" for task in TASKS)
    return (f"{root}: {', '.join(counts)}; {len(_classes(root))} classes and the background.",)


def _parts(
    root: Path, task: str, request: Request, names: tuple[str, ...], progress: Progress | None
) -> tuple[list[Labelled], list[Labelled]]:
    lists = [root / "ImageSets" / LISTS[task] / f"{part}.txt" for part in ("train", "val")]
    number = {name: i for i, name in enumerate(names, 1)}
    images = {file.stem: file for file in (root / "JPEGImages").glob("*")}
    if not all(file.is_file() for file in lists):
        stems = _stems(root, task)
        items = [_item(root, task, stem, number, images) for stem in track(stems, "read labels", len(stems), progress)]
        return split(items, request)
    parts = [[line.split()[0] for line in file.read_text().splitlines() if line.strip()] for file in lists]
    for file, stems in zip(lists, parts, strict=True):
        if not stems:
            raise DataError("lists no images; add some, or remove the file to split the images by the seed.", at=file)
    train, test = ([_item(root, task, stem, number, images) for stem in stems] for stems in parts)
    return train, test


def _stems(root: Path, task: str) -> list[str]:
    folder, suffix = LABELS[task]
    return sorted(file.stem for file in (root / folder).glob(f"*{suffix}"))


def _classes(root: Path) -> tuple[str, ...]:
    if (listed := root / "classes.txt").is_file():
        names = [line.strip() for line in listed.read_text().splitlines()]
        return tuple(name for name in names if name not in ("", "background"))
    found_names = {name for file in (root / "Annotations").glob("*.xml") for name in _names(file)}
    if not found_names:
        raise DataError(
            f"has no classes; name them in {listed}, one a line, or in the objects of Annotations.", at=root
        )
    return tuple(sorted(found_names))


def _names(file: Path) -> set[str]:
    return {item.findtext("name", "") for item in _objects(_tree(file))}


def _tree(file: Path) -> ET.Element:
    try:
        return ET.parse(file).getroot()
    except (OSError, ET.ParseError) as fault:
        raise DataError(f"cannot be read ({fault}); use an annotation in VOC's format.", at=file) from fault


def _objects(tree: ET.Element) -> list[ET.Element]:
    return [item for item in tree.findall("object") if item.findtext("difficult", "0") != "1"]


def _item(root: Path, task: str, stem: str, number: dict[str, int], images: dict[str, Path]) -> Labelled:
    image = images.get(stem, root / "JPEGImages" / f"{stem}.jpg")
    folder, suffix = LABELS[task]
    labels = root / folder / f"{stem}{suffix}"
    for file in (image, labels):
        if not file.is_file():
            raise DataError(f"is listed, but does not exist; add it, or remove {stem} from the list.", at=file)
    if task == "segmentation":
        return _item_with_mask(image, labels)
    tree = _tree(labels)
    try:
        width, height = (int(tree.findtext(f"size/{side}", "")) for side in ("width", "height"))
        boxes = tuple(_box(item, number) for item in _objects(tree))
    except (ValueError, KeyError) as fault:
        raise DataError(f"is not in VOC's format ({fault}); it needs size, name and bndbox.", at=labels) from fault
    return Labelled(image, width, height, boxes)


def _box(item: ET.Element, number: dict[str, int]) -> Box:
    x0, y0, x1, y1 = (float(item.findtext(f"bndbox/{name}", "")) for name in ("xmin", "ymin", "xmax", "ymax"))
    return number[item.findtext("name", "")], x0 - 1, y0 - 1, x1, y1  # VOC counts pixels from 1, the last included


def _item_with_mask(image: Path, labels: Path) -> Labelled:
    from PIL import Image

    def mask() -> np.ndarray:
        with Image.open(labels) as opened:
            if opened.mode not in ("P", "L"):
                raise DataError(f"its pixels are {opened.mode} colours; save class numbers with a palette.", at=labels)
            return np.asarray(opened)

    return Labelled(image, 0, 0, mask=mask)


DATA_SOURCE = DataSource(
    description="your own scenes as PASCAL VOC has them: JPEGImages, Annotations, SegmentationClass, ImageSets",
    licence=LICENCE,
    get=get,
    load=load,
    check=check,
    tasks=TASKS,
)
