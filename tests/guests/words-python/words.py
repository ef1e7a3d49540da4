"""Words does what the payloads of its events say. One such guest in every language is held to the same list."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from typing import Annotated

import sump


@dataclass
class Config:
    begin: str | None = None
    flush: str | None = None
    open: str | None = None
    echo: Annotated[bool, "Reject each event with what it is as the message."] = False


@sump.sink("words", "0.1.0", config=Config)
class Words(sump.EventSink):
    def __init__(self, config: Config, opening: sump.Opening) -> None:
        self.config = config
        self.kept: list[bytearray] = []
        self.obey(config.open)

    def begin(self, context: sump.Context) -> None:
        self.obey(self.config.begin)

    def process(self, context: sump.Context, event: sump.Event) -> None:
        if self.config.echo:
            raise sump.Rejected("echo", echo(event))
        self.obey(event.text())

    def flush(self, context: sump.Context) -> None:
        self.obey(self.config.flush)

    def obey(self, word: str | None) -> None:
        match word:
            case "busy":
                raise sump.Transient("busy", "come again")
            case "bad":
                raise sump.Rejected("bad", "never")
            case "lost":
                raise sump.Unknown("lost", "who knows")
            case "halt":
                raise sump.Halted("halt", "call the operator")
            case "uncaught":
                raise LookupError("nobody said what it means")
            case "print":
                logging.getLogger("words").info("a word: %s", word)
            case "exit":
                sys.exit(3)
            case "spin":
                while True:
                    pass
            case "eat":
                while True:
                    self.kept.append(bytearray(1 << 20))
            case "work":
                self.work()

    def work(self) -> None:
        """Fills memory and gives it back: what another who thought it his would spoil."""
        for _ in range(32):
            self.kept.append(bytearray(1 << 20))
            print(os.environ.get("TZ", ""), end="", file=sys.stderr)
        if any(any(kept) for kept in self.kept):
            raise sump.Unknown("spoilt", "memory that nobody wrote to has something in it")
        self.kept = []


def echo(event: sump.Event) -> str:
    """Says what an event is: bytes in hexadecimal, `-` for what is absent."""

    def text(value: bytes | memoryview | None) -> str:
        return "-" if value is None else value.hex()

    headers = ",".join(f"{text(name)}:{text(value)}" for name, value in event.headers)
    told = f"payload={text(event.payload)} key={text(event.key)} time={event.timestamp} headers={headers}"
    return f"{told} at={event.partition}/{event.position}"
