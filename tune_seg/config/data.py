"""The section `data`: where the images are, how they are read, and how they are divided."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from tune_seg.config.base import Integer, Number, Positive, Section, Seed, Size
from tune_seg.format_names import FormatName

Format = Literal[FormatName, "synthetic"]


_Name = Annotated[str, Field(description="name")]
_BY_LABEL = WithJsonSchema(
    {
        "type": "object",
        "propertyNames": {"description": "label", "pattern": r"^\d+$"},
        "additionalProperties": {"type": "string", "description": "name"},
    }
)


class SplitConfig(Section):
    """Which images train and which validate: two list files, a random fraction, or folds; and which are held out.

    With neither lists nor a fraction nor folds, the published split is used.
    """

    train: Path | None = None
    """A text file that lists the training images, one a line: ids, file names, volumes, patients or cities. Needs `val`."""

    val: Path | None = None
    """A text file that lists the validation images, as `train` does."""

    val_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """The share of the images that validates, drawn at random. With `folds`, the share of each fold; null: 1 / folds."""

    folds: Annotated[Integer, Field(ge=2)] | None = None
    """Into how many folds all images are divided. The key `fold` of a trial says which of them validates."""

    test: Literal["published"] | Annotated[Number, Field(gt=0.0, lt=1.0)] | Path | None = None
    """The images that are held out, for one test after the decision; no trial sees them. `published`: the published test
    images, where they have labels; a path: a list of images as `train` is; a number: that share, drawn before the others
    are divided. null: none."""

    seed: Seed = 0
    """Seed of the random split. It also draws the generated images. Change it to see how much depends on the split."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.train is None) != (self.val is None):
            raise ValueError("data.split needs both list files, train and val, or neither")
        if self.train is not None and (self.val_fraction is not None or self.folds is not None):
            raise ValueError("data.split takes either list files (train, val) or val_fraction and folds, not both")
        if self.folds is not None and (self.val_fraction or 0.0) * self.folds > 1.0:
            raise ValueError(
                f"data.split: {self.folds} folds of val_fraction {self.val_fraction} are more than there is; "
                f"a fold is at most {1.0 / self.folds:.4g}"
            )
        return self

    @property
    def given(self) -> bool:
        """Whether what trains and what validates is set, so that their published split is not used."""
        return self != SplitConfig(seed=self.seed, test=self.test)


Resize = Literal["stretch", "fit", "crop"]


class TilesConfig(Section):
    """Large images cut into tiles at the resolution of the files; each tile is a sample, and comes to `data.size`.

    All tiles of an image are on one side of a split. Where they validate, whole images are judged, and every pixel of them
    once: by the blended outputs of all tiles that have it, if tiles are not scaled (`data.size` is their size), else by the
    tile in whose middle it lies.
    """

    size: Size | None = None
    """Height and width of a tile in pixels of the file; also `data.size`, where that is not set. null: images stay whole."""

    overlap: Annotated[Integer, Field(ge=0)] = 0
    """By how many pixels neighbouring tiles overlap at least, so that what lies at the border of one is seen by another."""

    @model_validator(mode="after")
    def _overlap_within(self) -> Self:
        if self.size is None and self.overlap:
            raise ValueError("data.tiles.overlap needs data.tiles.size")
        if self.size is not None and self.overlap >= min(self.size):
            raise ValueError(f"data.tiles.overlap: {self.overlap} pixels are no less than a tile of {list(self.size)} has")
        return self


class DataConfig(Section):
    """Where the images are, how they are read, and the size at which every trial sees them."""

    format: Format | None = None
    """The layout of the files. null: detected from what is in `root`; without a root, images are generated."""

    root: Path | None = None
    """The folder with the images, as it was unpacked; `--data ROOT` sets it. null: generated images."""

    size: Size = (224, 224)
    """Height and width in pixels at which every image is seen. Smaller is faster; larger shows small objects."""

    resize: Resize = "fit"
    """How an image of another shape comes to `size`. `fit` keeps its aspect ratio, and what it does not fill is ignored;
    shapes within 3 % of that of `size` are stretched. `crop` keeps the ratio too, fills `size` and cuts off the rest on both
    sides. `stretch` changes the ratio; a `study.yaml` without the key means that."""

    tiles: TilesConfig = TilesConfig()
    """Large images cut into tiles."""

    max_train: Positive | None = None
    """The largest number of training images, spread evenly over the set. Lower it for a first try. null: all."""

    max_val: Positive | None = None
    """The same for validation images; with folds, for each fold."""

    classes: tuple[_Name, ...] | Annotated[dict[int, _Name], _BY_LABEL] | None = None
    """Names of the classes in the order of their labels, or `{label: name}`; labels of one name become one class. null:
    those of the format."""

    ignore_label: Annotated[int, Field(ge=0, lt=2**16)] | None = None
    """The label whose pixels count nowhere. null: that of the format, 11 in CamVid and 255 elsewhere."""

    split: SplitConfig = SplitConfig()
    """Which images train and which validate."""

    options: dict[str, Any] = Field(default={})
    """Keys of the format's own, see [images](data-images.md) and [volumes](data-volumes.md)."""

    content: str | None = None
    """A hash of the packed data. A study writes it to its `study.yaml` and rejects other data from then on. Leave it out."""

    test_content: str | None = None
    """The same for the packed images of `split.test`. Leave it out."""

    @model_validator(mode="before")
    @classmethod
    def _depending_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        # a study of before there was the key; generated images have the size that is asked for anyway
        if values.get("content") is not None and values.get("root") is not None:
            values.setdefault("resize", "stretch")
        match values.get("tiles"):
            case {"size": size} | TilesConfig(size=size) if size is not None:
                values.setdefault("size", size)
        return values

    @field_validator("root")
    @classmethod
    def _expand(cls, root: Path | None) -> Path | None:
        return None if root is None else root.expanduser().absolute()

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...] | dict[int, str] | None) -> tuple[str, ...] | dict[int, str] | None:
        if isinstance(classes, tuple) and len(set(classes)) != len(classes):
            raise ValueError("a class name appears twice; a mapping {value: name} may give several values one name")
        if isinstance(classes, dict) and not all(0 <= value < 2**16 for value in classes):
            raise ValueError("the values of a mask are 0 to 65535")
        if classes is not None and len(set(classes.values() if isinstance(classes, dict) else classes)) < 2:
            raise ValueError("there must be at least two classes")
        return classes

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.root is None and self.format not in (None, "synthetic"):
            raise ValueError(f"data.format {self.format} needs data.root (or --data ROOT)")
        if self.root is not None and self.format == "synthetic":
            raise ValueError("data.format synthetic generates its images; leave data.root out")
        if self.root is None:
            for key in ("classes", "ignore_label"):
                if getattr(self, key) is not None:
                    raise ValueError(f"data.{key} describes files, so it needs data.root (or --data ROOT)")
            if self.options:
                raise ValueError("data.options describes files, so it needs data.root (or --data ROOT)")
            if self.tiles.size is not None:
                raise ValueError("data.tiles cuts files, so it needs data.root (or --data ROOT)")
            if self.split.given:
                raise ValueError("data.split describes files, so it needs data.root (or --data ROOT)")
            if self.split.test not in (None, "published"):
                raise ValueError(f"data.split.test: of generated images it is published or null, got {self.split.test}")
        return self
