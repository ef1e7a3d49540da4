"""Write sinks for Sump in Python.

A sink is a class that the runtime runs as a WebAssembly component, in a sandbox::

    from dataclasses import dataclass

    import sump

    @dataclass
    class Config:
        greeting: str = "Hello"

    @sump.sink("greeter", "0.1.0", config=Config)
    class Greeter(sump.EventSink):
        def __init__(self, config: Config, opening: sump.Opening) -> None:
            self.greeting = config.greeting

        def process(self, context: sump.Context, event: sump.Event) -> None:
            print(f"{self.greeting}, {event.text()}")

A sink never sleeps, retries or acknowledges: it says by its exceptions what a failure means, and the runtime acts. See
:class:`Failure`. :mod:`sump.http` sends HTTP requests; :mod:`sump.testing` runs a sink in pytest.
"""

from . import http
from ._batch import Batch, Column, Event, Headers
from ._config import schema
from ._context import Context, Opening
from ._failure import Failure, Halted, Rejected, Transient, Unknown
from ._report import Report
from ._sink import BatchSink, EventSink, sink

__all__ = [
    "Batch",
    "BatchSink",
    "Column",
    "Context",
    "Event",
    "EventSink",
    "Failure",
    "Halted",
    "Headers",
    "Opening",
    "Rejected",
    "Report",
    "Transient",
    "Unknown",
    "http",
    "schema",
    "sink",
]
