"""A folder in PASCAL VOC's format: its files by their ids, its classes, and the labelled images of some ids."""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

from mvsearch.data._labelled import Box, Labelled
from mvsearch.data._mask_files import MaskFile, MaskStyle
from mvsearch.data._values import Notes
from mvsearch.data._voc_file import CLASS_FILES, ClassList, Colour, VocFile, VocObject, read_classes, read_voc
from mvsearch.data._walk import Walk, split_suffix
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track
from mvsearch.utils.text import comparable_name

LABELS = {"segmentation": ("SegmentationClass", ".png"), "detection": ("Annotations", ".xml")}


def labels_in(root: Path, task: str, walk: Walk | None = None) -> dict[str, Path]:
    """The files of the labels for a task by their ids; the walk counts the others."""
    (name, suffix), walk = LABELS[task], walk or Walk(root)
    folder = root / name
    if not folder.is_dir():
        return {}
    entries, found = walk.entries(folder), dict[str, Path]()
    for file in entries.files:
        if split_suffix(file)[1] == suffix:
            found[comparable_name(Path(file).stem)] = folder / file
        else:
            walk.leave_out(folder / file, f"files in {name} that are not {suffix}, or of the same name")
    for other in (*entries.dead, *entries.folders, *entries.hidden):
        walk.leave_out(folder / other, f"links that lead nowhere, folders and hidden files in {name}")
    return found


class VocFolder:
    """The images and labels of a folder by their ids, and its classes in the order of their numbers.

    What is left out or assumed is added to the notes. Raises DataError if there are no labels for the task.
    """

    def __init__(self, root: Path, task: str, notes: Notes, progress: Progress | None) -> None:
        self.root, self.task, self.notes = root, task, notes
        self.images: dict[str, list[Path]] = {}
        if not (root / "JPEGImages").is_dir():
            raise DataError("has no folder JPEGImages, which contains the images.", at=root)
        walk = Walk(root)
        for file in walk.images(root / "JPEGImages"):
            self.images.setdefault(comparable_name(file.stem), []).append(file)
        self.labels = labels_in(root, task, walk)
        notes.left_out += walk.skipped
        if not self.labels:
            alternative = next((other for other in LABELS if labels_in(root, other)), None)
            hint = f"; its labels are for {alternative}" if alternative else ""
            raise DataError(f"has no {'/*'.join(LABELS[task])}, which {task} needs{hint}.", at=root)
        listed = read_classes(root, numbered=task == "segmentation")
        self.annotations: dict[str, VocFile | str] = {}
        self._starts: list[str] = []  # of boxes that start at 0
        if task == "detection" or listed is None:
            files = labels_in(root, "detection")
            tracked = track(files.items(), "read labels", len(files), progress)
            self.annotations = {stem: read_voc(file) for stem, file in tracked}
        self.class_list = listed or ClassList(None, self._named_classes())
        for other in self.class_list.unused:
            notes.assume(f"{other.name} is not used, as there is {listed and listed.file and listed.file.name}")
        self.classes = tuple(self.class_list.colours)
        self.style = MaskStyle.of(self.class_list)
        self.numbers = {name: i for i, name in enumerate(self.classes, 1)}

    @property
    def ids(self) -> set[str]:
        """Of all images and labels."""
        return {*self.images, *self.labels}

    def note_unlisted(self, listed: Collection[str]) -> None:
        """Count the images and labels that are in no list that is used."""
        for stem in sorted(self.ids.difference(listed)):
            kind = "images" if stem in self.images else "labels"
            self.notes.skip(f"{kind} that are not in the lists", stem)

    def items(self, ids: Sequence[str], *, complete: bool = False) -> list[Labelled]:
        """The labelled images of these ids; the others are counted with their reasons.

        Raises DataError if none of them can be used, or less than half where they have to be `complete`; or if most of
        the objects cannot be used.
        """
        faults, items = Counter[str](), list[Labelled]()
        for stem in ids:
            found = self._item(stem, faults)
            if isinstance(found, Labelled):
                items.append(found)
            else:
                self.notes.skip(found, stem)
        if not items or (complete and 2 * len(items) < len(ids)):
            reason = next(found for stem in ids if isinstance(found := self._item(stem, Counter()), str))
            raise DataError(f"{len(ids) - len(items)} of {len(ids)} images cannot be used: {reason}.", at=self.root)
        if self._starts:
            found, self._starts = f"{len(self._starts)} boxes start at 0 (such as in {self._starts[0]})", []
            self.notes.assume(f"{found}: pixels are counted from 1 all the same, as VOC does")
        boxes = [box for item in items for box in (*item.boxes, *item.ignored)]
        if boxes and all(max(box[3:5]) <= 1.001 for box in boxes):
            raise DataError(
                "its boxes are shares of the sides; VOC's are in pixels from 1.", at=self.root / "Annotations"
            )
        if self.task == "detection" and (sizeless := sum(item.size == (0, 0) for item in items)):
            self.notes.assume(f"{sizeless} annotations have no width or height: their boxes are read as for the files")
        used = len(boxes)
        if faults.total() > used:
            reason, count = faults.most_common(1)[0]
            raise DataError(
                f"{faults.total()} of {faults.total() + used} objects cannot be used ({count}: {reason}).", at=self.root
            )
        return items

    def _item(self, stem: str, faults: Counter[str]) -> Labelled | str:
        """The image of an id, or why it cannot be used; faults of its objects are counted."""
        images, label = self.images.get(stem, []), self.labels.get(stem)
        if not images:
            return "labels without an image" if label else "images in a list that do not exist"
        if label is None:
            return f"images without {'/*'.join(LABELS[self.task])}"
        if len(images) > 1:
            return f"images of one name ({', '.join(sorted(file.suffix for file in images))})"
        if self.task == "segmentation":
            return Labelled(images[0], mask=MaskFile(label, self.style))
        annotation = self.annotations[stem]
        if isinstance(annotation, str):
            return annotation
        boxes = [(self._box(one), one) for one in annotation.objects]
        for fault, one in boxes:
            if isinstance(fault, str):
                faults[fault] += 1
                self.notes.skip(fault, f"{label.name}: {one.name}")
        self._starts += [stem for box, _ in boxes if not isinstance(box, str) and min(box[1:3]) <= -1]
        return Labelled(
            images[0],
            annotation.size,
            tuple(box for box, one in boxes if not isinstance(box, str) and not one.difficult),
            tuple((*box, False) for box, one in boxes if not isinstance(box, str) and one.difficult),
        )

    def _box(self, one: VocObject) -> Box | str:
        kind = self._number(one.name)
        if kind is None:
            file = self.class_list.file
            return f"objects of classes that {file.name} does not name" if file else "objects without a name"
        if one.box is None:
            return "objects without a box of four numbers"
        x0, y0, x1, y1 = one.box
        if x0 > x1 or y0 > y1:
            return "boxes whose xmax or ymax is less than xmin or ymin"
        return kind, x0 - 1, y0 - 1, x1, y1  # VOC counts pixels from 1, the last included

    def _number(self, name: str) -> int | None:
        """The number of the class of that name, or of the one class whose name differs only in upper and lower case."""
        if name not in self.numbers:
            alike = [other for other in self.classes if other.casefold() == name.casefold()]
            if len(alike) == 1:
                self.numbers[name] = self.numbers[alike[0]]
                self.notes.assume(f"objects called {name!r} are read as {alike[0]!r}")
        return self.numbers.get(name)

    def _named_classes(self) -> dict[str, Colour | None]:
        files = [file for file in self.annotations.values() if not isinstance(file, str)]
        names = sorted({one.name for file in files for one in file.objects} - {""})
        if not names:
            raise DataError(
                f"has no classes; name them in {self.root / CLASS_FILES[0]}, one a line, or in the objects of "
                "Annotations.",
                at=self.root,
            )
        for first, second in pairwise(sorted(names, key=str.casefold)):
            if first.casefold() == second.casefold():
                self.notes.assume(f"{first!r} and {second!r} are read as two classes")
        if self.task == "segmentation":
            self.notes.assume(
                f"there is no {CLASS_FILES[0]}: the numbers in masks are those of the classes of Annotations in "
                "alphabetical order"
            )
        return dict.fromkeys(names)
