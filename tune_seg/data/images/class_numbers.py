"""The numbers in a mask as class numbers, whatever type they are stored as."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tune_seg.errors import InputError

Raw = npt.NDArray[np.uint8 | np.uint16 | np.int32]
"""The values of a mask before they are translated to class indices, (H, W); negative ones are ignored."""

_ROUNDING: Final = 1e-3
"""How far a class number may be from a whole one because of the file's scale: SPM writes 0 and 255 scaled by 1/255."""


def class_numbers(values: npt.NDArray[Any], path: Path) -> Raw:
    """The numbers of a mask as uint8, as uint16 where they need it, or as int32 if some are negative; nan is -1.

    Args:
        values: of any shape, boolean, whole or floating-point.
        path: of the file, for messages.

    Raises:
        InputError: they are no class numbers.
    """
    if values.dtype.kind == "f":
        values = np.where(values > -0.5, values, -1)  # nan, as negative numbers, says that nothing is known
    high = values.max()
    if high >= 2**16:
        raise InputError(f"{path}: values up to {high:g}; a mask holds class numbers, 0 to 65535")
    if values.dtype.kind == "f":
        rounded = np.rint(values)
        apart = np.abs(values - rounded) > _ROUNDING
        if apart.any():
            raise InputError(
                f"{path}: the value {values[apart][0]:g} is not a class number; a mask holds whole numbers, so resample it "
                "to the nearest label"
            )
        values = rounded
    low = values.min()
    if low < 0 and values.dtype == np.int8:  # where 255 is -1: of black and white masks nothing would be left
        raise InputError(
            f"{path}: values from {low} to {high} of signed 8 bits, in which 128 to 255 turn negative; store it as unsigned "
            "numbers, or in 16 bits if negative ones are to be ignored"
        )
    if low < 0:
        return np.maximum(values, -1).astype(np.int32)
    return values.astype(np.uint8 if high < 2**8 else np.uint16)
