"""DICOM volumes that pydicom and highdicom write, and pydicom's own test files, against their arrays."""

from collections.abc import Sequence
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from PIL import Image as pillow
from pydicom.uid import JPEG2000Lossless, RLELossless, generate_uid

from tests.support import CHECKOUT
from tests.support.dicom_files import (
    AXIAL,
    OBLIQUE,
    ORIGIN,
    SPACING,
    THICKNESS,
    get_testdata_file,
    save,
    save_pngs,
    segmentation,
    slices,
    volume,
)
from tests.support.missing_package import said_without
from tests.support.volume_files import (
    LPS,
    Array,
    classes,
    config,
    intensities,
    levels,
    loaded,
    read_volume,
    write_mhd,
    write_nifti,
)
from tune_seg.data import read
from tune_seg.errors import InputError

WHOLE = {"percentiles": [0.0, 100.0]}

rng = np.random.default_rng(0)


def assert_read(root: Path, name: str, stored: Array, mask: Array) -> None:
    images, masks = read_volume(root, name)
    assert np.array_equal(images[..., 0], levels(stored))
    assert np.array_equal(masks, mask)


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE, (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)])
def test_slices_are_ordered_by_position_whatever_their_names_and_numbers(tmp_path: Path, orientation: Any) -> None:
    written = {}
    for seed, name in enumerate(("a", "b")):
        stored, mask = intensities(seed), classes(seed)
        paths = save(tmp_path / "images" / name, slices(stored, orientation, name))
        assert sorted(paths) != paths
        save_pngs(tmp_path / "masks" / name, mask, [path.stem for path in paths])
        written[name] = stored, mask
    assert read(config(tmp_path)).class_names == ("background", "class 1", "class 2")
    for name, (stored, mask) in written.items():
        assert_read(tmp_path, name, stored, mask)


def test_slices_without_position_and_number_go_by_name_ten_after_nine(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number, dataset in enumerate(slices(intensities(seed, 12), patient=name), start=1):
            del dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.InstanceNumber
            dataset.save_as(tmp_path / "images" / name / f"IM{number}.dcm")
        write_mhd(tmp_path / "masks" / f"{name}.mhd", classes(seed, 12))
    assert_read(tmp_path, "a", intensities(0, 12), classes(0, 12))


def test_each_slice_is_rescaled_by_its_own_slope_and_intercept(tmp_path: Path) -> None:
    stored = intensities(0)
    datasets = slices(stored, patient="a")
    slopes, intercepts = [1.0, 2.0, 0.5, 1.5, 3.0], [0.0, -1024.0, 10.0, 7.5, 100.0]
    for dataset, slope, intercept in zip(datasets, slopes, intercepts, strict=True):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    paths = save(tmp_path / "images" / "a", datasets)
    save_pngs(tmp_path / "masks" / "a", classes(0), [path.stem for path in paths])
    volume(tmp_path, "b", 1)
    values = stored * np.reshape(slopes, (5, 1, 1)) + np.reshape(intercepts, (5, 1, 1))
    assert_read(tmp_path, "a", values, classes(0))


def test_a_plane_is_refused_as_slices_stay_as_they_were_taken(tmp_path: Path) -> None:
    volume(tmp_path, "a", 0)
    with pytest.raises(InputError, match=r"data\.options\.plane: sagittal, but DICOM slices are read as they were taken"):
        read(config(tmp_path, {"plane": "sagittal"}))


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    stored, mask = volume(tmp_path, "a", 0, PhotometricInterpretation="MONOCHROME1")
    volume(tmp_path, "b", 1)
    images, masks = read_volume(tmp_path, "a")
    assert np.abs(images[..., 0].astype(int) - (255 - levels(stored))).max() <= 1
    assert images[..., 0].ravel()[stored.argmax()] == 0
    assert np.array_equal(masks, mask)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_lossless_transfer_syntaxes_change_nothing(tmp_path: Path, syntax: Any) -> None:
    stored, mask = intensities(0, 3, 64, 64), classes(0, 3, 64, 64)
    datasets = slices(stored, patient="a")
    for dataset in datasets:
        dataset.compress(syntax, generate_instance_uid=False)
        assert dataset.file_meta.TransferSyntaxUID == syntax
    paths = save(tmp_path / "images" / "a", datasets)
    save_pngs(tmp_path / "masks" / "a", mask, [path.stem for path in paths])
    volume(tmp_path, "b", 1)
    assert_read(tmp_path, "a", stored, mask)


def test_a_real_series_is_put_in_order(tmp_path: Path) -> None:
    series = Path(get_testdata_file("CT_small.dcm")).parent / "dicomdirtests" / "98892001" / "CT5N"
    datasets = sorted(map(pydicom.dcmread, series.iterdir()), key=lambda dataset: dataset.ImagePositionPatient[2])
    stored = np.stack([dataset.pixel_array for dataset in datasets])
    mask = (stored > np.median(stored)).astype(np.uint8)
    for name in ("a", "b"):
        copytree(series, tmp_path / "images" / name)
        save_pngs(tmp_path / "masks" / name, mask, [Path(str(dataset.filename)).name for dataset in datasets])
    images, masks = read_volume(tmp_path, "a", {"patient": ".*"})
    assert np.array_equal(images[..., 0], levels(stored))
    assert np.array_equal(masks, mask)


def test_patients_are_pydicoms_patient_ids(tmp_path: Path) -> None:
    for number, (name, patient) in enumerate((("before", "p1"), ("after", "p1"), ("other", "p2"))):
        paths = save(tmp_path / "images" / name, slices(intensities(number), patient=patient))
        save_pngs(tmp_path / "masks" / name, classes(number), [path.stem for path in paths])
    dataset = read(config(tmp_path))
    groups = {sample.id.split("/")[0]: sample.group for sample in dataset.samples}
    assert groups == {"before": "p1", "after": "p1", "other": "p2"}
    sides = {(sample.group, sample.split) for sample in dataset.samples}
    assert len(sides) == 2
    for path in (tmp_path / "images" / "other").iterdir():
        slice = pydicom.dcmread(path)
        slice.PatientID = "p1"
        slice.save_as(path)
    with pytest.raises(InputError, match=r"all 3 volumes have the PatientID 'p1', so nobody is left to validate"):
        read(config(tmp_path))
    assert {sample.group for sample in read(config(tmp_path, {"patient": ".*"})).samples} == {"before", "after", "other"}


def test_an_enhanced_file_has_its_geometry_and_scale_in_its_frames(tmp_path: Path) -> None:
    stored, mask = intensities(0), classes(0)
    legacy = slices(stored, OBLIQUE, "a", RescaleIntercept=-1024)
    for number, dataset in enumerate(legacy):
        dataset.RescaleSlope = number + 1
        dataset.InstanceNumber = [3, 1, 5, 2, 4][number]
    enhanced = hd.legacy.LegacyConvertedEnhancedCTImage(
        sorted(legacy, key=lambda dataset: dataset.InstanceNumber), generate_uid(), 1, generate_uid(), 1
    )
    (tmp_path / "images").mkdir()
    enhanced.save_as(tmp_path / "images" / "a.dcm")
    (tmp_path / "masks").mkdir()
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    along = [
        normal @ np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        for group in enhanced.PerFrameFunctionalGroupsSequence
    ]
    assert along != sorted(along)
    segmentation([enhanced], mask[np.argsort(np.argsort(along))]).save_as(tmp_path / "masks" / "a.dcm")
    datasets = slices(intensities(1), patient="b")
    save(tmp_path / "images" / "b", datasets)
    segmentation(datasets, classes(1)).save_as(tmp_path / "masks" / "b.dcm")
    assert read(config(tmp_path)).class_names == ("background", "gland", "lesion")
    assert_read(tmp_path, "a", stored * np.arange(1, 6).reshape(5, 1, 1) - 1024.0, mask)
    assert_read(tmp_path, "b", intensities(1), classes(1))


def test_segmentations_may_lie_among_the_slices_and_leave_out_empty_frames(tmp_path: Path) -> None:
    mask = classes(0)
    mask[[0, 3]] = 0
    for seed, name in enumerate(("a", "b")):
        datasets = slices(intensities(seed), OBLIQUE, name)
        save(tmp_path / name, datasets)
        written = segmentation(datasets, mask)
        assert written.NumberOfFrames == 6
        written.save_as(tmp_path / name / "segmentation.dcm")
    assert_read(tmp_path, "b", intensities(1), mask)


@pytest.mark.parametrize("turn", ["reversed", "flipped"])
def test_a_segmentation_without_references_goes_by_its_positions(tmp_path: Path, turn: str) -> None:
    mask = classes(0)
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    directions = np.array(OBLIQUE).reshape(2, 3)
    places = [ORIGIN + number * THICKNESS * normal for number in range(5)]
    if turn == "reversed":
        shown, orientation, places = mask[::-1], OBLIQUE, places[::-1]
    else:  # the rows from below, so that slices count the other way too
        shown, orientation = mask[:, ::-1], (*directions[0], *-directions[1])
        places = [place + 11 * SPACING[0] * directions[1] for place in places]
    for seed, name in enumerate(("a", "b")):
        datasets = slices(intensities(seed), OBLIQUE, name)
        save(tmp_path / "images" / name, datasets)
        (tmp_path / "masks").mkdir(exist_ok=True)
        written = segmentation(
            datasets,
            np.ascontiguousarray(shown),
            plane_positions=[
                hd.PlanePositionSequence(hd.CoordinateSystemNames.PATIENT, image_position=place.tolist()) for place in places
            ],
            plane_orientation=hd.PlaneOrientationSequence(hd.CoordinateSystemNames.PATIENT, image_orientation=orientation),
            pixel_measures=hd.PixelMeasuresSequence(pixel_spacing=SPACING, slice_thickness=THICKNESS),
        )
        for group in written.PerFrameFunctionalGroupsSequence:
            if "DerivationImageSequence" in group:
                del group.DerivationImageSequence
        written.save_as(tmp_path / "masks" / f"{name}.dcm")
    assert_read(tmp_path, "a", intensities(0), mask)


def test_segments_go_by_their_labels_whatever_their_numbers_and_files(tmp_path: Path) -> None:
    mask = classes(0)
    for name, labels in (("a", ("gland", "lesion")), ("b", ("lesion", "gland"))):
        datasets = slices(intensities(0), patient=name)
        save(tmp_path / "images" / name, datasets)
        (tmp_path / "masks").mkdir(exist_ok=True)
        segmentation(datasets, mask, labels).save_as(tmp_path / "masks" / f"{name}.dcm")
    datasets = slices(intensities(0), patient="c")
    save(tmp_path / "images" / "c", datasets)
    (tmp_path / "masks" / "c").mkdir()
    for number, label in enumerate(("gland", "lesion"), start=1):
        alone = segmentation(datasets, (mask == number).astype(np.uint8), [label])
        alone.save_as(tmp_path / "masks" / "c" / f"{label}.dcm")
    assert read(config(tmp_path)).class_names == ("background", "gland", "lesion")
    assert_read(tmp_path, "a", intensities(0), mask)
    assert_read(tmp_path, "b", intensities(0), np.array([0, 2, 1], np.uint8)[mask])
    assert_read(tmp_path, "c", intensities(0), mask)
    with pytest.raises(InputError, match=r"data\.classes: the segmentations do not agree on the numbers"):
        read(config(tmp_path, classes=["background", "one", "two"]))


@pytest.mark.parametrize("kind", ["FRACTIONAL", "LABELMAP"])
def test_fractional_segmentations_and_label_maps_are_read(tmp_path: Path, kind: str) -> None:
    mask = classes(0)
    for seed, name in enumerate(("a", "b")):
        datasets = slices(intensities(seed), patient=name)
        save(tmp_path / "images" / name, datasets)
        (tmp_path / "masks").mkdir(exist_ok=True)
        shares = np.stack([mask == 1, mask == 2], axis=-1) * 0.8 + 0.1
        written = segmentation(datasets, shares if kind == "FRACTIONAL" else mask, segmentation_type=kind)
        written.save_as(tmp_path / "masks" / f"{name}.dcm")
    assert_read(tmp_path, "a", intensities(0), mask)


def test_segments_that_overlap_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        datasets = slices(intensities(0), patient=name)
        save(tmp_path / "images" / name, datasets)
        (tmp_path / "masks").mkdir(exist_ok=True)
        both = np.ones((5, 12, 10, 2), np.uint8)
        segmentation(datasets, both).save_as(tmp_path / "masks" / f"{name}.dcm")
    with pytest.raises(InputError, match=r"a\.dcm: segment [12] overlaps another one in frame"):
        read_volume(tmp_path, "a")


def test_the_segmentation_of_another_volume_is_refused(tmp_path: Path) -> None:
    datasets = slices(intensities(0), patient="a")
    save(tmp_path / "images" / "a", datasets)
    volume(tmp_path, "b", 1)
    save(tmp_path / "images" / "b", slices(intensities(0), patient="b"))
    far = slices(intensities(0), patient="c")
    for dataset in far:
        dataset.ImagePositionPatient = [0.0, 0.0, dataset.ImagePositionPatient[2] + 500.0]
    for path in (tmp_path / "masks" / "b").iterdir():
        path.unlink()
    segmentation(far, classes(0)).save_as(tmp_path / "masks" / "a.dcm")
    segmentation(far, classes(0)).save_as(tmp_path / "masks" / "b" / "b.dcm")
    with pytest.raises(InputError, match=r"a\.dcm: frame 1 lies 5\d\d mm from the nearest slice of a"):
        read_volume(tmp_path, "a")


def test_a_frame_beside_its_slice_is_refused_or_taken_for_it_if_labels_may_be_resampled(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        datasets = slices(intensities(seed), OBLIQUE, name)
        save(tmp_path / "images" / name, datasets)
        (tmp_path / "masks").mkdir(exist_ok=True)
        written = segmentation(datasets, classes(seed))
        for group in written.PerFrameFunctionalGroupsSequence:
            place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
            number = round(float((place - ORIGIN) @ np.cross(OBLIQUE[:3], OBLIQUE[3:])) / THICKNESS)
            moved = ORIGIN + (number * THICKNESS + 0.7) * np.cross(OBLIQUE[:3], OBLIQUE[3:])
            group.PlanePositionSequence[0].ImagePositionPatient = moved.round(6).tolist()
            del group.DerivationImageSequence
        written.save_as(tmp_path / "masks" / f"{name}.dcm")
    with pytest.raises(InputError, match=r"a\.dcm: frame 1 is .* but the slice 00\d\.dcm is "):
        read_volume(tmp_path, "a")
    assert np.array_equal(read_volume(tmp_path, "a", {"resample_labels": True})[1], classes(0))


@pytest.mark.parametrize("suffix", [".nii.gz", ".mhd"])
def test_a_label_volume_finds_its_slices_in_whichever_order_it_is_stored(tmp_path: Path, suffix: str) -> None:
    for seed, name in enumerate(("a", "b")):
        save(tmp_path / "images" / name, slices(intensities(seed), patient=name))
        path = tmp_path / "masks" / f"{name}{suffix}"
        if suffix == ".mhd":  # from the last slice to the first
            direction = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
            top = (*ORIGIN[:2], ORIGIN[2] + 4 * THICKNESS)
            write_mhd(path, classes(seed)[::-1], (1.0, 1.0, THICKNESS), direction, top)
        else:
            affine = np.diag([-1.0, -1.0, THICKNESS, 1.0])
            affine[:3, 3] = ORIGIN * (-1.0, -1.0, 1.0)
            write_nifti(path, classes(seed), affine, to="RAS")
    assert_read(tmp_path, "a", intensities(0), classes(0))
    assert_read(tmp_path, "b", intensities(1), classes(1))


def test_a_label_volume_on_another_grid_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a", slices(intensities(0), patient="a"))
    write_nifti(tmp_path / "masks" / "a.nii.gz", classes(0), LPS + np.eye(4, k=3))
    with pytest.raises(InputError, match=r"a\.nii\.gz: its grid is .* affine .*but that of its image a is .* affine"):
        read(config(tmp_path))


def test_a_missing_slice_is_refused_where_the_labels_are_a_volume(tmp_path: Path) -> None:
    datasets = slices(intensities(0), patient="a")
    save(tmp_path / "images" / "a", datasets[:2] + datasets[3:])
    write_nifti(tmp_path / "masks" / "a.nii.gz", classes(0))
    with pytest.raises(InputError, match=r"\.dcm: its slice lies 1 mm from where it would be .* is a slice missing\?"):
        read(config(tmp_path))


def ultrasound(root: Path, file: str, names: Sequence[str], frames: int) -> dict[str, Array]:
    """Copies of one of pydicom's files, each a volume, with a PNG mask for each frame; by name, the masks."""
    header = pydicom.dcmread(get_testdata_file(file), stop_before_pixels=True)
    written = {}
    for name in names:
        folder = root / "images" if frames > 1 else root / "images" / name
        folder.mkdir(parents=True, exist_ok=True)
        copy(get_testdata_file(file), folder / f"{name}.dcm")
        rows = rng.integers(0, 2, (frames, header.Rows, 1), dtype=np.uint8)
        written[name] = rows.repeat(header.Columns, axis=2)
        numbers = [f"{name}_frame{number}" if frames > 1 else name for number in range(1, frames + 1)]  # 10 after 9
        save_pngs(root / "masks" / name, written[name], numbers)
    return written


@pytest.mark.parametrize(
    ("file", "frames"),
    [
        ("examples_ybr_color.dcm", 30),  # ultrasound, JPEG baseline, YBR_FULL_422
        ("examples_rgb_color.dcm", 1),  # ultrasound
        ("examples_jpeg2k.dcm", 1),  # ultrasound, JPEG 2000, YBR_RCT
        ("SC_rgb_rle_2frame.dcm", 2),
        ("SC_rgb_jpeg_gdcm.dcm", 1),  # JPEG lossless
        ("SC_rgb_jls_lossy_line.dcm", 1),  # JPEG-LS
    ],
)
def test_colour_frames_are_what_pydicom_decodes(tmp_path: Path, file: str, frames: int) -> None:
    masks = ultrasound(tmp_path, file, ["a", "b"], frames)
    dataset = read(config(tmp_path, {"patient": ".*"}))
    assert (dataset.channels, len(dataset.samples)) == (3, 2 * frames)
    decoded = pydicom.dcmread(get_testdata_file(file)).pixel_array
    images, read_masks = loaded(dataset, "b")
    assert np.array_equal(images, decoded.reshape(frames, *decoded.shape[-3:]))
    assert np.array_equal(read_masks, masks["b"])


def test_what_decodes_jpeg_is_named_with_the_command_that_installs_it_where_it_is_missing(tmp_path: Path) -> None:
    ultrasound(tmp_path, "SC_rgb_jpeg_gdcm.dcm", ["a", "b"], 1)
    said = said_without("pylibjpeg", tmp_path, options={"patient": ".*"})
    assert said.startswith("data.format dicom needs the package pylibjpeg, which cannot be imported (No module named")
    assert f'-m pip install "{CHECKOUT}[volumes]"' in said


def test_what_reads_the_masks_is_named_once_where_it_is_missing(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        save(tmp_path / "images" / name, slices(intensities(seed), patient=name))
        write_nifti(tmp_path / "masks" / f"{name}.nii.gz", classes(seed))
    said = said_without("nibabel", tmp_path)
    assert said.count("data.format nifti needs the package nibabel, which cannot be imported (No module named") == 1
    assert f'-m pip install "{CHECKOUT}[volumes]"' in said


def test_a_palette_becomes_the_colours_that_it_names(tmp_path: Path) -> None:
    ultrasound(tmp_path, "examples_palette.dcm", ["a", "b"], 1)
    dataset = pydicom.dcmread(get_testdata_file("examples_palette.dcm"))
    table = [
        np.frombuffer(dataset[f"{colour}PaletteColorLookupTableData"].value, "<u2") for colour in ("Red", "Green", "Blue")
    ]
    images, _ = read_volume(tmp_path, "a", {"patient": ".*"})
    assert np.array_equal(images[0], np.stack([channel[dataset.pixel_array] >> 8 for channel in table], axis=-1))


@pytest.mark.parametrize(
    "file",
    [
        "JPEG2000.dcm",
        "JPGExtended.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_bigendian.dcm",
        "693_J2KI.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "rtdose_rle.dcm",
    ],
)
def test_grey_pixels_are_what_pydicom_decodes(tmp_path: Path, file: str) -> None:
    dataset = pydicom.dcmread(get_testdata_file(file))
    decoded = dataset.pixel_array
    frames = int(dataset.get("NumberOfFrames") or 1)
    ultrasound(tmp_path, file, ["a", "b"], frames)
    images, _ = read_volume(tmp_path, "a", {"patient": ".*", **WHOLE, "bits": 16})
    values = decoded.reshape(frames, *decoded.shape[-2:]) * float(dataset.get("RescaleSlope", 1))
    assert np.abs(images[..., 0] - levels(values, 0.0, 100.0, 65535)).max() <= 1  # of 65535: stored as float32


def test_a_volume_that_does_not_say_where_it_lies_takes_labels_of_its_shape(tmp_path: Path) -> None:
    masks = ultrasound(tmp_path, "examples_ybr_color.dcm", ["a", "b"], 30)
    for name, mask in masks.items():
        for path in (tmp_path / "masks" / name).iterdir():
            path.unlink()
        (tmp_path / "masks" / name).rmdir()
        write_mhd(tmp_path / "masks" / f"{name}.mha", mask, compressed=True)
    _, read_masks = read_volume(tmp_path, "b", {"patient": ".*"})
    assert np.array_equal(read_masks, masks["b"])
    write_mhd(tmp_path / "masks" / "b.mha", masks["b"][:29])
    with pytest.raises(InputError, match=r"b\.mha: 320 x 240 x 29 voxels, but b\.dcm has 320 x 240 x 30 and does not say"):
        read(config(tmp_path, {"patient": ".*"}))


def test_the_same_volume_is_the_same_slices_in_every_format(tmp_path: Path) -> None:
    affine = np.diag([-1.0, -1.0, THICKNESS, 1.0])
    affine[:3, 3] = ORIGIN * (-1.0, -1.0, 1.0)
    for seed, name in enumerate(("a", "b")):
        image, mask = intensities(seed), classes(seed)
        volume(tmp_path / "dicom", name, seed)
        for path, array in ((f"{name}.mhd", image), (f"{name}_segmentation.mhd", mask)):
            write_mhd(tmp_path / "mhd" / path, array, (1.0, 1.0, THICKNESS), origin=tuple(ORIGIN))
        write_nifti(tmp_path / "nifti" / f"{name}.nii.gz", image, affine, "RAS")
        write_nifti(tmp_path / "nifti" / f"{name}_seg.nii.gz", mask, affine, "RAS")
    for format in ("dicom", "mhd", "nifti"):
        assert_read(tmp_path / format, "b", intensities(1), classes(1))


def test_refusals_name_what_is_wrong_with_each_volume(tmp_path: Path) -> None:
    for name in ("fewer", "gone", "larger", "patients", "series", "twice", "tilted", "unmasked", "unplaced"):
        volume(tmp_path, name, 0)
    images = tmp_path / "images"
    (tmp_path / "masks" / "fewer" / "000.png").unlink()
    slices(intensities(1, 1, 16, 10), patient="larger")[0].save_as(images / "larger" / "x.dcm")
    (images / "gone" / "004.dcm").unlink()
    (images / "gone" / "004.dcm").symlink_to(tmp_path / "nowhere.dcm")
    dataset = pydicom.dcmread(images / "patients" / "003.dcm")
    dataset.PatientID = "somebody else"
    dataset.save_as(images / "patients" / "003.dcm")
    datasets = slices(intensities(1), patient="series", SeriesDescription="ADC")
    save(images / "series" / "other", datasets)
    for number, path in enumerate(sorted((images / "twice").iterdir())[:2]):
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient = [0, 0, 7]
        dataset.save_as(images / "twice" / f"{number}.dcm")
    dataset = pydicom.dcmread(images / "unplaced" / "002.dcm")
    del dataset.ImagePositionPatient
    dataset.save_as(images / "unplaced" / "002.dcm")
    path = images / "tilted" / "001.dcm"
    dataset = pydicom.dcmread(path)
    dataset.ImageOrientationPatient = list(OBLIQUE)
    dataset.save_as(path)
    for path in (tmp_path / "masks" / "unmasked").iterdir():
        path.unlink()
    (tmp_path / "masks" / "unmasked").rmdir()
    with pytest.raises(InputError) as error:
        read(config(tmp_path))
    text = str(error.value)
    assert "the volumes cannot be used (9 problems):" in text
    for part in (
        "masks/fewer: 4 masks for 5 slices; no mask is called 000.png",
        "images/gone/004.dcm: a link to a file that is not there",
        "images/larger: 2 series in one folder",
        "images/patients: 2 patients in one folder: 'patients' (4 files, 000.dcm first), 'somebody else' (1 files, 003.dcm",
        "images/series: 2 series in one folder: '",
        "'ADC' (5 files, other/000.dcm first); give each a folder of its own",
        "images/twice: two slices at one place: ",
        "images/tilted: slices of several directions (ImageOrientationPatient 1\\0\\0\\0\\1\\0",
        "images/unmasked: a volume without a mask; looked for",
        "images/unplaced/002.dcm: no ImagePositionPatient, but 4 slices of unplaced have one",
    ):
        assert part in text


def test_a_volume_that_is_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    volume(tmp_path, "a", 0)
    volume(tmp_path, "b", 1)
    (tmp_path / "images" / "c").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"images/c: a link to a file that is not there"):
        read(config(tmp_path))


def test_a_mask_without_a_volume_is_refused(tmp_path: Path) -> None:
    volume(tmp_path, "a", 0)
    save_pngs(tmp_path / "masks" / "z", classes(0)[:1], ["0"])
    with pytest.raises(InputError, match=r"masks without a volume .*\n +.*masks/z"):
        read(config(tmp_path))


def test_slices_of_several_sizes_in_one_series_are_refused(tmp_path: Path) -> None:
    volume(tmp_path, "a", 0)
    path = tmp_path / "images" / "a" / "001.dcm"
    dataset = pydicom.dcmread(path)
    dataset.Rows, dataset.PixelData = 10, dataset.PixelData[:200]
    dataset.save_as(path)
    with pytest.raises(InputError, match=r"a: slices that differ in one folder: 10 x 12 pixels MONOCHROME2 \(4 files, "):
        read(config(tmp_path))


def test_masks_of_another_size_than_their_slices_are_refused(tmp_path: Path) -> None:
    volume(tmp_path, "a", 0)
    volume(tmp_path, "b", 0)
    pillow.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "masks" / "a" / "002.png")
    with pytest.raises(InputError, match=r"a/002\.png: 8 x 8 pixels, but the slices of a are 10 x 12"):
        read_volume(tmp_path, "a")


def test_slices_side_by_side_where_volumes_are_expected_are_refused(tmp_path: Path) -> None:
    paths = save(tmp_path / "images", slices(intensities(0)))
    for path in paths:
        save_pngs(tmp_path / "masks" / path.stem, classes(0)[:1], [path.stem])
    with pytest.raises(InputError, match="several files of one series where each file is a volume"):
        read(config(tmp_path))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    volume(tmp_path, "a", 0)
    volume(tmp_path, "b", 0)
    path = tmp_path / "images" / "a" / "002.dcm"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 100])
    with pytest.raises(InputError, match=r"a/002\.dcm: (its pixels cannot be decoded|cannot be read as DICOM)"):
        read_volume(tmp_path, "a")
    path.write_bytes(b"nothing of the kind" * 20)
    with pytest.raises(InputError, match=r"a/002\.dcm: no DICOM file"):
        read(config(tmp_path))


def test_other_files_among_the_slices_are_passed_over(tmp_path: Path) -> None:
    stored, mask = volume(tmp_path, "a", 0)
    volume(tmp_path, "b", 1)
    (tmp_path / "images" / "a" / "LICENSE").write_text("no slice")
    (tmp_path / "images" / "a" / ".DS_Store").write_bytes(b"\0")
    copy(get_testdata_file("rtplan.dcm"), tmp_path / "images" / "a" / "plan.dcm")
    assert_read(tmp_path, "a", stored, mask)
