"""What every whole spec has, of networks or of training functions: it is read and written."""

from typing import Self

from pydantic import ValidationError

from transfer.spec.errors import SpecError, spec_error, with_lines
from transfer.spec.fields import Section
from transfer.spec.yaml import parse_yaml, write_yaml


class WholeSpec(Section):
    """A spec that is read from a mapping or from YAML, and written as either."""

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Return what a mapping with the keys of the YAML describes.

        Raises:
            SpecError: one sentence per problem.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise spec_error(error, cls) from None

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Return what YAML `text` describes.

        Raises:
            SpecError: one sentence per problem, with its line.
        """
        document = parse_yaml(text)
        try:
            return cls.from_dict(document.value)
        except SpecError as error:
            raise with_lines(error, document.lines) from None

    def to_dict(self) -> dict[str, object]:
        """Return what `from_dict` reads as this spec: mappings, lists, numbers, strings."""
        return self.model_dump(mode="json", exclude_none=True)

    def recorded(self) -> dict[str, object]:
        """Return what the ledger records."""
        return self.to_dict()

    def to_yaml(self) -> str:
        """Return what `from_yaml` reads as this spec.

        Raises:
            SpecError: it cannot be written.
        """
        return write_yaml(self.to_dict())
