"""Runs a sink in pytest, or any other runner, natively and without the runtime::

    from sump import testing

    def test_greets():
        with testing.open(Greeter, {"greeting": "Hello"}) as sink:
            sink.write("World").assert_written()

It builds batches, opens and calls the sink, and says what became of each event. :class:`FakeHTTP` answers requests.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from . import _sink, http
from ._batch import Batch, Column, Headers
from ._context import Context, Opening
from ._failure import Failure, failure_of
from ._report import Report

__all__ = ["Event", "FakeHTTP", "Outcome", "Sink", "batch", "json_event", "open"]


@dataclass(frozen=True)
class Event:
    """An event to be written. What is not set is absent; without an origin it is partition ``test/0`` and its index."""

    #: None is a tombstone.
    payload: bytes | str | None = None
    key: bytes | str | None = None
    headers: Iterable[tuple[bytes | str, bytes | str | None]] = ()
    #: In milliseconds since the Unix epoch.
    timestamp: int = 0
    #: Partition and position.
    origin: tuple[str, int] | None = None


def json_event(value: Any) -> Event:
    """An event with a payload in JSON."""
    return Event(json.dumps(value))


def batch(*events: Event | bytes | str | None) -> Batch:
    """Makes a batch of events. Bytes and text are events with that payload, None is a tombstone."""
    made = [event if isinstance(event, Event) else Event(event) for event in events]
    entries = [list(event.headers) for event in made]
    flat = [entry for of_event in entries for entry in of_event]
    partitions: list[str] = []
    runs: list[tuple[int, int]] = []
    positions = []
    offsets = [0]
    for index, event in enumerate(made):
        partition, position = event.origin or ("test/0", index)
        if partition not in partitions:
            partitions.append(partition)
        number = partitions.index(partition)
        if not runs or runs[-1][1] != number:
            runs.append((index, number))
        positions.append(position)
        offsets.append(offsets[-1] + len(entries[index]))
    keys = [event.key for event in made]
    headers = Headers(offsets, _column([name for name, _ in flat]), _column([value for _, value in flat]))
    return Batch(
        _column([event.payload for event in made]),
        key=_column(keys) if any(key is not None for key in keys) else None,
        timestamps=[event.timestamp for event in made],
        headers=headers if flat else None,
        partitions=partitions,
        run_starts=[start for start, _ in runs],
        run_partitions=[number for _, number in runs],
        positions=positions,
    )


def _column(values: list[Any]) -> Column:
    offsets, data, validity = [0], bytearray(), bytearray((len(values) + 7) // 8)
    for index, value in enumerate(values):
        if value is not None:
            validity[index >> 3] |= 1 << (index & 7)
            data += value.encode() if isinstance(value, str) else value
        offsets.append(len(data))
    return Column(offsets, bytes(data), bytes(validity) if None in values else None)


def open(kind: type, config: dict[str, Any] | None = None, **opening: Any) -> Sink:
    """Opens a sink, a class decorated with ``@sump.sink``, with a configuration. Raises the :class:`sump.Failure` that
    the runtime would be told."""
    definition = _sink.definition_of(kind)
    told = Opening(**{"pipeline": "test", "sink": "sink", "instance": 0, **opening})
    try:
        return Sink(definition.open(json.dumps(config or {}), told))
    except Failure:
        raise
    except Exception as error:
        raise failure_of(error) from error


class Sink:
    """An opened sink, called as the runtime calls it."""

    def __init__(self, instance: _sink.Instance) -> None:
        self._instance = instance
        #: What the sink is told at each write.
        self.context = Context("test", "sink", "000102030405060708090a0b0c0d0e0f", 1, 30.0, False)

    @property
    def inner(self) -> Any:
        """The sink itself."""
        return self._instance.sink

    def write(self, *events: Event | bytes | str | None, **context: Any) -> Outcome:
        """Writes a batch of these events. What else is given differs from :attr:`context`: ``ordered=True``."""
        return self.write_batch(batch(*events), **context)

    def write_batch(self, batch: Batch, **context: Any) -> Outcome:
        """Writes a batch."""
        try:
            report = self._instance.write(dataclasses.replace(self.context, **context), batch)
        except Exception as error:
            return Outcome(len(batch), None, failure_of(error))
        return Outcome(len(batch), report, None)

    def close(self) -> None:
        """Makes the last call."""
        self._instance.close()

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Outcome:
    """What became of the events of a batch."""

    def __init__(self, events: int, report: Report | None, failure: Failure | None) -> None:
        """Reads a report as the runtime does, and fails where the runtime would not take it."""
        self._events = events
        #: Why the write failed as a whole.
        self.failure = failure
        #: Why each event failed that did, by index.
        self.refused: dict[int, Failure] = {}
        #: The first event that was not tried, or the number of events.
        self.stopped_at = events
        if report is None:
            assert failure is not None
            self.refused = dict.fromkeys(range(events), failure)
        else:
            self._take(report)
        #: The events that were written, by index.
        self.written = [index for index in range(self.stopped_at) if index not in self.refused]

    def _take(self, report: Report) -> None:
        events = self._events
        if report.stopped_at is not None:
            assert 0 <= report.stopped_at <= events, f"the report stops at event {report.stopped_at} of {events}"
            self.stopped_at = report.stopped_at
        for why, indices in report.refused:
            for index in indices:
                tried = f"the report refuses event {index} of {events}, of which {self.stopped_at} were tried"
                assert 0 <= index < self.stopped_at, tried
                assert index not in self.refused, f"the report refuses event {index} twice"
                self.refused[index] = why

    def assert_written(self) -> None:
        """Fails unless every event was written."""
        assert self.failure is None, f"the write failed: {self.failure}"
        for index, why in self.refused.items():
            raise AssertionError(f"event {index} was not written: {why}")
        assert self.stopped_at == self._events, f"events from {self.stopped_at} on were not tried"

    def assert_refused(self, index: int, kind: type[Failure], code: str) -> None:
        """Fails unless an event was refused with this kind and code."""
        why = self.refused.get(index)
        assert why is not None, f"event {index} was not refused"
        assert isinstance(why, kind) and why.code == code, f"event {index}: want {kind.kind} ({code}), got {why}"

    def assert_failed(self, kind: type[Failure], code: str) -> None:
        """Fails unless the write failed as a whole, with this kind and code."""
        why = self.failure
        assert why is not None, "the write did not fail as a whole"
        assert isinstance(why, kind) and why.code == code, f"want {kind.kind} ({code}), got {why}"


class FakeHTTP:
    """Answers the requests of a sink, and keeps them::

    with FakeHTTP(204) as http, testing.open(Slack, config) as sink:
        sink.write("a").assert_written()
    assert http.requests[0].json() == {"text": "a"}
    """

    def __init__(self, answer: int | http.Response | Failure | Callable[[http.Request], http.Response] = 200) -> None:
        """``answer`` is a status, a response, a :class:`sump.Failure` to raise, or a function of the request."""
        self._answer = answer
        #: The requests that were made.
        self.requests: list[http.Request] = []

    def __call__(self, request: http.Request) -> http.Response:
        self.requests.append(request)
        answer = self._answer
        if isinstance(answer, int):
            return http.Response(answer)
        if isinstance(answer, http.Response):
            return answer
        if isinstance(answer, Failure):
            raise answer
        return answer(request)

    def __enter__(self) -> FakeHTTP:
        self._before, http._transport = http._transport, self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        http._transport = self._before
