"""The messages, and what answers of the webhook mean."""

from __future__ import annotations

import pytest
import sump
from slack import Slack
from sump import testing

CONFIG = {"url": "https://hooks.example.com/T", "text": "M {mag:.1f} near {place}", "channel": "#quakes"}


def test_each_event_is_a_message() -> None:
    with testing.FakeHTTP(200) as http, testing.open(Slack, CONFIG) as sink:
        sink.write('{"mag": 5.04, "place": "<a> & b"}', '{"mag": 6, "place": "c"}').assert_written()
    assert [request.json() for request in http.requests] == [
        {"text": "M 5.0 near &lt;a&gt; &amp; b", "channel": "#quakes"},
        {"text": "M 6.0 near c", "channel": "#quakes"},
    ]


def test_what_makes_no_message_is_rejected_alone() -> None:
    with testing.FakeHTTP(200) as http, testing.open(Slack, CONFIG) as sink:
        outcome = sink.write("no json", "[]", '{"mag": 5}', '{"mag": "x", "place": "c"}', None, '{"mag": 5, "place": "c"}')
    for index, code in enumerate(["not-json", "wrong-shape", "no-field", "no-field", "no-payload"]):
        outcome.assert_refused(index, sump.Rejected, code)
    assert outcome.written == [5] and len(http.requests) == 1


@pytest.mark.parametrize(("status", "kind"), [(429, sump.Transient), (404, sump.Rejected)])
def test_what_the_webhook_answers_decides_about_the_event(status: int, kind: type[sump.Failure]) -> None:
    with testing.FakeHTTP(status), testing.open(Slack, CONFIG) as sink:
        sink.write('{"mag": 5, "place": "c"}').assert_refused(0, kind, f"http-{status}")


def test_a_revoked_webhook_halts_the_sink() -> None:
    with testing.FakeHTTP(403), testing.open(Slack, CONFIG) as sink:
        sink.write('{"mag": 5, "place": "c"}').assert_failed(sump.Halted, "http-403")


@pytest.mark.parametrize("text", ["{", "{}"])
def test_a_text_that_is_malformed_is_told_at_once(text: str) -> None:
    with pytest.raises(sump.Halted, match="`text`"):
        testing.open(Slack, {**CONFIG, "text": text})
