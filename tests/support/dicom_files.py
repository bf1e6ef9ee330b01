"""DICOM volumes that the tests write with pydicom and highdicom."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from PIL import Image as pillow
from pydicom import data as pydicom_data
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from tests.support.volume_files import Array, classes, intensities

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.48, 0.64, 0.6)
ORIGIN = np.array([-20.0, -30.0, -40.0])
SPACING = (1.0, 1.0)
THICKNESS = 3.0


def get_testdata_file(name: str) -> str:
    """One of the files that pydicom's package holds."""
    return str(pydicom_data.get_testdata_file(name, download=False))


def slices(stored: Array, orientation: Sequence[float] = AXIAL, patient: str = "p", **attributes: Any) -> list[Any]:
    """CT slices of `stored` int16 (S, H, W), in the order of their positions; InstanceNumber counts the other way."""
    series, frame_of_reference = generate_uid(), generate_uid()
    normal = np.cross(orientation[:3], orientation[3:])
    datasets = []
    for number, plane in enumerate(stored):
        dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = series, frame_of_reference
        dataset.PatientID = patient
        dataset.InstanceNumber = len(stored) - number
        dataset.Rows, dataset.Columns = plane.shape
        dataset.PixelData = plane.astype("<i2").tobytes()
        dataset.ImageOrientationPatient = list(orientation)
        dataset.ImagePositionPatient = [round(value, 6) for value in ORIGIN + number * THICKNESS * normal]
        dataset.PixelSpacing = list(SPACING)
        dataset.SliceThickness = THICKNESS
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        del dataset.PixelPaddingValue, dataset.DataSetTrailingPadding
        for name, value in attributes.items():
            setattr(dataset, name, value)
        datasets.append(dataset)
    return datasets


def save(folder: Path, datasets: Sequence[Any]) -> list[Path]:
    """Write slices under names whose order says nothing about their places."""
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(len(datasets)).permutation(len(datasets))
    paths = [folder / f"{name:03d}.dcm" for name in names]
    for path, dataset in zip(paths, datasets, strict=True):
        dataset.save_as(path)
    return paths


def save_pngs(folder: Path, mask: Array, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, plane in zip(names, mask, strict=True):
        pillow.fromarray(plane).save(folder / f"{name}.png")


def volume(root: Path, name: str, seed: int, **attributes: Any) -> tuple[Array, Array]:
    """A series with a PNG mask for each slice."""
    stored, mask = intensities(seed), classes(seed)
    paths = save(root / "images" / name, slices(stored, patient=name, **attributes))
    save_pngs(root / "masks" / name, mask, [path.stem for path in paths])
    return stored, mask


def segmentation(sources: Sequence[Any], mask: Array, labels: Sequence[str] = ("gland", "lesion"), **more: Any) -> Any:
    """highdicom's segmentation of `mask` (S, H, W), whose values are 1 for the first label, and so on."""
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(labels, start=1)
    ]
    return hd.seg.Segmentation(
        source_images=sources,
        pixel_array=mask,
        segmentation_type=more.pop("segmentation_type", hd.seg.SegmentationTypeValues.BINARY),
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="nobody",
        manufacturer_model_name="none",
        software_versions="1",
        device_serial_number="1",
        **more,
    )
