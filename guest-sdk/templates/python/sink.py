"""A sink for Sump that logs a line for each event: the place to begin::

    [pipeline.events.sink.out]
    type = "wasm"
    path = "build/{{name}}.wasm"
    config = { prefix = "seen" }
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Annotated

import sump

log = logging.getLogger("{{name}}")


@dataclass
class Config:
    prefix: Annotated[str, "What each line begins with."] = "seen"


@sump.sink("{{name}}", "0.1.0", config=Config)
class Sink(sump.EventSink):
    def __init__(self, config: Config, opening: sump.Opening) -> None:
        self.prefix = config.prefix

    def process(self, context: sump.Context, event: sump.Event) -> None:
        # What is not JSON is rejected here, and becomes a dead letter.
        item = event.json()
        if not isinstance(item, dict) or "id" not in item:
            raise sump.Rejected("no-id", "the event has no `id`")
        log.info("%s %s", self.prefix, json.dumps(item["id"]))
