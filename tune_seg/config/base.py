"""What every section is derived from, and the types of numbers that sections share."""

import ast
import inspect
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError


def _no_switch(value: Any) -> Any:
    if isinstance(value, bool):  # pydantic would take true for 1
        raise PydanticCustomError("switch", "true and false are no numbers")
    return value


Integer = Annotated[int, BeforeValidator(_no_switch)]
Number = Annotated[float, BeforeValidator(_no_switch)]
Positive = Annotated[Integer, Field(ge=1)]
Seed = Annotated[Integer, Field(ge=0, lt=2**31)]
Fraction = Annotated[Number, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[Number, Field(ge=0.0)]
AboveZero = Annotated[Number, Field(gt=0.0)]
Size = tuple[Annotated[int, Field(ge=8, description="height")], Annotated[int, Field(ge=8, description="width")]]
"""Height and width in pixels. The descriptions of entries are the words for them in messages and in docs/."""


class Section(BaseModel):
    """A section of the configuration: immutable, without unknown keys, infinities and nan.

    The text under each field is what docs/configuration.md and the JSON schema say of its key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name, text in field_docs(cls).items():
            properties[name]["description"] = text
        return schema


def field_docs(section: type[Section]) -> dict[str, str]:
    """The text under each field of `section` that has one, on one line.

    Pydantic's `use_attribute_docstrings` finds the same texts when a class is made; reading the sources then would double
    the time that it takes to import the configuration.
    """
    texts: dict[str, str] = {}
    for cls in reversed(section.__mro__):
        if issubclass(cls, Section) and cls is not Section:
            (tree,) = ast.parse(inspect.getsource(cls)).body
            assert isinstance(tree, ast.ClassDef)
            for field, below in pairwise(tree.body):
                match field, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        texts[name] = " ".join(text.split())
    return texts
