// What componentize-js gives of the interfaces that the SDK's world imports, as far as the SDK calls them.

declare module "wasi:io/poll@0.2.12" {
  export class Pollable {
    ready(): boolean;
    block(): void;
    [Symbol.dispose](): void;
  }
  /** Waits until one is ready at least, and returns the indices of those that are. */
  export function poll(pollables: Pollable[]): Uint32Array;
}

declare module "wasi:io/streams@0.2.12" {
  import type { Pollable } from "wasi:io/poll@0.2.12";
  export class InputStream {
    read(length: bigint): Uint8Array;
    subscribe(): Pollable;
    [Symbol.dispose](): void;
  }
  export class OutputStream {
    checkWrite(): bigint;
    write(contents: Uint8Array): void;
    flush(): void;
    subscribe(): Pollable;
    [Symbol.dispose](): void;
  }
}

declare module "wasi:clocks/monotonic-clock@0.2.12" {
  import type { Pollable } from "wasi:io/poll@0.2.12";
  export function subscribeDuration(nanoseconds: bigint): Pollable;
}

declare module "wasi:http/types@0.2.12" {
  import type { Pollable } from "wasi:io/poll@0.2.12";
  import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
  export type Result<T, E> = { tag: "ok"; val: T } | { tag: "err"; val: E };
  export type ErrorCode = { tag: string; val?: unknown };
  export class Fields {
    static fromList(entries: Array<[string, Uint8Array]>): Fields;
    entries(): Array<[string, Uint8Array]>;
    [Symbol.dispose](): void;
  }
  export class OutgoingRequest {
    constructor(headers: Fields);
    body(): OutgoingBody;
    setMethod(method: { tag: string; val?: string }): void;
    setScheme(scheme: { tag: "HTTP" | "HTTPS" }): void;
    setAuthority(authority: string): void;
    setPathWithQuery(path: string): void;
  }
  export class OutgoingBody {
    write(): OutputStream;
    static finish(body: OutgoingBody, trailers: undefined): void;
    [Symbol.dispose](): void;
  }
  export class FutureIncomingResponse {
    subscribe(): Pollable;
    get(): Result<Result<IncomingResponse, ErrorCode>, undefined> | undefined;
    [Symbol.dispose](): void;
  }
  export class IncomingResponse {
    status(): number;
    headers(): Fields;
    consume(): IncomingBody;
    [Symbol.dispose](): void;
  }
  export class IncomingBody {
    stream(): InputStream;
    [Symbol.dispose](): void;
  }
}

declare module "wasi:http/outgoing-handler@0.2.12" {
  import type { FutureIncomingResponse, OutgoingRequest } from "wasi:http/types@0.2.12";
  export function handle(request: OutgoingRequest, options: undefined): FutureIncomingResponse;
}
