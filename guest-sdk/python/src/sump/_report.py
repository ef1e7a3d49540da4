"""What became of the events of a batch."""

from __future__ import annotations

from collections.abc import Iterator

from ._failure import Failure, Transient, failure_of


class Report:
    """What became of a batch: an event that is neither refused nor past the stop is written."""

    __slots__ = ("_groups", "stopped_at")

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str, float | None], tuple[Failure, list[int]]] = {}
        #: The first event that was not tried; None when all were.
        self.stopped_at: int | None = None

    def refuse(self, index: int, error: Exception) -> None:
        """Event ``index`` failed. Events that failed alike are reported together.

        :class:`Halted` is about the sink and is to be raised: for one event the runtime takes it as rejected.
        """
        failure = failure_of(error)
        after = failure.after if isinstance(failure, Transient) else None
        alike = (failure.kind, failure.code, failure.message, after)
        self._groups.setdefault(alike, (failure, []))[1].append(index)

    def stop_at(self, index: int) -> None:
        """Events from ``index`` on were not tried. They come again, in order, at no cost in attempts."""
        self.stopped_at = index

    @property
    def refused(self) -> Iterator[tuple[Failure, list[int]]]:
        """Each failure with the events that it befell."""
        return iter(self._groups.values())
