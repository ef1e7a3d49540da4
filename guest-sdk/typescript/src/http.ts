/**
 * HTTP through the runtime's own client, as far as `allow.http` grants it.
 *
 * `fetch` works in a component as well, but its errors do not tell a request that was never sent from one whose answer
 * was lost, nor what is denied; these functions do. Requests of one call overlap: await several at once.
 */

import { type Failure, Halted, Rejected, Transient } from "./failure.js";
import { wire } from "./wire.js";

/** What a request is made of beside its URL. */
export interface RequestOptions {
  /** `GET`, or `POST` where there is a body. */
  readonly method?: string | undefined;
  readonly headers?: Headers | Record<string, string> | ReadonlyArray<readonly [string, string]> | undefined;
  readonly body?: Uint8Array | string | undefined;
  /** A body in JSON. */
  readonly json?: unknown;
  /**
   * How many milliseconds sending it and reading the whole answer may take. Without it the request may take the time
   * that the runtime gives the whole call, less a tenth.
   */
  readonly timeoutMs?: number | undefined;
}

/** A request as it is sent. */
export class HttpRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** How many milliseconds are left for it; undefined for any time. */
  readonly timeoutMs: number | undefined;

  constructor(url: string, options: RequestOptions = {}, leftMs?: number) {
    this.url = url;
    this.headers = headersOf(url, options);
    if (options.json !== undefined && !this.headers.has("content-type")) {
      this.headers.set("content-type", "application/json");
    }
    const content = options.json === undefined ? options.body : JSON.stringify(options.json);
    this.body = typeof content === "string" ? new TextEncoder().encode(content) : (content ?? new Uint8Array());
    this.method = (options.method ?? (content === undefined ? "GET" : "POST")).toUpperCase();
    const times = [options.timeoutMs, leftMs].filter((time) => time !== undefined);
    this.timeoutMs = times.length > 0 ? Math.min(...times) : undefined;
  }

  /** The body as text. */
  text(): string {
    return new TextDecoder().decode(this.body);
  }

  /** The body, read as JSON. */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }
}

/** An answer, whatever its status. */
export class HttpResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;

  constructor(status: number, options: { headers?: RequestOptions["headers"]; body?: Uint8Array | string } = {}) {
    const { headers, body = "" } = options;
    this.status = status;
    this.headers = new Headers(headers as Record<string, string>);
    this.body = typeof body === "string" ? new TextEncoder().encode(body) : body;
  }

  /** Whether the status is one of success. */
  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  /** The body as text; bytes that are not UTF-8 are replaced. */
  text(): string {
    return new TextDecoder().decode(this.body);
  }

  /** The body, read as JSON: a `SyntaxError` where it is not. */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }
}

/**
 * Sends a request, and resolves to whatever the answer is.
 *
 * A request that can never be sent is `Rejected`, code `http-invalid`; one that the configuration does not allow
 * `Halted`, code `http-denied`; one that was not sent `Transient`, code `http-not-sent`; one that was sent, at least in
 * part, and got no answer `Unknown`, code `http-no-answer`.
 */
export async function request(url: string, options?: RequestOptions): Promise<HttpResponse> {
  const left = wire.deadline === undefined ? undefined : Math.max(wire.deadline - performance.now(), 0);
  return wire.send(new HttpRequest(url, options, left));
}

/** Sends a request that has to succeed: {@link request}, then {@link check}. */
export async function send(url: string, options?: RequestOptions): Promise<HttpResponse> {
  const response = await request(url, options);
  check(response);
  return response;
}

/**
 * Throws what a status means for what was sent, as the runtime's own HTTP sink takes it.
 *
 * 2xx is written; 408, 425, 429 and 5xx but 501 and 505 are transient, after Retry-After; 401, 403 and 407 halt the
 * sink; others are rejected. The code is `http-` and the status.
 *
 * A request with several events that is answered 413 is rejected too: the runtime then splits the batch.
 */
export function check(response: HttpResponse): void {
  if (!response.ok) throw meaning(response);
}

/** How much of a refusal's body is quoted, in bytes. */
const EXCERPT = 200;

function meaning({ status, headers, body }: HttpResponse): Failure {
  const excerpt = new TextDecoder().decode(body.subarray(0, EXCERPT)).trim();
  const message = excerpt === "" ? `status ${status}` : `status ${status}: ${excerpt}`;
  const code = `http-${status}`;
  if ([401, 403, 407].includes(status)) return new Halted(code, message);
  const isPassing = status >= 500 && status < 600 && status !== 501 && status !== 505;
  if (isPassing || [408, 425, 429].includes(status)) {
    return new Transient(code, message, { afterMs: pause(headers.get("retry-after")) });
  }
  return new Rejected(code, message);
}

/** The pause that Retry-After asks for, in either of its forms (RFC 9110, 10.2.3), in milliseconds. */
function pause(value: string | null): number | undefined {
  if (value === null) return undefined;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const moment = Date.parse(value);
  return Number.isNaN(moment) ? undefined : Math.max(moment - Date.now(), 0);
}

function headersOf(url: string, { headers }: RequestOptions): Headers {
  try {
    return new Headers(headers as Record<string, string> | undefined);
  } catch (cause) {
    throw new Rejected("http-invalid", `the headers for ${url} are malformed: ${String(cause)}`, { cause });
  }
}
