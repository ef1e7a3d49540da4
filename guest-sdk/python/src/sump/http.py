"""HTTP for sinks::

    sump.http.send("POST", url, json={"text": text})

In the sandbox requests go through the runtime's own pooled client, as far as the pipeline's configuration grants it
(``allow.http``). No redirects are followed. In tests :class:`sump.testing.FakeHTTP` answers.
"""

from __future__ import annotations

import json as _json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from ._failure import Failure, Halted, Rejected, Transient

__all__ = ["Request", "Response", "check", "request", "send"]


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    #: How many seconds sending it and reading the whole answer may take; None for any time.
    timeout: float | None

    def json(self) -> Any:
        """The body, read as JSON."""
        return _json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The value of the first header of this name, in any case of letters."""
        return _first(self.headers, name)


@dataclass(frozen=True)
class Response:
    """An answer, whatever its status."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(default=())
    body: bytes = b""

    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body, read as JSON: a ``ValueError`` where it is not."""
        return _json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The value of the first header of this name, in any case of letters."""
        return _first(self.headers, name)


def _first(headers: tuple[tuple[str, str], ...], name: str) -> str | None:
    wanted = name.lower()
    return next((value for found, value in headers if found.lower() == wanted), None)


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | memoryview | str = b"",
    json: Any = None,
    timeout: float | None = None,
) -> Response:
    """Sends a request, and returns whatever the answer is.

    ``json`` is a body in JSON. ``timeout`` is in seconds; without one a request may take the time that the runtime
    gives the whole call, less a tenth. A request that can never be sent is :class:`sump.Rejected`, code ``http-invalid``;
    one that the configuration does not allow :class:`sump.Halted`, code ``http-denied``; one that was not sent
    :class:`sump.Transient`, code ``http-not-sent``; one that was sent, at least in part, and got no answer
    :class:`sump.Unknown`, code ``http-no-answer``.
    """
    pairs = [*(headers.items() if isinstance(headers, Mapping) else headers)]
    if json is not None:
        body = _json.dumps(json, ensure_ascii=False, separators=(",", ":"))
        if _first(tuple(pairs), "content-type") is None:
            pairs.append(("content-type", "application/json"))
    content = body.encode() if isinstance(body, str) else bytes(body)
    left = None if _deadline is None else max(_deadline - time.monotonic(), 0.0)
    if timeout is not None and left is not None:
        timeout = min(timeout, left)
    return _transport(Request(method.upper(), url, tuple(pairs), content, left if timeout is None else timeout))


#: How much of a refusal's body is quoted.
_EXCERPT = 200


def check(response: Response) -> None:
    """Says what a status means for what was sent, as the runtime's own HTTP sink takes it.

    2xx is written; 408, 425, 429 and 5xx but 501 and 505 are transient, after Retry-After; 401, 403 and 407 halt the
    sink; others are rejected. The code is ``http-`` and the status.

    A request with several events that is answered 413 is rejected too: the runtime then splits the batch.
    """
    failure = _failure(response)
    if failure is not None:
        raise failure


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | memoryview | str = b"",
    json: Any = None,
    timeout: float | None = None,
) -> Response:
    """Sends a request that has to succeed: :func:`request`, then :func:`check`."""
    response = request(method, url, headers=headers, body=body, json=json, timeout=timeout)
    check(response)
    return response


def _failure(response: Response) -> Failure | None:
    status = response.status
    if 200 <= status < 300:
        return None
    excerpt = response.body[:_EXCERPT].decode("utf-8", "replace").strip()
    message = f"status {status}: {excerpt}" if excerpt else f"status {status}"
    code = f"http-{status}"
    if status in (401, 403, 407):
        return Halted(code, message)
    if status in (408, 425, 429) or (500 <= status < 600 and status not in (501, 505)):
        return Transient(code, message, after=_retry_after(response.header("retry-after")))
    return Rejected(code, message)


def _retry_after(value: str | None) -> float | None:
    """The pause that the header asks for, in either of its forms."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    # Without a zone, which the protocol demands, it is taken for what the protocol demands.
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return max((moment - datetime.now(timezone.utc)).total_seconds(), 0.0)


def _no_transport(request: Request) -> Response:
    raise RuntimeError(f"{request.method} {request.url}: outside of the runtime only sump.testing.FakeHTTP answers requests")


# What sends requests: wasi:http in a component, a fake in tests.
_transport: Callable[[Request], Response] = _no_transport

# When the call in progress has to be done, by the monotonic clock.
_deadline: float | None = None
