"""What a sink is told when it is opened and at each write."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Opening:
    """For whom an instance is opened."""

    pipeline: str
    sink: str
    #: Which of the sink's instances, from 0; one that replaces another takes its number over.
    instance: int


@dataclass(frozen=True, slots=True)
class Context:
    """The circumstances of one write."""

    pipeline: str
    sink: str
    #: The same for every attempt at exactly these events, and for no others: an idempotency key.
    batch_id: str
    #: 1 for the first attempt.
    attempt: int
    #: The call is abandoned, and the instance with it, after so many seconds.
    timeout: float
    #: Order was promised. The event level keeps it; a batch sink with ``stops_in_order`` has to.
    ordered: bool
    #: W3C trace context to pass on.
    traceparent: str | None = None
