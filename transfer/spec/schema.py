"""The JSON Schema of an experiment: types, bounds, names and descriptions of all keys."""

from contextlib import suppress

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import SchemaError, SchemaSerializer, core_schema


def json_schema(model: type[BaseModel]) -> JsonSchemaValue:
    """Return the JSON Schema (draft 2020-12) of what `model` reads."""
    schema = model.model_json_schema(schema_generator=_Generator)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


class _Generator(GenerateJsonSchema):
    """Keep the order of declarations, and leave out titles made of field and class names."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        return value

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        node = super().model_schema(schema)
        if node["title"] == schema["cls"].__name__:
            del node["title"]
        node["description"] = " ".join(node["description"].partition("\n\n")[0].split())
        return node

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Write a default as a spec would; a key without a value of its own has none."""
        node = super().default_schema(schema)
        if node.get("default") is None:
            node.pop("default", None)
            return node
        with suppress(SchemaError):  # a section, which pydantic has written well
            writer = SchemaSerializer(schema["schema"])
            node["default"] = writer.to_python(schema["default"], mode="json")
        node["default"] = _without_nulls(node["default"])
        return node


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
