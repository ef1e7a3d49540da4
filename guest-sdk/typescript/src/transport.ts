/// <reference path="./wasi.d.ts" />
import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";
import { handle } from "wasi:http/outgoing-handler@0.2.12";
import { type ErrorCode, Fields, OutgoingBody, OutgoingRequest } from "wasi:http/types@0.2.12";
import type { IncomingResponse } from "wasi:http/types@0.2.12";
import { type Pollable, poll } from "wasi:io/poll@0.2.12";

import { type Failure, Halted, Rejected, Transient, Unknown } from "./failure.js";
import { type HttpRequest, HttpResponse } from "./http.js";

/** How much is written or read at once, in bytes. */
const CHUNK = 64 << 10;

/** Sends a request by wasi:http. */
export async function send(request: HttpRequest): Promise<HttpResponse> {
  const outgoing = outgoingOf(request);
  const body = request.body.length > 0 ? outgoing.body() : undefined;
  const alarm = request.timeoutMs === undefined ? undefined : subscribeDuration(BigInt(Math.ceil(request.timeoutMs * 1e6)));
  try {
    const future = attempt(() => handle(outgoing, undefined));
    try {
      if (body !== undefined) await write(body, request.body, alarm);
      let answer = future.get();
      while (answer === undefined) {
        await ready(future.subscribe(), alarm);
        answer = future.get();
      }
      if (answer.tag === "err") throw noAnswer("the answer was taken twice");
      if (answer.val.tag === "err") throw meaning(answer.val.val);
      return await read(answer.val.val, alarm);
    } finally {
      future[Symbol.dispose]();
    }
  } finally {
    alarm?.[Symbol.dispose]();
  }
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

function outgoingOf(request: HttpRequest): OutgoingRequest {
  const { method, url, body } = request;
  const headers = [...request.headers].map(([name, value]): [string, Uint8Array] => [name, latin1(value)]);
  if (!request.headers.has("content-length") && method !== "GET" && method !== "HEAD") {
    headers.push(["content-length", latin1(String(body.length))]);
  }
  let part = "url";
  try {
    const to = new URL(url);
    if (to.protocol !== "http:" && to.protocol !== "https:") throw new TypeError("it begins with http:// or https://");
    part = "headers";
    const outgoing = new OutgoingRequest(Fields.fromList(headers));
    part = "url";
    outgoing.setScheme({ tag: to.protocol === "https:" ? "HTTPS" : "HTTP" });
    outgoing.setAuthority(to.host);
    outgoing.setPathWithQuery(to.pathname + to.search);
    part = "method";
    outgoing.setMethod(METHODS.includes(method) ? { tag: method.toLowerCase() } : { tag: "other", val: method });
    return outgoing;
  } catch (cause) {
    const why = cause instanceof TypeError ? `: ${cause.message}` : "";
    throw new Rejected("http-invalid", `the ${part} of ${method} ${url} is malformed${why}`, { cause });
  }
}

/** A header's value, which has a byte for each character. */
function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Writes a body. One that the destination stops taking is no error yet: it may have answered, and says why. */
async function write(body: OutgoingBody, content: Uint8Array, alarm: Pollable | undefined): Promise<void> {
  const stream = body.write();
  try {
    let rest = content;
    while (rest.length > 0) {
      const room = Math.min(Number(stream.checkWrite()), CHUNK);
      if (room === 0) {
        await ready(stream.subscribe(), alarm);
        continue;
      }
      stream.write(rest.subarray(0, room));
      rest = rest.subarray(room);
    }
    stream.flush();
    await ready(stream.subscribe(), alarm);
    // What is pending is reported here.
    stream.checkWrite();
  } catch (thrown) {
    if (payload(thrown) === undefined) throw thrown;
    return;
  } finally {
    stream[Symbol.dispose]();
  }
  try {
    OutgoingBody.finish(body, undefined);
  } catch (thrown) {
    if (payload(thrown) === undefined) throw thrown;
  }
}

async function read(incoming: IncomingResponse, alarm: Pollable | undefined): Promise<HttpResponse> {
  try {
    const fields = incoming.headers();
    const headers = new Headers();
    for (const [name, value] of fields.entries()) headers.append(name, String.fromCharCode(...value));
    fields[Symbol.dispose]();
    const status = incoming.status();
    const parts: Uint8Array[] = [];
    const body = incoming.consume();
    try {
      const stream = body.stream();
      try {
        for (;;) {
          const part = stream.read(BigInt(CHUNK));
          if (part.length > 0) parts.push(part);
          else await ready(stream.subscribe(), alarm);
        }
      } catch (thrown) {
        const why = payload(thrown);
        if (why === undefined) throw thrown;
        if (why.tag !== "closed") throw noAnswer("the answer broke off");
      } finally {
        stream[Symbol.dispose]();
      }
    } finally {
      body[Symbol.dispose]();
    }
    return new HttpResponse(status, { headers, body: joined(parts) });
  } finally {
    incoming[Symbol.dispose]();
  }
}

function joined(parts: Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Who waits, and for what. */
const waiting = new Set<{ readonly pollables: Pollable[]; readonly wake: (isReady: boolean) => void }>();

/** Resolves when a pollable is ready, and disposes of it. The time may be up before. */
async function ready(pollable: Pollable, alarm: Pollable | undefined): Promise<void> {
  try {
    const isReady = await new Promise<boolean>((wake) => {
      waiting.add({ pollables: alarm === undefined ? [pollable] : [pollable, alarm], wake });
      if (waiting.size === 1) setTimeout(turn, 0);
    });
    if (!isReady) throw noAnswer("no answer in time");
  } finally {
    pollable[Symbol.dispose]();
  }
}

/**
 * Waits for whichever is ready first. Other requests of the same call go on until they wait as well before this blocks,
 * so that they overlap.
 */
function turn(): void {
  const waiters = [...waiting];
  const isReady = new Set(poll(waiters.flatMap(({ pollables }) => pollables)));
  let at = 0;
  for (const waiter of waiters) {
    const [first, behind] = [at, at + waiter.pollables.length];
    at = behind;
    const isFirst = isReady.has(first);
    if (isFirst || (behind > first + 1 && isReady.has(first + 1))) {
      waiting.delete(waiter);
      waiter.wake(isFirst);
    }
  }
  if (waiting.size > 0) setTimeout(turn, 0);
}

/** What a call into the host failed with; undefined for what is no such failure. */
function payload(thrown: unknown): { tag: string; val?: unknown } | undefined {
  // Its class is of another realm than the sink's own errors: `instanceof Error` does not hold.
  if (typeof thrown !== "object" || thrown === null || !("payload" in thrown)) return undefined;
  return thrown.payload as { tag: string };
}

function attempt<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    const code = payload(thrown);
    throw code === undefined ? thrown : meaning(code);
  }
}

function noAnswer(why: string): Failure {
  return new Unknown("http-no-answer", why);
}

const NOT_SENT: Readonly<Record<string, string>> = {
  "DNS-timeout": "the name was not resolved in time",
  "DNS-error": "the name could not be resolved",
  "destination-not-found": "destination not found",
  "destination-unavailable": "destination unavailable",
  "destination-IP-unroutable": "no route to the destination",
  "connection-refused": "connection refused",
  "connection-timeout": "not connected in time",
  "connection-limit-reached": "too many connections",
  "TLS-protocol-error": "TLS protocol error",
  "TLS-certificate-error": "the certificate is not trusted",
  "TLS-alert-received": "the destination ended TLS with an alert",
};
const DENIED: Readonly<Record<string, string>> = {
  "destination-IP-prohibited": "the address is not allowed",
  "HTTP-request-denied": "no `allow.http` covers it",
};

/** What an error of wasi:http means for the request. */
function meaning(code: ErrorCode): Failure {
  const { tag, val } = code;
  const [notSent, denied] = [NOT_SENT[tag], DENIED[tag]];
  if (notSent !== undefined) return new Transient("http-not-sent", notSent);
  if (denied !== undefined) return new Halted("http-denied", denied);
  if (tag.startsWith("HTTP-request-")) return new Rejected("http-invalid", `the request can't be sent: ${tag}`);
  return noAnswer(typeof val === "string" ? val : tag);
}
