"""What the SDKs have to agree on, byte by byte and outcome by outcome."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import sump
from sump import testing

VECTORS = Path(__file__).parents[3] / "wit/vectors"


def cases(file: str) -> list[Any]:
    read: list[Any] = json.loads((VECTORS / file).read_text())["cases"]
    assert read
    return [pytest.param(case, id=case["name"]) for case in read]


def data(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def column(given: Any) -> sump.Column:
    return sump.Column(given["offsets"], data(given["bytes"]) or b"", data(given["validity"]))


def seen(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)


@pytest.mark.parametrize("case", cases("batches.json"))
def test_every_event_is_seen_as_it_is(case: Any) -> None:
    given = case["batch"]
    headers, origin = given["headers"], given["origin"]
    batch = sump.Batch(
        column(given["payload"]),
        key=given["key"] and column(given["key"]),
        timestamps=given["timestamps"],
        headers=headers and sump.Headers(headers["offsets"], column(headers["names"]), column(headers["values"])),
        partitions=origin["partitions"],
        run_starts=[run["start"] for run in origin["runs"]],
        run_partitions=[run["partition"] for run in origin["runs"]],
        positions=origin["positions"],
    )
    assert len(batch) == len(case["events"])
    built = []
    for event, want in zip(batch, case["events"], strict=True):
        assert seen(event.payload) == data(want["payload"])
        assert seen(event.key) == data(want["key"])
        assert event.timestamp == want["timestamp"]
        assert event.headers == [(data(name), data(value)) for name, value in want["headers"]]
        assert (event.partition, event.position) == (want["partition"], want["position"])
        origin_of = (event.partition, event.position)
        built.append(testing.Event(seen(event.payload), seen(event.key), event.headers, event.timestamp, origin_of))
    if built:
        # What a test builds of the same events is the same batch.
        again = testing.batch(*built)
        assert again.payload.offsets == batch.payload.offsets
        assert again.payload.validity == batch.payload.validity
        assert (again.partitions, again.run_starts) == (batch.partitions, batch.run_starts)
        assert again.run_partitions == batch.run_partitions
        assert (again.key is None, again.headers is None) == (batch.key is None, batch.headers is None)


@dataclass
class Config:
    begin: str | None = None
    flush: str | None = None


@sump.sink("obedient", "0", config=Config)
class Obedient(sump.EventSink):
    """Does what the words of a case say."""

    def __init__(self, config: Config, opening: sump.Opening) -> None:
        self.config = config

    def begin(self, context: sump.Context) -> None:
        obey(self.config.begin)

    def process(self, context: sump.Context, event: sump.Event) -> None:
        obey(event.text())

    def flush(self, context: sump.Context) -> None:
        obey(self.config.flush)


def obey(word: str | None) -> None:
    match word:
        case "busy":
            raise sump.Transient("busy", "come again")
        case "bad":
            raise sump.Rejected("bad", "never")
        case "lost":
            raise sump.Unknown("lost", "who knows")
        case "halt":
            raise sump.Halted("halt", "call the operator")
        case "uncaught":
            raise LookupError("nobody said what it means")


@pytest.mark.parametrize("case", cases("events.json"))
def test_the_event_level_makes_the_report(case: Any) -> None:
    with testing.open(Obedient, {"begin": case["begin"], "flush": case["flush"]}) as sink:
        outcome = sink.write(*case["events"], ordered=case["ordered"])
    want = case["expect"]
    if want["failure"] is not None:
        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.failure.code) == (want["failure"]["kind"], want["failure"]["code"])
        return
    assert outcome.failure is None
    refused = {one["event"]: (one["kind"], one["code"]) for one in want["refused"]}
    assert {index: (why.kind, why.code) for index, why in outcome.refused.items()} == refused
    stop = len(case["events"]) if want["stopped_at"] is None else want["stopped_at"]
    assert outcome.stopped_at == stop
