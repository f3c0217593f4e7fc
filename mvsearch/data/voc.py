"""Your own scenes in the format of PASCAL VOC.

    PATH/JPEGImages/ID.jpg  Annotations/ID.xml  SegmentationClass/ID.png (a palette; 0 background, 255 unknown)
    PATH/ImageSets/Main/{train,val}.txt  ImageSets/Segmentation/{train,val}.txt     IDs; without them the seed splits
    PATH/classes.txt          names in the order of the masks' numbers; or labels.txt, or labelmap.txt with colours;
                              without them, those in Annotations, sorted

Objects marked as difficult are not trained on and do not count as errors in the score, as in VOC's own evaluation.
"""

from dataclasses import replace
from itertools import chain
from pathlib import Path

from mvsearch.data._decoded import Decoding, files_identity, load_or_decode
from mvsearch.data._images import DataSet, Request
from mvsearch.data._labelled import Labelled, SceneDecoder, check_class_limit, size_of, split
from mvsearch.data._source import DataSource, user_folder
from mvsearch.data._split_lists import read_split
from mvsearch.data._values import Notes
from mvsearch.data._voc_folder import VocFolder, labels_in
from mvsearch.utils.progress import Progress
from mvsearch.utils.text import comparable_name

LICENCE = "that of your images"
TASKS = ("segmentation", "detection")

LISTS = {"segmentation": ("Segmentation", "Main", "."), "detection": ("Main", "Segmentation", ".")}


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder itself: nothing is fetched."""
    return user_folder("voc", path, "that contains JPEGImages")


def load(request: Request, progress: Progress | None) -> DataSet:
    """Masks or boxes, by the task; squares of `size` (256) pixels."""
    root, size, task = get(request.path, progress), size_of(request), request.task or TASKS[0]
    masks, notes = task == "segmentation", Notes()
    folder = VocFolder(root, task, notes, progress)
    if masks:
        check_class_limit(folder.classes, root)
    parts = _parts(folder, request)
    labels = [folder.labels[comparable_name(item.file.stem)] for item in chain(*parts)]
    files = [[item.file for item in part] for part in parts]
    colours = [folder.class_list.background, *folder.class_list.colours.items()]
    identity = [task, size, colours, *(files_identity(root, paths) for paths in (*files, labels))]
    classes = ("background", *folder.classes)
    decoder = SceneDecoder(root, classes, parts, size=size, masks=masks, progress=progress)

    def decode() -> Decoding:
        if masks and len(folder.classes) == 1:
            folder.style.find_white(labels)
        decoding = decoder.decoding()
        return replace(decoding, assumptions=lambda: chain(decoding.assumptions(), folder.style.assumptions()))

    return load_or_decode(
        "voc",
        identity,
        decode,
        source=str(root),
        licence=LICENCE,
        skipped=notes.skipped,
        assumptions=notes.assumptions,
    )


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Counts the images that are labelled for each task."""
    root = get(path, progress)
    counts = {task: len(labels_in(root, task)) for task in TASKS}
    task = next((task for task in TASKS if counts[task]), TASKS[0])
    classes = VocFolder(root, task, Notes(), progress).classes
    text = ", ".join(f"{count} images for {task}" for task, count in counts.items())
    return (f"{root}: {text}; {len(classes)} classes and the background.",)


def _parts(folder: VocFolder, request: Request) -> tuple[list[Labelled], list[Labelled]]:
    lists = read_split(folder.root, LISTS[folder.task], folder.ids, folder.notes)
    if lists is None:
        return split(folder.items(sorted(folder.ids)), request)
    folder.note_unlisted({*lists.train, *(lists.test or ())})
    train = folder.items(lists.train, complete=lists.complete)
    if lists.test is None:
        return split(train, request)
    return train, folder.items(lists.test, complete=lists.complete)


DATA_SOURCE = DataSource(
    description="your own scenes as PASCAL VOC has them: JPEGImages, Annotations, SegmentationClass, ImageSets",
    licence=LICENCE,
    get=get,
    load=load,
    check=check,
    tasks=TASKS,
)
