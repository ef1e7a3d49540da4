"""Why an event, a batch or an opening failed, in the four kinds that the runtime acts on."""

from __future__ import annotations

from typing import ClassVar


class Failure(Exception):
    """A failure of a known kind: raise one of the four below.

    Any other exception is *unknown*, code ``uncaught``, because nobody said what it means for the events. Say it where
    it arises::

        try:
            count = int(text)
        except ValueError as error:
            raise sump.Rejected("not-a-number", str(error)) from error
    """

    kind: ClassVar[str] = "unknown"

    def __init__(self, code: str, message: str = "") -> None:
        """``code`` is a short, stable identifier such as ``too-large``, ``message`` is for people."""
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.kind} ({self.code}): {self.message}"


class Transient(Failure):
    """Not written, worth trying again; after ``after`` seconds at least, where the destination asked for a pause."""

    kind = "transient"

    def __init__(self, code: str, message: str = "", *, after: float | None = None) -> None:
        super().__init__(code, message)
        self.after = after


class Rejected(Failure):
    """Not written, and never will be: the events become dead letters."""

    kind = "rejected"


class Unknown(Failure):
    """Perhaps written: it was sent, and the answer was lost. Tried again, a bounded number of times."""

    kind = "unknown"


class Halted(Failure):
    """Nothing can be written until an operator acts: credentials refused, a table missing. The sink pauses."""

    kind = "halted"


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception is."""
    if isinstance(error, Failure):
        return error
    failure = Unknown("uncaught", f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
