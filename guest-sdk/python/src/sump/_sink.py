"""What a sink is, and how it says so."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from . import _config, _level
from ._batch import Batch, Event
from ._context import Context, Opening
from ._failure import Halted
from ._report import Report


class EventSink(ABC):
    """Takes one event at a time. From its exceptions the SDK makes the report of the batch:

    - An exception refuses its event alone, whatever its kind, but for these two:
    - In order (``context.ordered``) the first event that is neither written nor rejected ends the batch. What follows
      comes again, in order.
    - A :class:`Halted` ends the batch in any case. What was written stays written and the rest comes again, so that no
      event becomes a dead letter for it; when nothing was written, the halt is the outcome of the batch.

    It is opened by ``__init__(self, config, opening)``.
    """

    def begin(self, context: Context) -> None:
        """Called before the first event of each batch. Its exception is about the whole batch."""

    @abstractmethod
    def process(self, context: Context, event: Event) -> None:
        """Writes an event, or keeps it for :meth:`flush`."""

    def flush(self, context: Context) -> None:
        """Called behind the last event of each batch. Its exception befalls all events that ``process`` took."""

    def close(self) -> None:
        """The last call, when the instance is no longer needed."""


class BatchSink(ABC):
    """Takes whole batches.

    An exception is about all events of the batch, none of which is known to be written; what became of single events is
    in the report. It is opened by ``__init__(self, config, opening)``.
    """

    @abstractmethod
    def write(self, context: Context, batch: Batch) -> Report | None:
        """Writes a batch. None means that everything is written."""

    def close(self) -> None:
        """The last call, when the instance is no longer needed."""


@dataclass(frozen=True)
class Definition:
    """What a module says about its sink."""

    kind: Callable[..., EventSink | BatchSink]
    name: str
    version: str
    config: type | None
    max_events: int | None
    max_bytes: int | None
    stops_in_order: bool

    def open(self, config: str, opening: Opening) -> Instance:
        try:
            value = _config.load(self.config, config)
        except _config.Misfit as error:
            raise Halted("config", str(error)) from error
        return Instance(self.kind(value, opening))


class Instance:
    """An opened sink."""

    def __init__(self, sink: EventSink | BatchSink) -> None:
        self.sink = sink

    def write(self, context: Context, batch: Batch) -> Report:
        if isinstance(self.sink, EventSink):
            return _level.write(self.sink, context, batch)
        return self.sink.write(context, batch) or Report()

    def close(self) -> None:
        self.sink.close()


#: What the program registered.
registered: Definition | None = None

_DEFINITION = "_sump_definition"


def definition_of(kind: type) -> Definition:
    """What a class says about itself."""
    definition = vars(kind).get(_DEFINITION)
    if not isinstance(definition, Definition):
        raise TypeError(f"{kind.__name__} is no sink: decorate it with @sump.sink")
    return definition

Kind = TypeVar("Kind", bound=Callable[..., Any])


def sink(
    name: str,
    version: str,
    *,
    config: type | None = None,
    max_events: int | None = None,
    max_bytes: int | None = None,
    stops_in_order: bool = False,
) -> Callable[[Kind], Kind]:
    """Says that a class is the program's sink.

    ``config`` is the dataclass that its configuration is read into, see :func:`schema`. ``max_events`` and ``max_bytes``
    bound what one call takes. ``stops_in_order`` is for a :class:`BatchSink` that keeps the order: where
    ``context.ordered`` is set it stops at the first event that is neither written nor rejected, see
    :meth:`Report.stop_at`. An :class:`EventSink` always does.
    """
    if not re.fullmatch(r"\S+", name):
        raise ValueError(f"a sink's name is one word, not {name!r}")

    def register(kind: Kind) -> Kind:
        global registered
        if not (isinstance(kind, type) and issubclass(kind, EventSink | BatchSink)):
            raise TypeError("a sink is a class derived from sump.EventSink or sump.BatchSink")
        in_order = stops_in_order or issubclass(kind, EventSink)
        registered = Definition(kind, name, version, config, max_events, max_bytes, in_order)
        # A test opens the class that it names.
        setattr(kind, _DEFINITION, registered)
        return kind

    return register
