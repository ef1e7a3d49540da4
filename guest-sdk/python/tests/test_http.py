"""What answers mean."""

from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest

import sump
from sump.testing import FakeHTTP


@pytest.mark.parametrize("status", [200, 204, 299])
def test_success_is_written(status: int) -> None:
    with FakeHTTP(status):
        assert sump.http.send("GET", "http://a/").status == status


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, sump.Transient),
        (425, sump.Transient),
        (429, sump.Transient),
        (500, sump.Transient),
        (503, sump.Transient),
        (599, sump.Transient),
        (501, sump.Rejected),
        (505, sump.Rejected),
        (301, sump.Rejected),
        (400, sump.Rejected),
        (413, sump.Rejected),
        (401, sump.Halted),
        (403, sump.Halted),
        (407, sump.Halted),
    ],
)
def test_a_status_is_a_kind(status: int, kind: type[sump.Failure]) -> None:
    with FakeHTTP(sump.http.Response(status, body=b" no \n")), pytest.raises(kind) as raised:
        sump.http.send("POST", "http://a/", body="x")
    assert (raised.value.code, raised.value.message) == (f"http-{status}", f"status {status}: no")


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("7", 7, 7), (formatdate(time() + 60, usegmt=True), 1, 61), (formatdate(0, usegmt=True), 0, 0), ("soon", None, None)],
)
def test_the_pause_is_read_in_both_forms(value: str, least: float | None, most: float | None) -> None:
    answer = sump.http.Response(503, (("Retry-After", value),))
    with FakeHTTP(answer), pytest.raises(sump.Transient) as raised:
        sump.http.send("GET", "http://a/")
    after = raised.value.after
    if least is None or most is None:
        assert after is None
    else:
        assert after is not None and least <= after <= most


def test_a_value_is_sent_as_json() -> None:
    with FakeHTTP(lambda request: sump.http.Response(200, body=request.body)) as http:
        assert sump.http.send("post", "http://a/", json={"a": "ü"}, headers={"X-A": "b"}).json() == {"a": "ü"}
    (request,) = http.requests
    assert (request.method, request.header("content-type"), request.header("x-a")) == ("POST", "application/json", "b")


def test_nothing_is_sent_where_nobody_answers() -> None:
    with pytest.raises(RuntimeError, match="FakeHTTP"):
        sump.http.request("GET", "http://a/")
