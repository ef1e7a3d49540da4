"""Posts events as messages to a webhook as Slack, Mattermost and others take it, one request for each event::

    [pipeline.quakes.sink.alarm]
    type = "wasm"
    when = "event.mag >= 5.0"
    path = "slack.wasm"
    config = { url = "https://hooks.slack.com/services/T/B/X", text = "M {mag} near {place}" }
    allow.http = [{ to = "https://hooks.slack.com" }]
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import sump


@dataclass
class Config:
    url: Annotated[str, "The webhook."]
    text: Annotated[str, "The message, with fields of an event in braces: `M {mag} near {place}`."]
    channel: Annotated[str | None, "Another channel than the webhook's own."] = None
    username: Annotated[str | None, "Another name than the webhook's own."] = None


class Message(string.Formatter):
    """Puts the fields of an event into a text: `{mag}`, `{mag:.1f}`, `{properties[place]}`."""

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return escaped(super().get_value(key, args, kwargs))


def escaped(value: Any) -> Any:
    """The three characters that mean something in a message, in whatever text there is."""
    if isinstance(value, str):
        return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, dict):
        return {name: escaped(one) for name, one in value.items()}
    return value


@sump.sink("slack", "0.1.0", config=Config)
class Slack(sump.EventSink):
    def __init__(self, config: Config, opening: sump.Opening) -> None:
        self.config = config
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(config.text)]
        except ValueError as error:
            raise sump.Halted("config", f"`text`: {error}") from error
        if "" in fields:
            raise sump.Halted("config", "`text`: a pair of braces names no field")
        self.more = {name: value for name in ("channel", "username") if (value := getattr(config, name))}

    def process(self, context: sump.Context, event: sump.Event) -> None:
        fields = event.json()
        if not isinstance(fields, dict):
            raise sump.Rejected("wrong-shape", "the event is no object")
        try:
            text = Message().vformat(self.config.text, (), fields)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise sump.Rejected("no-field", f"the message can't be made: {error!r}") from error
        sump.http.send("POST", self.config.url, json={"text": text, **self.more})
