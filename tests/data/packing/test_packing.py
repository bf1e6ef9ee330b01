"""Packing: what is stored, what is rejected, and what stays on the disk when something goes wrong."""

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support import CHECKOUT
from tune_seg.config import DataConfig
from tune_seg.data import Dataset, PackedData, PackedTest, pack, read, read_test
from tune_seg.data.images.files import FileDataset
from tune_seg.data.packing import file_format
from tune_seg.data.packing.write import packed_origin
from tune_seg.errors import InputError

SIZE = (8, 10)


def build(root: Path, *, train: int = 5, val: int = 3, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """A folder data set of three classes and ignored pixels; equal arguments give equal pixels."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            for kind in ("images", "masks"):
                (root / kind / split).mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), size, p=(0.6, 0.25, 0.1, 0.05))
            Image.fromarray(image).save(root / "images" / split / f"s{number:03d}.png")
            Image.fromarray(mask).save(root / "masks" / split / f"s{number:03d}.png")
    return root


def dataset(root: Path, **values: object) -> Dataset:
    return read(DataConfig.model_validate({"root": root, "classes": ("a", "b", "c"), **values}))


def edit(path: Path, change: Callable[[np.ndarray], None]) -> None:
    with Image.open(path) as image:
        array = np.array(image)
    change(array)
    Image.fromarray(array).save(path)


def ruin(file: Path) -> None:
    """Make the file unreadable, without changing what tells whether it changed."""
    stat = file.stat()
    file.write_bytes(b"\0" * stat.st_size)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def assert_same(data: PackedData, other: PackedData) -> None:
    """Whether two packs say the same of everything."""
    assert (data.content_id, data.class_names, data.train_images) == (
        other.content_id,
        other.class_names,
        other.train_images,
    )
    assert np.array_equal(data.train_pixels, other.train_pixels)
    assert np.array_equal(data.val_pixels, other.val_pixels)
    assert np.array_equal(data.val_groups, other.val_groups)
    assert len(data) == len(other)
    for number in range(len(data)):
        assert np.array_equal(data.image(number), other.image(number))
        assert np.array_equal(data.mask(number), other.mask(number))


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return build(tmp_path / "data")


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    return tmp_path / "packs"


def test_a_pack_holds_what_the_reader_gives(root: Path, packs: Path) -> None:
    source = dataset(root)
    calls: list[tuple[int, int]] = []
    path = pack(source, packs, SIZE, lambda done, total: calls.append((done, total)))
    assert calls == [(n, 16) for n in range(1, 17)]  # each mask is looked at once before, and each sample packed
    data = PackedData(path)
    assert (data.class_names, data.num_classes, data.size) == (("a", "b", "c"), 3, SIZE)
    assert (len(data.train), len(data.val)) == (5, 3)
    assert path.name == f"{data.content_id}.arrow"
    for split in (data.train, data.val):
        samples = [sample for sample in source.samples if sample.split == split.name]
        images, masks = split.gather(range(len(split)))
        for row, sample in enumerate(samples):
            image, mask = source.load(sample)
            assert np.array_equal(images[row].numpy(), image)
            assert np.array_equal(masks[row].numpy(), mask)
    train = np.concatenate([source.load(s)[1].ravel() for s in source.samples if s.split == "train"])
    counts = np.bincount(train, minlength=256)[:3]
    assert np.array_equal(data.frequencies, counts / counts.sum())
    assert np.array_equal(data.train_pixels, counts)
    of_masks = [source.load(s)[1] for s in source.samples if s.split == "train"]
    with_class = [sum((mask < 3).sum() for mask in of_masks if (mask == c).any()) for c in range(3)]
    assert data.trained_on.image_pixels.tolist() == with_class
    assert (data.trained_on.class_names, data.trained_on.images) == (("a", "b", "c"), 5)
    val = np.concatenate([source.load(s)[1].ravel() for s in source.samples if s.split == "val"])
    assert np.array_equal(data.val_pixels, np.bincount(val, minlength=256)[:3])
    assert data.train_pixels.dtype == data.val_pixels.dtype == np.int64


def test_more_samples_than_a_record_batch(tmp_path: Path, packs: Path) -> None:
    source = dataset(build(tmp_path / "data", train=130, val=70, size=(4, 4)))
    data = PackedData(pack(source, packs, (4, 4)))
    for split, picked in ((data.train, [129, 0, 63, 64, 127, 128, 64]), (data.val, [69, 0, 61, 62])):
        samples = [sample for sample in source.samples if sample.split == split.name]
        images, masks = split.gather(np.array(picked))
        for row, number in enumerate(picked):
            image, mask = source.load(samples[number])
            assert np.array_equal(images[row].numpy(), image)
            assert np.array_equal(masks[row].numpy(), mask)
    for number in (-1, 70):
        with pytest.raises(IndexError, match=f"sample {number} of a val split of 70"):
            data.val.gather([number])


def test_images_are_resized_smoothly_and_masks_to_the_nearest_pixel(tmp_path: Path, packs: Path) -> None:
    root = build(tmp_path / "data", size=(16, 20))
    source = dataset(root)
    images, masks = PackedData(pack(source, packs, SIZE)).train.gather([0])
    image, mask = source.load(source.samples[0])
    smooth = image.reshape(8, 2, 10, 2, 3).mean((1, 3))
    # the triangle filter of halving weighs the 4 x 4 neighbourhood, the box of 2 x 2 above only its middle
    assert np.abs(images[0].numpy() - smooth).mean() < 25 < np.abs(image[::2, ::2] - smooth).mean()
    nearest = [mask[row::2, column::2] for row in (0, 1) for column in (0, 1)]
    assert any(np.array_equal(masks[0].numpy(), candidate) for candidate in nearest)


def test_equal_content_has_one_name_and_any_change_another(tmp_path: Path, root: Path, packs: Path) -> None:
    first = pack(dataset(root), packs, SIZE)
    elsewhere = build(tmp_path / "copy")
    assert pack(dataset(elsewhere), tmp_path / "other packs", SIZE).name == first.name

    names = {first.name, pack(dataset(root, classes=("a", "b", "d")), packs, SIZE).name}
    names.add(pack(dataset(root), packs, (8, 9)).name)
    edit(elsewhere / "images" / "train" / "s000.png", lambda array: array.__setitem__((3, 4, 1), array[3, 4, 1] ^ 1))
    names.add(pack(dataset(elsewhere), packs, SIZE).name)
    build(elsewhere)
    edit(elsewhere / "masks" / "val" / "s002.png", lambda array: array.__setitem__((0, 0), (array[0, 0] + 1) % 3))
    names.add(pack(dataset(elsewhere), packs, SIZE).name)
    build(elsewhere)
    for kind in ("images", "masks"):
        (elsewhere / kind / "train" / "s004.png").rename(elsewhere / kind / "train" / "s005.png")
    names.add(pack(dataset(elsewhere), packs, SIZE).name)
    assert len(names) == 6


def test_the_second_call_decodes_nothing(root: Path, packs: Path) -> None:
    path = pack(dataset(root), packs, SIZE)
    for file in root.rglob("*.png"):
        ruin(file)
    assert pack(dataset(root), packs, SIZE) == path
    with pytest.raises(InputError, match="cannot be read as an image"):
        pack(dataset(root), packs, (8, 9))
    os.utime(root / "images" / "train" / "s000.png")
    with pytest.raises(InputError, match="cannot be read as an image"):
        pack(dataset(root), packs, SIZE)


def test_the_second_call_decodes_nothing_where_the_masks_told_the_classes(root: Path, packs: Path) -> None:
    path = pack(dataset(root, classes=None), packs, SIZE)
    ruin(root / "masks" / "train" / "s000.png")
    assert pack(dataset(root, classes=None), packs, SIZE) == path
    assert PackedData(path).class_names == ("class 0", "class 1", "class 2")


def test_a_pack_that_was_damaged_or_deleted_is_written_again(root: Path, packs: Path) -> None:
    path = pack(dataset(root), packs, SIZE)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert pack(dataset(root), packs, SIZE) == path
    assert path.read_bytes() == whole
    path.unlink()
    assert pack(dataset(root), packs, SIZE) == path
    assert path.read_bytes() == whole


def test_another_pack_under_a_packs_name_is_written_again(root: Path, packs: Path) -> None:
    path = pack(dataset(root), packs, SIZE)
    whole = path.read_bytes()
    shutil.copy(pack(dataset(root, max_train=2), packs, SIZE), path)
    assert pack(dataset(root), packs, SIZE) == path
    assert path.read_bytes() == whole


def test_every_bad_file_is_named_at_once(root: Path, packs: Path) -> None:
    images, masks = root / "images" / "train", root / "masks" / "train"
    (images / "s000.png").unlink()
    (masks / "s001.png").unlink()
    Image.fromarray(np.zeros((8, 11), np.uint8)).save(masks / "s002.png")
    edit(masks / "s003.png", lambda array: array.__setitem__((0, slice(0, 2)), (7, 9)))
    whole = (images / "s004.png").read_bytes()
    (images / "s004.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.full((8, 10, 3), (0, 1, 2), np.uint8)).save(root / "masks" / "val" / "s000.png")
    (root / "masks" / "val" / "s001.png").write_bytes(b"not a picture")
    Image.fromarray(np.zeros(SIZE, np.uint16)).save(root / "images" / "val" / "s002.png")
    with pytest.raises(InputError) as error:
        pack(dataset(root), packs, SIZE)
    message = str(error.value)
    for line in (
        "(8 problems)",
        "masks/train/s000.png: a mask without an image",
        "images/train/s001.png: an image without a mask",
        "masks/train/s002.png: 11 x 8 pixels, but its image s002.png is 10 x 8 pixels",
        "masks/train/s003.png: unknown label values 7, 9 (known: 0 to 2, 255 = ignored); declare",
        "images/train/s004.png: cannot be read as an image",
        "masks/val/s000.png: a mask in colour (mode RGB)",
        "masks/val/s001.png: cannot be read as an image",
        "images/val/s002.png: an image of 16 bits a channel, where the data set has 8",
    ):
        assert line in message
    assert message.count("\n") == 8
    assert files(packs) == set()


def test_many_bad_files_of_one_kind_are_one_line(tmp_path: Path, packs: Path) -> None:
    root = build(tmp_path / "data", train=30)
    for mask in (root / "masks" / "train").iterdir():
        mask.write_bytes(b"")
    with pytest.raises(InputError) as error:
        pack(dataset(root), packs, SIZE)
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    assert "30 problems" in lines[0]
    assert "masks/train/s000.png: cannot be read as an image" in lines[1]
    assert "(30 such, also " in lines[1] and "s001.png, " in lines[1] and lines[1].endswith("s002.png)")


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_a_labelled_pixel_is_refused(root: Path, packs: Path, split: str) -> None:
    for mask in (root / "masks" / split).iterdir():
        edit(mask, lambda array: array.fill(255))
    with pytest.raises(InputError, match=f"the {split} split .* holds no pixel with a class"):
        pack(dataset(root, ignore_label=255), packs, SIZE)
    assert files(packs) == set()


def test_masks_that_cannot_be_read_do_not_tell_the_classes(root: Path, packs: Path) -> None:
    for mask in (root / "masks").rglob("*.png"):
        mask.write_bytes(b"")
    with pytest.raises(InputError) as error:
        pack(dataset(root, classes=None), packs, SIZE)
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert "(9 problems)" in lines[0]
    assert "masks/train/s000.png: cannot be read as an image" in lines[1]
    assert "(8 such, also " in lines[1]  # each mask once, although the scan and the loading met it
    assert lines[-1].endswith("masks: the masks do not tell which classes there are")


@pytest.mark.parametrize("scan_fails", [False, True])
def test_what_is_wrong_with_single_files_is_said_where_the_masks_tell_the_classes(
    root: Path, packs: Path, scan_fails: bool
) -> None:
    images, masks = root / "images" / "train", root / "masks" / "train"
    (images / "s000.png").unlink()
    (masks / "s001.png").unlink()
    Image.fromarray(np.zeros((8, 11), np.uint8)).save(masks / "s002.png")
    (images / "s003.png").write_bytes(b"not a picture")
    if scan_fails:
        Image.fromarray(np.arange(80, dtype=np.uint8).reshape(SIZE)).save(masks / "s004.png")
    with pytest.raises(InputError) as error:
        pack(dataset(root, classes=None), packs, SIZE)
    lines = str(error.value).splitlines()
    for line, part in zip(
        lines,
        (
            "problems)",
            "masks/train/s000.png: a mask without an image",
            "images/train/s001.png: an image without a mask",
            "masks/train/s002.png: 11 x 8 pixels, but its image s002.png is 10 x 8 pixels",
            "images/train/s003.png: cannot be read as an image",
            *(["masks: 80 distinct values, so the masks look like photographs"] if scan_fails else []),
        ),
        strict=True,
    ):
        assert part in line
    assert files(packs) == set()


def test_reading_the_masks_for_their_classes_counts_as_progress(root: Path, packs: Path) -> None:
    calls: list[tuple[int, int]] = []
    pack(dataset(root, classes=None, max_train=2), packs, SIZE, lambda done, total: calls.append((done, total)))
    assert calls == [(n, 8 + 5) for n in range(1, 14)]


def test_a_directory_that_cannot_be_made_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "packs"):
        with pytest.raises(InputError, match=f"{directory}: cannot write the packed data there"):
            pack(dataset(root), directory, SIZE)


def test_a_disk_too_full_for_the_directory_itself_is_reported(
    root: Path, packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(InputError, match=f"{packs / 'deep'}: No space left on device.*bytes are free there"):
        pack(dataset(root), packs / "deep", SIZE)


PRELUDE = """
import os, resource
from tune_seg.config import DataConfig
from tune_seg.data import pack, read
from tune_seg.errors import InputError
"""


def in_child(code: str, *wrapper: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, that the command `wrapper` starts."""
    return subprocess.run(
        [*wrapper, sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )


def test_what_the_disk_did_not_take_meanwhile_is_said_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []

    def failing_once(file: int) -> None:  # as Linux says it: one failure, and then none
        synced.append(file)
        if len(synced) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(file_format, "_BYTES_BETWEEN_SAVES", 1)
    monkeypatch.setattr(os, "fsync", failing_once)
    with pytest.raises(InputError, match="No space left on device"):
        pack(read(DataConfig(size=(8, 10), max_train=2, max_val=2)), tmp_path, (8, 10))
    assert list(tmp_path.glob("*.arrow")) == []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_as_many_threads_decode_as_the_process_has_cores() -> None:
    done = in_child("""
        from tune_seg.data.cores import available_cores
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        print(available_cores())
    """)
    assert done.stdout == "1\n", done.stderr


def namespaces() -> bool:
    """Whether this process may mount a file system that only its children see."""
    return shutil.which("unshare") is not None and subprocess.run(["unshare", "-rm", "true"]).returncode == 0


def test_a_directory_without_permission_is_named() -> None:
    with tempfile.TemporaryDirectory() as directory:  # pytest's tmp_path is closed to other users
        os.chmod(directory, 0o555)
        done = in_child(f"""
            dataset = read(DataConfig(size=(8, 10), max_train=2, max_val=2))
            if os.geteuid() == 0:
                os.setuid(65534)
            try:
                pack(dataset, {directory!r}, (8, 10))
            except InputError as error:
                print(error)
        """)
        assert f"{directory}: cannot write the packed data there (Permission denied)" in done.stdout, done.stderr


def test_a_limit_on_file_sizes_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    done = in_child(f"""
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            pack(read(DataConfig(size=(64, 96))), {str(tmp_path)!r}, (64, 96))
        except InputError as error:
            print(error)
    """)
    assert f"{tmp_path}: File too large. The packed data needs" in done.stdout, done.stderr
    assert files(tmp_path) == set()


@pytest.mark.skipif(not namespaces(), reason="no small file system can be mounted here (unshare -rm is not allowed)")
@pytest.mark.parametrize("filled_meanwhile", [False, True])
def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path, filled_meanwhile: bool) -> None:
    size = (32, 32) if filled_meanwhile else (64, 96)
    code = f"""
        def fill(done, total):
            if {filled_meanwhile} and done == 70:
                with open("other", "wb", buffering=0) as other:
                    try:
                        while True:
                            other.write(bytes(4096))
                    except OSError:
                        pass

        os.chdir({str(tmp_path)!r})
        try:
            pack(read(DataConfig(size={size})), ".", {size}, fill)
        except InputError as error:
            print(error)
        print(sorted(os.listdir(".")))
    """
    mount = f"mount -t tmpfs -o size=1m none '{tmp_path}' && exec \"$@\""
    done = in_child(code, "unshare", "-rm", "sh", "-c", mount, "sh")
    needed = 144 * size[0] * size[1] * 4 + 2**16
    assert f"The packed data needs {needed} bytes" in done.stdout, done.stderr
    assert "No space left on device" in done.stdout
    assert done.stdout.splitlines()[-1] == ("['other']" if filled_meanwhile else "[]")


def test_an_interrupted_pack_goes_on_where_it_was(root: Path, packs: Path, tmp_path: Path) -> None:
    whole = pack(dataset(root), tmp_path / "whole", SIZE)

    def interrupt(done: int, total: int) -> None:
        if done == 8 + 3:  # the masks are read before, to see what their values mean
            signal.raise_signal(signal.SIGINT)

    # a shell starts what it runs in the background with SIGINT ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            pack(dataset(root), packs, SIZE, interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert all(name.startswith(".") for name in files(packs))
    for number in range(3):
        ruin(root / "images" / "train" / f"s{number:03d}.png")
        ruin(root / "masks" / "train" / f"s{number:03d}.png")
    calls: list[int] = []
    path = pack(dataset(root), packs, SIZE, lambda done, total: calls.append(done))
    assert (path.name, calls) == (whole.name, [*range(1, 9), *range(8 + 3, 8 + 9)])
    assert_same(PackedData(path), PackedData(whole))
    assert len(files(packs)) == 2


def grouped(source: Dataset, *groups: str) -> Dataset:
    """The data set with its first validation images in these groups, and its training images in one, whatever they are."""
    val = iter(groups)
    return replace(
        source,
        samples=tuple(
            replace(sample, group=next(val, "") if sample.split == "val" else "a case to train on")
            for sample in source.samples
        ),
    )


def test_the_groups_of_the_validation_images_are_numbered_as_they_come(tmp_path: Path, packs: Path) -> None:
    source = dataset(build(tmp_path / "data", train=2, val=7))
    assert PackedData(pack(source, packs, SIZE)).val_groups.tolist() == list(range(7))
    data = PackedData(pack(grouped(source, "z", "", "a", "z", "s001", ""), packs, SIZE))
    assert data.val_groups.tolist() == [0, 1, 2, 0, 3, 4, 5]
    assert data.val_groups.dtype == np.int64
    assert pickle.loads(pickle.dumps(data)).val_groups.tolist() == data.val_groups.tolist()


def test_a_group_is_a_part_of_the_content(root: Path, packs: Path) -> None:
    source = dataset(root)
    names = {pack(grouped(source, *groups), packs, SIZE).name for groups in ((), ("a",), ("b",), ("a", "a"))}
    assert len(names | {pack(source, packs, SIZE).name}) == 5


def test_data_without_groups_have_the_id_that_they_had_before_there_were_any(tmp_path: Path) -> None:
    """Else no study of then could be continued."""
    path = pack(read(size=(16, 24), max_train=3, max_val=2), tmp_path, (16, 24))
    assert path.stem == "c640ac5bf3ab9b5a44617ba20910beb1"


def test_the_name_of_a_group_need_not_be_utf_8(root: Path, packs: Path) -> None:
    """As that of a folder."""
    source = grouped(dataset(root), "\udce9", "\udcea", "\udce9")
    assert PackedData(pack(source, packs, SIZE)).val_groups.tolist() == [0, 1, 0]


def test_an_interrupted_pack_goes_on_only_with_the_same_groups(root: Path, packs: Path, tmp_path: Path) -> None:
    source = grouped(dataset(root), "a", "b", "a")
    whole = pack(source, tmp_path / "whole", SIZE)

    def interrupt(done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(source, packs, SIZE, interrupt)
    for kind in ("images", "masks"):
        ruin(root / kind / "val" / "s001.png")  # of which a second decoding would fail
    assert_same(PackedData(pack(source, packs, SIZE)), PackedData(whole))

    other = grouped(dataset(root), "a", "b", "b")
    with pytest.raises(InputError, match=r"val/s001\.png: cannot be read as an image"):
        pack(other, packs, SIZE)
    build(root)
    assert PackedData(pack(other, packs, SIZE)).val_groups.tolist() == [0, 1, 1]


def test_a_killed_packing_goes_on_behind_what_it_wrote(tmp_path: Path, packs: Path) -> None:
    root = build(tmp_path / "data", train=80, val=5)
    whole = pack(dataset(root), tmp_path / "whole", SIZE)
    done = in_child(f"""
        def kill(done, total):
            if done == 85 + 70:
                os.kill(os.getpid(), 9)

        pack(read(DataConfig(root={str(root)!r}, classes=("a", "b", "c"))), {str(packs)!r}, {SIZE}, kill)
    """)
    assert done.returncode == -9, done.stderr
    for number in range(64):  # two whole batches
        ruin(root / "images" / "train" / f"s{number:03d}.png")
    path = pack(dataset(root), packs, SIZE)
    assert path.name == whole.name
    assert_same(PackedData(path), PackedData(whole))


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path, bytes, PackedData]:
    """A data set, where its packing was broken off, what is there of it, and the whole pack."""
    directory = tmp_path_factory.mktemp("broken off")
    source = dataset(build(directory / "data", train=40, val=3, size=(4, 4)))
    packs = directory / "packs"
    broken = source.masks_to_scan + 40

    def stop(done: int, total: int) -> None:
        if done == broken:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(source, packs, (4, 4), stop)
    (partial,) = packs.iterdir()
    return source, partial, partial.read_bytes(), PackedData(pack(source, directory / "whole", (4, 4)))


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0.0, 1.0, exclude_max=True), change=st.integers(0, 255), cut=st.booleans())
def test_whatever_is_damaged_of_a_broken_off_packing_the_pack_is_right(
    broken_off: tuple[Dataset, Path, bytes, PackedData], place: float, change: int, cut: bool
) -> None:
    source, partial, written, whole = broken_off
    for path in partial.parent.iterdir():
        path.unlink()
    position = int(place * len(written))
    damaged = bytearray(written[: position + 1] if cut else written)
    damaged[position] ^= change
    partial.write_bytes(damaged)
    assert_same(PackedData(pack(source, partial.parent, (4, 4))), whole)


def test_a_packing_that_waits_for_another_takes_what_it_made(root: Path, packs: Path) -> None:
    started, released = threading.Event(), threading.Event()

    def wait(done: int, total: int) -> None:
        started.set()
        released.wait(30)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(pack, dataset(root), packs, SIZE, wait)
        assert started.wait(30)
        calls: list[int] = []
        second = pool.submit(pack, dataset(root), packs, SIZE, lambda done, total: calls.append(done))
        time.sleep(0.2)
        assert not second.done()
        released.set()
        assert first.result(30) == second.result(30)
    assert calls == []
    assert len(files(packs)) == 2


def test_what_a_killed_process_left_is_cleared_but_not_what_one_writes(root: Path, packs: Path) -> None:
    packs.mkdir()
    (packs / ".old.partial").write_bytes(b"x")
    os.utime(packs / ".old.partial", (time.time() - 8 * 24 * 3600, time.time() - 8 * 24 * 3600))
    (packs / ".new.partial").write_bytes(b"x")
    pack(dataset(root), packs, SIZE)
    assert {name for name in files(packs) if name.endswith(".partial")} == {".new.partial"}


def test_processes_that_pack_the_same_at_once(root: Path, packs: Path, tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
dataset = read(DataConfig(root={str(root)!r}, classes=("a", "b", "c")))
print("ready", flush=True)
while not Path({str(tmp_path / "go")!r}).exists():
    time.sleep(0.001)
print(pack(dataset, {str(packs)!r}, {SIZE}))
"""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    processes = [
        subprocess.Popen([sys.executable, "-c", PRELUDE + code], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    paths = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(paths) == 1
    assert len(PackedData(paths.pop()).train) == 5
    assert len(files(packs)) == 2


def test_processes_share_the_pages_of_the_file(tmp_path: Path) -> None:
    path = pack(read(DataConfig(size=(64, 96))), tmp_path, (64, 96))
    code = f"""
        import pickle

        data = pickle.loads({pickle.dumps(PackedData(path))!r})
        print(*(sum(int(view(row).sum()) for row in data.train.rows) for view in (data.image, data.mask)))
        kinds = {{}}
        for line in open("/proc/self/smaps"):
            if " " in line.split(":")[0]:
                mapped = line.rstrip().endswith({path.name!r})
            elif mapped and line.startswith(("Rss", "Private_Dirty")):
                kinds[line.split(":")[0]] = kinds.get(line.split(":")[0], 0) + int(line.split()[1])
        print(kinds["Rss"], kinds["Private_Dirty"])
    """
    images, masks = (data := PackedData(path)).train.gather(range(96))
    answer = in_child(code)
    sums, kinds = answer.stdout.splitlines()
    assert sums == f"{int(images.sum())} {int(masks.sum())}", answer.stderr
    resident, own = map(int, kinds.split())
    assert resident * 1024 >= 96 * 64 * 96 * 4  # what it read lies in the mapping of the file,
    assert own == 0  # and no page of it is the process's own
    with pytest.raises(ValueError, match="read-only"):
        data.image(0)[0, 0, 0] = 1


def test_pickling_passes_the_path_on(root: Path, packs: Path) -> None:
    data = PackedData(pack(dataset(root), packs, SIZE))
    assert len(pickle.dumps(data)) < 400
    assert len(pickle.dumps(data.val)) < 500
    split = pickle.loads(pickle.dumps(data.val))
    assert split.gather([2])[0].equal(data.val.gather([2])[0])


def test_test_images_are_packed_apart_and_are_no_data_of_a_trial(tmp_path: Path, packs: Path) -> None:
    root = build(tmp_path / "data", train=4, val=3)
    for kind in ("images", "masks"):
        shutil.copytree(root / kind / "val", root / kind / "test")
    (root / "images" / "test" / "s000.png").unlink()
    (root / "masks" / "test" / "s000.png").unlink()
    config = DataConfig.model_validate({"root": root, "classes": ("a", "b", "c"), "split": {"test": "published"}})
    source = read_test(config)
    assert source is not None
    paths = [pack(dataset, packs, SIZE) for dataset in (read(config), source)]
    assert pack(dataset(root), packs, SIZE) == paths[0]  # the test images are no part of it
    test = PackedTest(paths[1])
    assert (len(test.val), len(test.train), test.folds, test.fold, test.train_images) == (2, 0, 0, None, ())
    assert test.content_id not in (paths[0].stem, PackedData(paths[0]).content_id)
    images, masks = test.val.gather([0, 1])
    for row, sample in enumerate(source.samples):
        image, mask = source.load(sample)
        assert np.array_equal(images[row].numpy(), image)
        assert np.array_equal(masks[row].numpy(), mask)
    assert np.array_equal(test.val_pixels, np.bincount(masks.flatten(), minlength=256)[:3])
    assert not test.train_pixels.any() and np.isfinite(test.frequencies).all()
    copy = pickle.loads(pickle.dumps(test.val))
    assert isinstance(copy.data, PackedTest)
    assert copy.gather([1])[0].equal(images[1:])
    with pytest.raises(InputError, match="a pack of images that are held out for a test"):
        PackedData(paths[1])
    with pytest.raises(InputError, match="a pack of images to train and validate with, not of a test split"):
        PackedTest(paths[0])


def test_missing_foreign_and_damaged_packs_are_refused(root: Path, packs: Path, tmp_path: Path) -> None:
    path = pack(dataset(root), packs, SIZE)
    whole = path.read_bytes()
    bad = tmp_path / "bad.arrow"
    with pytest.raises(InputError, match=r"bad\.arrow: no such pack"):
        PackedData(bad)
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-1], whole[:1000] + bytes(len(whole) - 1000)):
        bad.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.arrow: incomplete pack"):
            PackedData(bad)
    table = pa.table({"x": [1, 2]})
    with pa.OSFile(str(bad), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match=r"bad\.arrow: an Arrow file, but none that tune_seg packed"):
        PackedData(bad)
    reader = pa.ipc.open_stream(path)
    rows = reader.read_next_batch()
    for count in (0, 1):
        with pa.OSFile(str(bad), "wb") as sink, pa.ipc.new_stream(sink, reader.schema) as writer:
            for _ in range(count):
                writer.write_batch(rows)
        with pytest.raises(InputError, match="without its summary"):
            PackedData(bad)
    bad.write_bytes(whole.replace(f'{{"version": {file_format.FORMAT_VERSION}'.encode(), b'{"version": 7'))
    with pytest.raises(InputError, match=f"a pack of version 7, this program reads version {file_format.FORMAT_VERSION}"):
        PackedData(bad)
    with pytest.raises(InputError, match="incomplete pack"):
        PackedData(tmp_path)


def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    """Packing 400 large samples after 40 raises the peak memory by less than a quarter of what they would take."""
    for count in (40, 400):
        root = tmp_path / str(count)
        for kind, shape in (("images", (256, 256, 3)), ("masks", (256, 256))):
            for split in ("train", "val"):
                (root / kind / split).mkdir(parents=True)
            array = np.zeros(shape, np.uint8)
            array[:128] = 1
            Image.fromarray(array).save(root / kind / "val" / "first.png")
            for number in range(count):
                os.link(root / kind / "val" / "first.png", root / kind / "train" / f"{number}.png")
    done = in_child(f"""
        for count in (40, 400):
            pack(read(DataConfig(root={str(tmp_path)!r} + f"/{{count}}", classes=("a", "b"))), {str(tmp_path)!r}, (256, 256))
            # not ru_maxrss, which a child takes over from its parent
            print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
    """)
    assert done.returncode == 0, done.stderr
    few, many = (int(line) * 1024 for line in done.stdout.split())
    assert many - few < 400 * 256 * 256 * 4 / 4


def test_what_was_taken_for_granted_is_known_without_packing_again(tmp_path: Path) -> None:
    class Noted(FileDataset):
        notes = ("255 is ignored",)

    silent, other = dataset(build(tmp_path / "a")), dataset(build(tmp_path / "b"))
    noted = Noted(**{field.name: getattr(other, field.name) for field in fields(other)})
    assert packed_origin(noted, tmp_path, SIZE) is None
    assert pack(noted, tmp_path, SIZE) == pack(silent, tmp_path, SIZE)  # equal content has one pack
    assert "255 is ignored" not in silent.notes
    for each, notes in ((noted, ["255 is ignored"]), (silent, list(silent.notes))):
        origin = packed_origin(each, tmp_path, SIZE)
        assert origin is not None and list(origin.notes) == notes
