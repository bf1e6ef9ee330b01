"""DICOM as archives and clinics give it out: RT structure sets, overlapping segments, trees, files without a header."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image as pillow
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from tests.support.dicom_files import AXIAL, OBLIQUE, ORIGIN, THICKNESS, save, save_pngs, segmentation, slices, volume
from tests.support.volume_files import Array, classes, config, intensities, levels, loaded, read_volume, write_nifti
from tune_seg.data import read
from tune_seg.data.formats.dicom.structures import filled
from tune_seg.errors import InputError

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"

column, row = np.meshgrid(np.arange(10), np.arange(12))


def circle(x: float, y: float, radius: float) -> Array:
    """The corners of a polygon that no pixel's centre lies between and the circle around (x, y)."""
    angles = np.linspace(0.0, 2.0 * np.pi, 2000, endpoint=False)
    return np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])


def structure_set(
    sources: Sequence[Any],
    regions: Mapping[str, Sequence[tuple[int, Array]]],
    orientation: Sequence[float] = AXIAL,
    referred: bool = True,
    kind: str = "CLOSED_PLANAR",
) -> Any:
    """The polygons of each region, with the number of their slice; corners are columns and rows of pixels of 1 mm."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, UID(RTSTRUCT)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = RTSTRUCT, meta.MediaStorageSOPInstanceUID, "RTSTRUCT"
    dataset.SeriesInstanceUID, dataset.PatientID = generate_uid(), sources[0].PatientID
    series = Dataset()
    series.SeriesInstanceUID = sources[0].SeriesInstanceUID
    study, frame = Dataset(), Dataset()
    study.RTReferencedSeriesSequence, frame.RTReferencedStudySequence = [series], [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    directions = np.array(orientation).reshape(2, 3)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, polygons) in enumerate(regions.items(), start=7):
        named, item = Dataset(), Dataset()
        named.ROINumber, named.ROIName, item.ReferencedROINumber = number, name, number
        item.ContourSequence = []
        for slice, corners in polygons:
            contour, image = Dataset(), Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(corners)
            place = ORIGIN + slice * THICKNESS * np.cross(*directions)
            contour.ContourData = (place + corners @ directions).round(6).ravel().tolist()
            image.ReferencedSOPInstanceUID = sources[slice].SOPInstanceUID
            if referred:
                contour.ContourImageSequence = [image]
            item.ContourSequence.append(contour)
        dataset.StructureSetROISequence.append(named)
        dataset.ROIContourSequence.append(item)
    return dataset


@pytest.mark.parametrize("referred", [True, False])
@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
def test_the_contours_of_a_structure_set_are_filled_on_their_slices(
    tmp_path: Path, orientation: Any, referred: bool
) -> None:
    triangle = np.array([[0.5, 0.5], [8.5, 0.5], [0.5, 8.5]])
    regions = {
        "ring": [(1, circle(4.2, 5.3, 4.1)), (1, circle(4.2, 5.3, 1.7))],
        "wedge": [(3, triangle)],
    }
    for seed, name in enumerate("ab"):
        datasets = slices(intensities(seed), orientation, name)
        save(tmp_path / "images" / name, datasets)
        (tmp_path / "masks").mkdir(exist_ok=True)
        structure_set(datasets, regions, orientation, referred).save_as(
            tmp_path / f"masks/{name}.dcm", enforce_file_format=True
        )
    dataset = read(config(tmp_path))
    assert dataset.class_names == ("background", "ring", "wedge")
    images, masks = loaded(dataset, "a")
    assert np.array_equal(images[..., 0], levels(intensities(0)))
    away = np.hypot(column - 4.2, row - 5.3)
    expected = np.zeros((5, 12, 10), np.uint8)
    expected[1][(away < 4.1) & (away > 1.7)] = 1
    expected[3][(column > 0.5) & (row > 0.5) & (column + row < 9.0)] = 2
    assert np.array_equal(masks, expected)


def test_polygons_with_a_common_edge_share_no_pixel_and_leave_none_out() -> None:
    corners = np.array([[0.0, 0.0], [5.0, 0.0], [5.0, 7.0], [0.0, 7.0]])
    left, right = filled([corners], 9, 10), filled([np.add(corners, [5.0, 0.0])], 9, 10)
    assert not (left & right).any()
    assert np.array_equal(left | right, (row[:9] < 7) & (column[:9] < 10))
    beyond = filled([corners * 10.0 - 20.0], 9, 10)
    assert beyond.all()


def test_regions_that_overlap_are_read_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    regions = {"body": [(2, circle(4.5, 5.5, 5.2))], "tumour": [(2, circle(4.5, 5.5, 2.2))], "notes": []}
    for seed, name in enumerate("ab"):
        datasets = slices(intensities(seed), patient=name)
        save(tmp_path / name, datasets)
        structure_set(datasets, regions).save_as(tmp_path / name / "rt.dcm", enforce_file_format=True)
    away = np.hypot(column - 4.5, row - 5.5)
    with pytest.raises(InputError, match=r"rt\.dcm: 'tumour' overlaps .* in slice 3.*segments=\[body, tumour\]'"):
        read_volume(tmp_path, "a")
    dataset = read(config(tmp_path, {"segments": ["body", "tumour"]}))
    assert dataset.class_names == ("background", "body", "tumour")
    assert np.array_equal(loaded(dataset, "a")[1][2], (away < 5.2).astype(int) + (away < 2.2))
    assert np.array_equal(read_volume(tmp_path, "a", {"segments": ["tumour", "body"]})[1][2], 2 * (away < 5.2))
    dataset = read(config(tmp_path, {"segments": ["tumour"]}))
    assert np.array_equal(loaded(dataset, "b")[1][2], away < 2.2)
    assert "Segments left out, as data.options.segments does not name them: body" in dataset.notes
    with pytest.raises(InputError, match=r"no segment is called 'Tumour'; there are 'body', 'tumour'"):
        read(config(tmp_path, {"segments": ["Tumour"]}))


def test_segments_of_a_segmentation_overlap_in_a_stated_order(tmp_path: Path) -> None:
    both = np.stack([classes(0) > 0, classes(0) == 2], axis=-1).astype(np.uint8)
    for name in "ab":
        datasets = slices(intensities(0), patient=name)
        save(tmp_path / name, datasets)
        segmentation(datasets, both).save_as(tmp_path / name / "seg.dcm")
    with pytest.raises(InputError, match=r"seg\.dcm: segment 2 overlaps .* 'data\.options\.segments=\[gland, lesion\]'"):
        read_volume(tmp_path, "a")
    assert np.array_equal(read_volume(tmp_path, "a", {"segments": ["gland", "lesion"]})[1], classes(0))
    assert np.array_equal(read_volume(tmp_path, "a", {"segments": ["lesion", "gland"]})[1], 2 * (classes(0) > 0))


def test_contours_of_another_series_are_refused(tmp_path: Path) -> None:
    datasets = slices(intensities(0), patient="a")
    save(tmp_path / "a", datasets[:3])
    written = structure_set(datasets, {"tumour": [(4, circle(4.5, 5.5, 2.2))]})
    written.save_as(tmp_path / "a" / "rt.dcm", enforce_file_format=True)
    save(tmp_path / "b", datasets)
    structure_set(datasets, {"tumour": [(4, circle(4.5, 5.5, 2.2))]}).save_as(
        tmp_path / "b/rt.dcm", enforce_file_format=True
    )
    with pytest.raises(InputError, match=r"a/rt\.dcm: a contour of 'tumour' lies 6 mm from the nearest slice of a"):
        read_volume(tmp_path, "a", {"patient": ".*"})


def test_a_tree_of_series_has_a_volume_for_each_that_has_a_mask(tmp_path: Path) -> None:
    for seed, patient in enumerate(("P1", "P2")):
        study = tmp_path / "set" / patient / "study"
        ct, other = slices(intensities(seed), patient=patient), slices(intensities(9), patient=patient)
        save(study / "ct", ct)
        save(study / "scout", other)
        (study / "seg").mkdir()
        segmentation(ct, classes(seed)).save_as(study / "seg" / "1.dcm")
    (tmp_path / "LICENSE").write_text("none")
    dataset = read(config(tmp_path))
    assert {sample.group for sample in dataset.samples} == {"P1", "P2"}
    images, masks = loaded(dataset, "set_P2_study_ct")
    assert np.array_equal(images[..., 0], levels(intensities(1)))
    assert np.array_equal(masks, classes(1))
    assert "Series without a mask, which are left out: set/P1/study/scout, set/P2/study/scout" in dataset.notes


def test_masks_beside_a_tree_lie_where_their_series_does(tmp_path: Path) -> None:
    affine = np.diag([-1.0, -1.0, THICKNESS, 1.0])
    affine[:3, 3] = ORIGIN * (-1.0, -1.0, 1.0)
    for seed, patient in enumerate(("P1", "P2")):
        for series in ("t1", "t2"):
            save(tmp_path / "images" / patient / series, slices(intensities(seed), patient=patient))
        write_nifti(tmp_path / "masks" / patient / "t2.nii.gz", classes(seed), affine)
    dataset = read(config(tmp_path))
    assert {sample.id.partition("/")[0] for sample in dataset.samples} == {"P1_t2", "P2_t2"}
    assert np.array_equal(loaded(dataset, "P1_t2")[1], classes(0))


def test_a_tree_without_any_mask_is_refused_by_name(tmp_path: Path) -> None:
    for series in ("t1", "t2"):
        save(tmp_path / "P1" / series, slices(intensities(0)))
    with pytest.raises(InputError, match=r"P1: 2 series without a mask; looked for RT structure sets"):
        read(config(tmp_path))


def test_one_file_has_one_png(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for seed, name in enumerate("ab"):
        dataset = slices(intensities(seed)[:1], patient=name)[0]
        dataset.SeriesInstanceUID = ""
        dataset.save_as(tmp_path / "images" / f"{name}.dcm")
        save_pngs(tmp_path / "masks", classes(seed)[:1], [name])
    images, masks = read_volume(tmp_path, "b")
    assert np.array_equal(images[..., 0], levels(intensities(1)[:1]))
    assert np.array_equal(masks, classes(1)[:1])


def test_one_png_for_several_slices_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a", slices(intensities(0)))
    (tmp_path / "masks").mkdir()
    pillow.fromarray(classes(0)[0]).save(tmp_path / "masks" / "a.png")
    with pytest.raises(InputError, match=r"a\.png: one PNG for the 5 slices of a; put one for each slice into a folder"):
        read(config(tmp_path))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_files_without_preamble_and_transfer_syntax_are_read(tmp_path: Path, syntax: Any) -> None:
    stored, mask = volume(tmp_path, "a", 0)
    volume(tmp_path, "b", 1)
    implicit = syntax == ImplicitVRLittleEndian
    for path in (tmp_path / "images" / "a").iterdir():
        slice = pydicom.dcmread(path)
        slice.preamble = None
        del slice.file_meta
        pydicom.dcmwrite(path, slice, implicit_vr=implicit, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    dataset = read(config(tmp_path))
    images, masks = loaded(dataset, "a")
    assert np.array_equal(images[..., 0], levels(stored))
    assert np.array_equal(masks, mask)
    said = "DICOM files that do not state their transfer syntax, whose pixels were taken for uncompressed: a"
    assert said in dataset.notes


def test_compressed_pixels_of_an_unstated_syntax_are_refused(tmp_path: Path) -> None:
    volume(tmp_path, "a", 0)
    volume(tmp_path, "b", 1)
    for path in (tmp_path / "images" / "a").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        del dataset.file_meta
        pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=True)
    with pytest.raises(InputError, match=r"its pixels are compressed, but it does not state its transfer syntax; export"):
        read_volume(tmp_path, "a")
