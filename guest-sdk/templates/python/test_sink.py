"""The sink, run natively."""

from __future__ import annotations

import sump
from sump import testing
from {{module}} import Sink


def test_an_event_with_an_id_is_written() -> None:
    with testing.open(Sink, {"prefix": "quake"}) as sink:
        sink.write('{"id": 1}', '{"id": "b"}').assert_written()


def test_what_has_no_id_is_rejected_alone() -> None:
    with testing.open(Sink, {}) as sink:
        outcome = sink.write('{"id": 1}', "no json", "{}", None)
    for index, code in enumerate(["not-json", "no-id", "no-payload"], start=1):
        outcome.assert_refused(index, sump.Rejected, code)
    assert outcome.written == [0]
