"""From what becomes of single events to the report of their batch."""

from __future__ import annotations

import logging
from itertools import repeat
from typing import TYPE_CHECKING

from ._batch import Batch, Event
from ._failure import Failure, Halted, Rejected, failure_of
from ._report import Report

if TYPE_CHECKING:
    from ._context import Context
    from ._sink import EventSink

log = logging.getLogger("sump")


def write(sink: EventSink, context: Context, batch: Batch) -> Report:
    """Writes a batch event by event."""
    sink.begin(context)
    report = Report()
    failed: set[int] = set()
    halt: Halted | None = None
    tried = 0
    process = sink.process
    for event in map(Event, repeat(batch), range(len(batch))):
        tried += 1
        try:
            process(context, event)
        except Exception as error:
            failure = caught(error)
            failed.add(event.index)
            if isinstance(failure, Halted):
                halt = failure
                break
            report.refuse(event.index, failure)
            if context.ordered and not isinstance(failure, Rejected):
                break
    flushed: Failure | None = None
    try:
        sink.flush(context)
    except Exception as error:
        flushed = caught(error)
    if halt is not None and tried == len(failed):
        raise halt
    if flushed is not None:
        if isinstance(flushed, Halted):
            # The sink stands still, and nothing that it took is written.
            raise flushed
        for index in range(tried):
            if index not in failed:
                report.refuse(index, flushed)
    # A halt says nothing about its event, which counts as not tried: it comes again, and then as the first one the halt
    # is about the whole batch.
    stop = tried - 1 if halt is not None else tried
    if stop < len(batch):
        report.stop_at(stop)
    return report


def caught(error: Exception) -> Failure:
    """The failure that an exception is. One that nobody raised as such is logged with its traceback."""
    if not isinstance(error, Failure):
        log.exception("uncaught", exc_info=error)
    return failure_of(error)
