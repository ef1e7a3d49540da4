"""Sends requests by wasi:http."""

from __future__ import annotations

from urllib.parse import urlsplit

from componentize_py_types import Err, Ok
from wit_world.imports import monotonic_clock, outgoing_handler, poll, streams, types

from ._failure import Failure, Halted, Rejected, Transient, Unknown
from .http import Request, Response

#: How much is written or read at once.
_CHUNK = 64 << 10


def send(request: Request) -> Response:
    outgoing = _outgoing(request)
    body = outgoing.body() if request.body else None
    alarm = _Alarm(request.timeout)
    with alarm:
        try:
            future = outgoing_handler.handle(outgoing, None)
        except Err as error:
            raise _meaning(error.value) from None
        with future:
            if body is not None:
                _write(body, request.body, alarm)
            while (result := future.get()) is None:
                alarm.wait(future.subscribe())
            if isinstance(result, Err):
                raise _no_answer("the answer was taken twice")
            answer = result.value
            if isinstance(answer, Err):
                raise _meaning(answer.value)
            with answer.value as incoming:
                return _read(incoming, alarm)


class _Alarm:
    """The time that a request has left."""

    def __init__(self, timeout: float | None) -> None:
        self._pollable = None if timeout is None else monotonic_clock.subscribe_duration(int(timeout * 1e9))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._pollable is not None:
            self._pollable.__exit__(None, None, None)

    def wait(self, ready: poll.Pollable) -> None:
        """Blocks until it is ready, or fails when time is up before."""
        with ready:
            if self._pollable is None:
                ready.block()
            elif 0 not in poll.poll([ready, self._pollable]):
                raise _no_answer("no answer in time")


_METHODS = {
    "GET": types.Method_Get,
    "HEAD": types.Method_Head,
    "POST": types.Method_Post,
    "PUT": types.Method_Put,
    "DELETE": types.Method_Delete,
    "OPTIONS": types.Method_Options,
    "PATCH": types.Method_Patch,
}


def _outgoing(request: Request) -> types.OutgoingRequest:
    entries = [(name, value.encode()) for name, value in request.headers]
    if all(name.lower() != "content-length" for name, _ in entries) and request.method not in ("GET", "HEAD"):
        entries.append(("content-length", str(len(request.body)).encode()))
    try:
        part = "headers"
        outgoing = types.OutgoingRequest(types.Fields.from_list(entries))
        part = "url"
        url = urlsplit(request.url)
        if url.scheme not in ("http", "https") or not url.netloc:
            raise ValueError("it has to begin with http:// or https://")
        path = url.path or "/"
        outgoing.set_scheme(types.Scheme_Https() if url.scheme == "https" else types.Scheme_Http())
        outgoing.set_authority(url.netloc)
        outgoing.set_path_with_query(f"{path}?{url.query}" if url.query else path)
        part = "method"
        known = _METHODS.get(request.method)
        outgoing.set_method(types.Method_Other(request.method) if known is None else known())
    except (Err, ValueError) as error:
        why = f": {error}" if isinstance(error, ValueError) else ""
        raise Rejected("http-invalid", f"the {part} of {request.method} {request.url} is malformed{why}") from None
    return outgoing


def _write(body: types.OutgoingBody, content: bytes, alarm: _Alarm) -> None:
    """Writes a body. One that the destination stops taking is no error yet: it may have answered, and says why."""
    try:
        with body.write() as stream:
            view = memoryview(content)
            while view:
                room = stream.check_write()
                if room == 0:
                    alarm.wait(stream.subscribe())
                    continue
                size = min(room, _CHUNK)
                stream.write(bytes(view[:size]))
                view = view[size:]
            stream.flush()
            alarm.wait(stream.subscribe())
        types.OutgoingBody.finish(body, None)
    except Err:
        pass


def _read(incoming: types.IncomingResponse, alarm: _Alarm) -> Response:
    with incoming.headers() as fields:
        headers = tuple((name, value.decode("latin-1")) for name, value in fields.entries())
    status, parts = incoming.status(), []
    try:
        with incoming.consume() as body, body.stream() as stream:
            while True:
                part = stream.read(_CHUNK)
                if part:
                    parts.append(part)
                else:
                    alarm.wait(stream.subscribe())
    except Err as error:
        if not isinstance(error.value, streams.StreamError_Closed):
            raise _no_answer("the answer broke off") from None
    return Response(status, headers, b"".join(parts))


def _no_answer(why: str) -> Failure:
    return Unknown("http-no-answer", why)


_NOT_SENT = {
    "DnsTimeout": "the name was not resolved in time",
    "DnsError": "the name could not be resolved",
    "DestinationNotFound": "destination not found",
    "DestinationUnavailable": "destination unavailable",
    "DestinationIpUnroutable": "no route to the destination",
    "ConnectionRefused": "connection refused",
    "ConnectionTimeout": "not connected in time",
    "ConnectionLimitReached": "too many connections",
    "TlsProtocolError": "TLS protocol error",
    "TlsCertificateError": "the certificate is not trusted",
    "TlsAlertReceived": "the destination ended TLS with an alert",
}
_DENIED = {
    "DestinationIpProhibited": "the address is not allowed",
    "HttpRequestDenied": "no `allow.http` covers it",
}


def _meaning(code: types.ErrorCode) -> Failure:
    """What an error of wasi:http means for the request."""
    name = type(code).__name__.removeprefix("ErrorCode_")
    if name in _NOT_SENT:
        return Transient("http-not-sent", _NOT_SENT[name])
    if name in _DENIED:
        return Halted("http-denied", _DENIED[name])
    if name.startswith("HttpRequest"):
        return Rejected("http-invalid", f"the request can't be sent: {name}")
    why = getattr(code, "value", None)
    return _no_answer(why if isinstance(why, str) else name)
