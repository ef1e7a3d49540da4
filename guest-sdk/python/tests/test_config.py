"""Configurations, and what an opening that fails says."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

import sump
from sump import testing


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


@dataclass
class Part:
    size: float


@dataclass
class Config:
    url: Annotated[str, "Where to."]
    level: Level = Level.LOW
    mode: Literal["a", "b"] = "a"
    retries: int = 3
    parts: list[Part] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    note: str | None = None


@sump.sink("configured", "1.0.0", config=Config)
class Configured(sump.BatchSink):
    def __init__(self, config: Config, opening: sump.Opening) -> None:
        if config.url == "boom":
            raise KeyError("boom")
        self.config = config

    def write(self, context: sump.Context, batch: sump.Batch) -> sump.Report | None:
        return None


def test_the_schema_comes_from_the_dataclass() -> None:
    assert sump.schema(Config) == {
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "Where to."},
            "level": {"enum": ["low", "high"], "default": "low"},
            "mode": {"enum": ["a", "b"], "default": "a"},
            "retries": {"type": "integer", "default": 3},
            "parts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"size": {"type": "number"}},
                    "additionalProperties": False,
                    "required": ["size"],
                },
            },
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "note": {"type": "string"},
        },
        "additionalProperties": False,
        "required": ["url"],
    }


def test_a_configuration_becomes_its_dataclass() -> None:
    with testing.open(Configured, {"url": "u", "level": "high", "parts": [{"size": 2}], "labels": {"a": "b"}}) as sink:
        assert sink.inner.config == Config("u", Level.HIGH, parts=[Part(2.0)], labels={"a": "b"})
        sink.write("x").assert_written()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "`url` is missing"),
        ({"url": 1}, "`url` is no string"),
        ({"url": "u", "retries": True}, "`retries` is no integer"),
        ({"url": "u", "retrys": 1}, "`retrys` is unknown"),
        ({"url": "u", "level": "middle"}, "`level` is one of 'low', 'high'"),
        ({"url": "u", "parts": [{"size": "x"}]}, "`size` is no number"),
    ],
)
def test_one_that_does_not_fit_halts_the_sink(config: dict[str, object], message: str) -> None:
    with pytest.raises(sump.Halted, match=message) as raised:
        testing.open(Configured, config)
    assert raised.value.code == "config"


def test_an_opening_that_raises_what_nobody_meant_is_unknown() -> None:
    with pytest.raises(sump.Unknown) as raised:
        testing.open(Configured, {"url": "boom"})
    assert raised.value.code == "uncaught"
