"""Batches column by column, and events as views of them: payloads are never copied unless a sink asks for it."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from ._context import Context
from ._failure import Rejected


class Column(Sequence["memoryview | None"]):
    """Byte strings in Arrow's variable-size binary layout: value ``i`` is ``data[offsets[i]:offsets[i + 1]]``.

    An item is a view of the bytes, or None for null.
    """

    __slots__ = ("data", "offsets", "validity")

    def __init__(self, offsets: Sequence[int], data: bytes | memoryview, validity: bytes | None = None) -> None:
        """``validity`` is a bitmap, least significant bit first, in which a 0 means null."""
        self.offsets = offsets
        self.data = memoryview(data)
        self.validity = validity

    def __len__(self) -> int:
        return max(len(self.offsets) - 1, 0)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        validity = self.validity
        if validity is not None and not validity[index >> 3] >> (index & 7) & 1:
            return None
        offsets = self.offsets
        return self.data[offsets[index] : offsets[index + 1]]


class Headers:
    """The headers of all events: those of event ``i`` are entries ``offsets[i]`` to ``offsets[i + 1]`` of both columns."""

    __slots__ = ("names", "offsets", "values")

    def __init__(self, offsets: Sequence[int], names: Column, values: Column) -> None:
        self.offsets = offsets
        self.names = names
        self.values = values


class Batch(Sequence["Event"]):
    """A batch of events, column by column. As a sequence it holds its events."""

    __slots__ = ("headers", "key", "partitions", "payload", "positions", "run_partitions", "run_starts", "timestamps")

    def __init__(
        self,
        payload: Column,
        *,
        key: Column | None = None,
        timestamps: Sequence[int],
        headers: Headers | None = None,
        partitions: Sequence[str],
        run_starts: Sequence[int],
        run_partitions: Sequence[int],
        positions: Sequence[int],
    ) -> None:
        #: One value for each event; None is a Kafka tombstone.
        self.payload = payload
        #: None when no event has a key.
        self.key = key
        #: Event times in milliseconds since the Unix epoch.
        self.timestamps = timestamps
        #: None when no event has headers.
        self.headers = headers
        #: Where events were read: those from ``run_starts[n]`` on in ``partitions[run_partitions[n]]``.
        self.partitions = partitions
        self.run_starts = run_starts
        self.run_partitions = run_partitions
        #: Where in its partition each event was read: a Kafka offset, a byte offset, a running number.
        self.positions = positions

    def __len__(self) -> int:
        return len(self.payload)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [Event(self, i) for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        return Event(self, index)

    def __iter__(self) -> Iterator[Event]:
        for index in range(len(self)):
            yield Event(self, index)


class Event:
    """One event of a batch."""

    __slots__ = ("_batch", "index")

    def __init__(self, batch: Batch, index: int) -> None:
        self._batch = batch
        #: Its index in the batch, which a :class:`Report` refers to.
        self.index = index

    @property
    def payload(self) -> memoryview | None:
        """The payload as a view of the batch; None for a Kafka tombstone."""
        view: memoryview | None = self._batch.payload[self.index]
        return view

    def view(self) -> memoryview:
        """The payload of an event that has to have one. A tombstone is rejected, code ``no-payload``."""
        column = self._batch.payload
        if column.validity is None:
            # The common case, at a third of the cost.
            offsets, index = column.offsets, self.index
            return column.data[offsets[index] : offsets[index + 1]]
        payload = self.payload
        if payload is None:
            raise Rejected("no-payload", "the event has no payload (a tombstone)")
        return payload

    def to_bytes(self) -> bytes:
        """A copy of the payload. A tombstone is rejected, code ``no-payload``."""
        return bytes(self.view())

    def text(self) -> str:
        """The payload as text. A tombstone is rejected, code ``no-payload``; what is not UTF-8 too, code ``not-utf8``."""
        try:
            return str(self.view(), "utf-8")
        except UnicodeDecodeError as error:
            raise Rejected("not-utf8", str(error)) from error

    def json(self) -> Any:
        """The payload, read as JSON. What is not JSON is rejected, code ``not-json``; a tombstone, code ``no-payload``."""
        try:
            return json.loads(str(self.view(), "utf-8"))
        except ValueError as error:
            raise Rejected("not-json", str(error)) from error

    @property
    def key(self) -> memoryview | None:
        """The key as a view of the batch, where it has one."""
        keys = self._batch.key
        key: memoryview | None = None if keys is None else keys[self.index]
        return key

    @property
    def timestamp(self) -> int:
        """Event time in milliseconds since the Unix epoch: when it was read, where its source gives none."""
        return self._batch.timestamps[self.index]

    @property
    def headers(self) -> list[tuple[bytes, bytes | None]]:
        """Name and value of each header, in order."""
        headers = self._batch.headers
        if headers is None:
            return []
        entries = range(headers.offsets[self.index], headers.offsets[self.index + 1])
        values = ((headers.names[i], headers.values[i]) for i in entries)
        return [(bytes(name), None if value is None else bytes(value)) for name, value in values]

    def header(self, name: str) -> bytes | None:
        """The value of the first header of this name."""
        wanted = name.encode()
        return next((value for found, value in self.headers if found == wanted), None)

    @property
    def partition(self) -> str:
        """Where it was read: one partition of a Kafka topic, one file."""
        batch = self._batch
        run = bisect_right(batch.run_starts, self.index) - 1
        return batch.partitions[batch.run_partitions[run]]

    @property
    def position(self) -> int:
        """Where in its partition: an offset, the byte at which a line starts, a running number."""
        return self._batch.positions[self.index]

    def idempotency_key(self, context: Context) -> str:
        """A key that only this event has in this sink, the same after every retry, replay and restart."""
        return f"{context.pipeline}/{context.sink}/{self.partition}/{self.position}"
