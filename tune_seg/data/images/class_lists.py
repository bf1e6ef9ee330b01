"""The class list that lies beside the masks: names by number, or by colour, as people and annotation tools write it."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as pillow

from tune_seg.data.dataset import IGNORE_INDEX, problems_error
from tune_seg.data.images.colours import Colour, ColourTable, read_colour_table
from tune_seg.data.images.pictures import CLASS_NUMBERS, MaskFiles, reject_no_file
from tune_seg.data.labels import Labels, declared
from tune_seg.data.splitting import text
from tune_seg.errors import InputError

_GREY = ("1", "L", "I", "I;16", "I;16B")


@dataclass(frozen=True)
class ClassList:
    """The classes of a data set.

    Attributes:
        names: the name of each class number.
        colours: the table of colours, where it is one; its rows are the class numbers.
        where: the file, for messages.
    """

    names: Mapping[int, str]
    colours: ColourTable | None
    where: str

    @property
    def note(self) -> str:
        """Where the names come from."""
        return f"The class names are those of {self.where}."

    def labels(self, ignore_label: int | None) -> Labels:
        """The labels of masks with these classes; 255 is ignored where nothing else is.

        Raises:
            InputError: fewer than two classes, or too many.
        """
        names = {number: name for number, name in self.names.items() if number != ignore_label}
        return declared(names, ignore_label, IGNORE_INDEX)

    def reader(self, masks: Iterable[Path]) -> MaskFiles:
        """What reads the masks: by their colours where there is a table, unless they are grey and it has no greys.

        Args:
            masks: of which the header of the first that can be read is looked at.
        """
        if self.colours is None:
            return CLASS_NUMBERS
        greys = [colour for _, colour in self.colours.rows if len(set(colour)) == 1]
        return CLASS_NUMBERS if len(greys) < 2 and _grey(masks) else self.colours.masks


def find_class_list(folders: Iterable[Path]) -> ClassList | None:
    """The class list in the first of these folders that has one; a table of colours rather than a list of names.

    Raises:
        InputError: two tables of colours lie in one folder, or a list cannot be read.
    """
    for folder in dict.fromkeys(folders):
        tables = [folder / name for name in _TABLES if (folder / name).is_file()]
        if len(tables) > 1:
            raise InputError(f"{tables[0]} and {tables[1].name} both say what colours mean; take one of them away")
        for path in tables or (folder / name for name in _LISTS):
            if path.is_file() and (found := {**_TABLES, **_LISTS}[path.name](path)) is not None:
                return found
    return None


def _table(path: Path) -> ClassList:
    return _coloured(read_colour_table(path), path)


def _coloured(table: ColourTable, path: Path) -> ClassList:
    return ClassList(table.names, table, str(path))


def _label_map(path: Path) -> ClassList:
    """CVAT's labelmap.txt: lines `name:red,green,blue:parts:actions`, below a comment."""
    rows: list[tuple[str, Colour]] = []
    for number, line in enumerate(text(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, rest = line.partition(":")
        try:
            red, green, blue = (int(value) for value in rest.partition(":")[0].split(","))
        except ValueError:
            raise InputError(f"{path}: line {number}: {line.strip()} is not name:red,green,blue::") from None
        rows.append((name.strip(), (red, green, blue)))
    return _coloured(ColourTable(rows, str(path)), path)


def _meta(path: Path) -> ClassList | None:
    """Datumaro's dataset_meta.json: names by number, and perhaps their colours in the same order."""
    try:
        content: Any = json.loads(text(path))
        given = content.get("label_map") or content.get("labels")
        if not given:
            return None
        pairs = given.items() if isinstance(given, dict) else enumerate(given)
        names = dict(sorted((int(number), str(name)) for number, name in pairs))
        colours = [tuple(int(value) for value in colour) for colour in content.get("segmentation_colors") or ()]
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not a list of classes, such as {{label_map: {{0: background, 1: crack}}}} ({error})"
        ) from error
    if not colours:
        return ClassList(names, None, str(path))
    if list(names) != list(range(len(colours))) or any(len(colour) != 3 for colour in colours):
        raise InputError(f"{path}: {len(names)} labels and {len(colours)} colours; each label from 0 on needs its own")
    return _coloured(ColourTable([(name, colours[number]) for number, name in names.items()], str(path)), path)  # type: ignore[misc]


def _numbered(path: Path) -> ClassList:
    """Roboflow's _classes.csv: a heading, and lines `number, name`."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(text(path).splitlines()) if row]
    try:
        names = {int(number): name for number, name in rows[1:]}
    except ValueError:
        raise InputError(f"{path}: its lines must be `number, name` below a heading") from None
    return ClassList(names, None, str(path))


def _lines(path: Path) -> ClassList:
    names = [line.strip() for line in text(path).rstrip().splitlines()]
    if names[:1] == ["__ignore__"]:
        names = names[1:]  # labelme's number -1, which it writes as 255
    if "" in names:
        raise InputError(f"{path}: line {names.index('') + 1} is empty; line n names the class of the value n - 1")
    if len(set(names)) != len(names):
        raise InputError(f"{path}: a class name appears twice; line n names the class of the value n - 1")
    return ClassList(dict(enumerate(names)), None, str(path))


_Reader = Callable[[Path], ClassList | None]
_TABLES: Mapping[str, _Reader] = {
    "colours.txt": _table,
    "colors.txt": _table,
    "label_colours.txt": _table,
    "label_colors.txt": _table,
    "class_dict.csv": _table,
    "class_dict_seg.csv": _table,
    "labelmap.txt": _label_map,
}
_LISTS: Mapping[str, _Reader] = {
    "dataset_meta.json": _meta,
    "_classes.csv": _numbered,
    "classes.txt": _lines,
    "class_names.txt": _lines,
}


def one_class_list(folders: Iterable[Path]) -> ClassList | None:
    """The class list of a folder, or that of folders in it, such as one for each side of a split, which then agree.

    Raises:
        InputError: they differ, or as :func:`find_class_list`.
    """
    found = [classes for folder in dict.fromkeys(folders) if (classes := find_class_list([folder])) is not None]
    different = [classes.where for classes in found if classes.names != found[0].names]
    if different:
        raise problems_error(
            "these files name other classes than each other; take all but the right one away:", [found[0].where, *different]
        )
    return found[0] if found else None


def _grey(masks: Iterable[Path]) -> bool:
    """Whether the first mask that can be opened has one channel; only its header is read."""
    for path in masks:
        try:
            reject_no_file(path)  # whose opening would wait for whoever writes to it
            with pillow.open(path) as image:
                return image.mode in _GREY
        except Exception:  # loading it says what is wrong with it
            continue
    return False
