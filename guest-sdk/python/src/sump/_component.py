"""What a component exports, by the bindings that componentize-py makes of the contract.

The class is looked up by its name, and made anew for each call: what lasts is in this module. An exception that is not
of the contract would be a trap, which costs the instance its life: none gets out.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from componentize_py_types import Err
from wit_world.imports import events, writing

from . import _batch, _config, _context, _failure, _sink, _transport, http
from ._report import Report

_opened: _sink.Instance | None = None

Answer = TypeVar("Answer")


class Sink:
    """The contract's interface ``sink``."""

    def describe(self) -> events.Description:
        definition = _definition()
        return events.Description(
            name=definition.name,
            version=definition.version,
            config_schema=json.dumps(_config.schema(definition.config)),
            max_events=definition.max_events,
            max_bytes=definition.max_bytes,
            stops_in_order=definition.stops_in_order,
            content_type=None,
        )

    def open(self, opening: events.Opening) -> None:
        def run() -> None:
            global _opened
            # What Python drew when the component was built would be the same in every instance.
            random.seed()
            logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
            told = _context.Opening(opening.pipeline, opening.sink, opening.instance)
            _opened = _definition().open(opening.config, told)

        _guarded(run)

    def write(self, batch: events.Batch, context: writing.Context) -> writing.Report:
        def run() -> writing.Report:
            if _opened is None:
                raise _failure.Unknown("not-open", "the runtime wrote to an instance that it had not opened")
            timeout = context.timeout_ms / 1000
            http._deadline = time.monotonic() + timeout * 0.9
            told = _context.Context(
                context.pipeline,
                context.sink,
                context.batch_id,
                context.attempt,
                timeout,
                context.ordered,
                context.traceparent,
            )
            return _lower_report(_opened.write(told, _lift(batch)))

        return _guarded(run)

    def close(self) -> None:
        def run() -> None:
            global _opened
            closing, _opened = _opened, None
            http._deadline = None
            if closing is not None:
                closing.close()

        _guarded(run)


def _definition() -> _sink.Definition:
    if _sink.registered is None:
        raise RuntimeError("the program registers no sink: decorate its class with @sump.sink")
    return _sink.registered


def _guarded(run: Callable[[], Answer]) -> Answer:
    try:
        return run()
    except SystemExit as error:
        logging.shutdown()
        os._exit(error.code if isinstance(error.code, int) else 1)
    except BaseException as error:
        if not isinstance(error, _failure.Failure):
            logging.getLogger("sump").error("uncaught", exc_info=error)
        raise Err(_lower(_failure.failure_of(error))) from None


def _column(given: events.Column) -> _batch.Column:
    return _batch.Column(given.offsets, given.bytes, given.validity)


def _lift(given: events.Batch) -> _batch.Batch:
    headers, origin = given.headers, given.origin
    return _batch.Batch(
        _column(given.payload),
        key=None if given.key is None else _column(given.key),
        timestamps=given.timestamps,
        headers=headers and _batch.Headers(headers.offsets, _column(headers.names), _column(headers.values)),
        partitions=origin.partitions,
        run_starts=[run.start for run in origin.runs],
        run_partitions=[run.partition for run in origin.runs],
        positions=origin.positions,
    )


def _lower_report(report: Report) -> writing.Report:
    refused = [events.Refusal(indices, _lower(failure)) for failure, indices in report.refused]
    return writing.Report(refused, report.stopped_at)


def _lower(failure: _failure.Failure) -> events.Failure:
    kind: events.FailureKind
    if isinstance(failure, _failure.Transient):
        after = failure.after
        kind = events.FailureKind_Transient(None if after is None else min(int(after * 1000), 2**32 - 1))
    elif isinstance(failure, _failure.Rejected):
        kind = events.FailureKind_Rejected()
    elif isinstance(failure, _failure.Halted):
        kind = events.FailureKind_Halted()
    else:
        kind = events.FailureKind_Unknown()
    return events.Failure(kind, failure.code, failure.message)


http._transport = _transport.send
