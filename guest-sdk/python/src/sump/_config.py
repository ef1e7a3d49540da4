"""Configurations as dataclasses, and the JSON Schema of one."""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from typing import Annotated, Any, Literal, Union


class Misfit(ValueError):
    """A configuration that does not fit its type."""


def schema(config: type | None) -> dict[str, Any]:
    """The JSON Schema of a configuration: a dataclass, or None for one that has to be empty.

    Fields are text, numbers, ``bool``, enums, ``Literal``, lists, ``dict[str, …]``, optional ones and other dataclasses.
    One without a default is required, and unknown ones are refused. ``Annotated[str, "what it is for"]`` explains a field.
    """
    if config is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    if not dataclasses.is_dataclass(config):
        raise TypeError(f"a configuration is a dataclass, not {config!r}")
    hints = typing.get_type_hints(config, include_extras=True)
    properties, required = {}, []
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        about = _schema_of(hint)
        if typing.get_origin(hint) is Annotated:
            about["description"] = " ".join(note for note in hint.__metadata__ if isinstance(note, str))
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
        elif isinstance(default, enum.Enum):
            about["default"] = default.value
        elif isinstance(default, (str, bool, int, float)):
            about["default"] = default
        properties[field.name] = about
    made: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        made["required"] = required
    return made


_NAMES: dict[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def _schema_of(hint: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _schema_of(arguments[0])
    if hint in _NAMES:
        return {"type": _NAMES[hint]}
    if hint is Any:
        return {}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        kinds = [_schema_of(argument) for argument in arguments if argument is not type(None)]
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if origin is list:
        return {"type": "array", "items": _schema_of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1])}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return schema(hint)
    raise TypeError(f"a configuration can't hold {hint!r}")


def load(config: type | None, text: str) -> Any:
    """Reads a configuration in JSON into its type."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise Misfit(f"it is not JSON: {error}") from error
    if config is None:
        if given:
            raise Misfit("it has to be empty")
        return None
    return _value(given, config, "the configuration")


def _value(given: Any, hint: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _value(given, arguments[0], place)
    if hint is Any:
        return given
    if hint is float and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    if hint in _NAMES:
        if type(given) is not hint:
            raise Misfit(f"{place} is no {_NAMES[hint]}")
        return given
    if origin is Literal:
        if given not in arguments:
            raise Misfit(f"{place} is one of {', '.join(map(repr, arguments))}")
        return given
    if origin in (Union, types.UnionType):
        return _one_of(given, arguments, place)
    if origin is list and isinstance(given, list):
        return [_value(one, arguments[0], f"{place}[{index}]") for index, one in enumerate(given)]
    if origin is dict and isinstance(given, dict):
        return {name: _value(one, arguments[1], f"{place}.{name}") for name, one in given.items()}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(given)
        except ValueError as error:
            raise Misfit(f"{place} is one of {', '.join(repr(member.value) for member in hint)}") from error
    if dataclasses.is_dataclass(hint) and isinstance(given, dict):
        return _fields(given, hint, place)
    raise Misfit(f"{place} is of another type")


def _one_of(given: Any, hints: tuple[Any, ...], place: str) -> Any:
    if given is None and type(None) in hints:
        return None
    misfits = []
    for hint in hints:
        if hint is not type(None):
            try:
                return _value(given, hint, place)
            except Misfit as misfit:
                misfits.append(str(misfit))
    raise Misfit(" and ".join(misfits))


def _fields(given: dict[str, Any], config: Any, place: str) -> Any:
    hints = typing.get_type_hints(config, include_extras=True)
    for name in given:
        if name not in hints:
            raise Misfit(f"`{name}` is unknown in {place}")
    for field in dataclasses.fields(config):
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if field.name not in given and not has_default:
            raise Misfit(f"`{field.name}` is missing in {place}")
    return config(**{name: _value(value, hints[name], f"`{name}`") for name, value in given.items()})
