"""What `loss.class_weights` may hold: a kind of weights that are taken from the data, or a number for each class."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tune_seg.config.base import NonNegative
from tune_seg.errors import InputError, did_you_mean


def _texts(value: Any) -> Any:
    return {str(name): weight for name, weight in value.items()} if isinstance(value, Mapping) else value


ClassWeightKind = Literal["mean", "sum", "sqrt", "median", "effective"]
GivenClassWeights = Annotated[
    dict[Annotated[str, Field(description="class")], NonNegative],
    Field(min_length=1),
    BeforeValidator(_texts),  # YAML has the number of a class as a number
]


def in_class_order(given: Mapping[str, float], class_names: Sequence[str]) -> tuple[float, ...]:
    """The weights of all classes, in their order.

    Args:
        given: the weight of each class, by its name or by its number from 0.
        class_names: by class index.

    Raises:
        InputError: a class is unknown, has two weights or none.

    Example:
        >>> in_class_order({"crack": 20.0, "0": 1.0}, ["road", "crack"])
        (1.0, 20.0)
    """
    allowed = _allowed(class_names)
    numbers = {str(number): number for number in range(len(class_names))}
    numbers |= {name: number for number, name in enumerate(class_names)}  # the name counts where it is a number itself
    found: dict[int, float] = {}
    for name, weight in given.items():
        if name not in numbers:
            raise InputError(f"loss.class_weights: no class {name}{did_you_mean(name, class_names)}; {allowed}")
        if numbers[name] in found:
            raise InputError(
                f"loss.class_weights: two weights for {class_names[numbers[name]]}, by name and number; {allowed}"
            )
        found[numbers[name]] = weight
    if lacking := [name for number, name in enumerate(class_names) if number not in found]:
        raise InputError(f"loss.class_weights: no weight for {', '.join(lacking)}, and each class needs one; {allowed}")
    return tuple(found[number] for number in range(len(class_names)))


def _allowed(class_names: Sequence[str]) -> str:
    return f"the classes are {', '.join(f'{number}: {name}' for number, name in enumerate(class_names))}"
