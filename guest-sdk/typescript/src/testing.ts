/**
 * Runs a sink in Node's test runner, or any other, natively and without the runtime:
 *
 * ```ts
 * import { test } from "node:test";
 * import { open } from "sump-sdk/testing";
 * import greeter from "../src/greeter.js";
 *
 * test("greets", async () => {
 *   const sink = await open(greeter, { greeting: "Hello" });
 *   (await sink.write("World")).assertWritten();
 * });
 * ```
 *
 * It builds batches, opens and calls the sink, and says what became of each event. {@link FakeHttp} answers requests.
 *
 * @module
 */

import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";

import { Batch, type ColumnData } from "./batch.js";
import type { Context, Opening } from "./context.js";
import { Failure, failureOf } from "./failure.js";
import { type HttpRequest, HttpResponse } from "./http.js";
import type { Report } from "./report.js";
import type { Instance, SinkDefinition } from "./sink.js";
import { wire } from "./wire.js";

type Bytes = Uint8Array | string;

/** An event to be written. What is not given is absent; without an origin it is partition `test/0` and its index. */
export interface TestEvent {
  /** Null is a tombstone. */
  readonly payload?: Bytes | null | undefined;
  readonly key?: Bytes | null | undefined;
  readonly headers?: ReadonlyArray<readonly [name: Bytes, value: Bytes | null]> | undefined;
  /** In milliseconds since the Unix epoch. */
  readonly timestamp?: number | undefined;
  readonly partition?: string | undefined;
  readonly position?: bigint | number | undefined;
}

/** Bytes and text are events with that payload, null is a tombstone. */
export type Given = TestEvent | Bytes | null;

/** An event with a payload in JSON. */
export function jsonEvent(value: unknown, more: Omit<TestEvent, "payload"> = {}): TestEvent {
  return { ...more, payload: JSON.stringify(value) };
}

/** Makes a batch of events. */
export function batch(...given: readonly Given[]): Batch {
  const events = given.map((one) =>
    one === null || typeof one === "string" || one instanceof Uint8Array ? { payload: one } : one,
  );
  const partitions: string[] = [];
  const runs: Array<{ start: number; partition: number }> = [];
  const offsets = [0];
  events.forEach((event, index) => {
    const name = event.partition ?? "test/0";
    if (!partitions.includes(name)) partitions.push(name);
    const partition = partitions.indexOf(name);
    if (runs.at(-1)?.partition !== partition) runs.push({ start: index, partition });
    offsets.push(offsets[index]! + (event.headers?.length ?? 0));
  });
  const headers = events.flatMap((event) => event.headers ?? []);
  return new Batch({
    payload: column(events.map((event) => event.payload ?? null)),
    key: events.some((event) => event.key != null) ? column(events.map((event) => event.key ?? null)) : undefined,
    timestamps: BigInt64Array.from(events, (event) => BigInt(event.timestamp ?? 0)),
    headers:
      headers.length === 0
        ? undefined
        : {
            offsets: Uint32Array.from(offsets),
            names: column(headers.map(([name]) => name)),
            values: column(headers.map(([, value]) => value)),
          },
    origin: {
      partitions,
      runs,
      positions: BigUint64Array.from(events, (event, index) => BigInt(event.position ?? index)),
    },
  });
}

function column(values: ReadonlyArray<Bytes | null>): ColumnData {
  const parts = values.map((value) => (typeof value === "string" ? Buffer.from(value) : (value ?? new Uint8Array())));
  const offsets = new Uint32Array(values.length + 1);
  const validity = new Uint8Array((values.length + 7) >> 3);
  parts.forEach((part, index) => {
    offsets[index + 1] = offsets[index]! + part.length;
    if (values[index] !== null) validity[index >> 3]! |= 1 << (index & 7);
  });
  return { offsets, bytes: new Uint8Array(Buffer.concat(parts)), validity: values.includes(null) ? validity : undefined };
}

/** Around a sink that is tested. */
export interface OpenOptions {
  /** Answers its requests. */
  readonly http?: FakeHttp | undefined;
  /** What it is told of for whom it is opened. */
  readonly opening?: Partial<Opening> | undefined;
}

/** Opens a sink with a configuration. Rejects with the {@link Failure} that the runtime would be told. */
export async function open(
  definition: SinkDefinition,
  config: Record<string, unknown> = {},
  { http, opening }: OpenOptions = {},
): Promise<TestSink> {
  const told = { pipeline: "test", sink: "sink", instance: 0, ...opening };
  try {
    return new TestSink(await answering.run(http, async () => definition.open(config, told)), http);
  } catch (thrown) {
    throw failureOf(thrown);
  }
}

/** An opened sink, called as the runtime calls it. */
export class TestSink {
  readonly #instance: Instance;
  readonly #http: FakeHttp | undefined;

  /** What the sink is told at each write. */
  context: Context = {
    pipeline: "test",
    sink: "sink",
    batchId: "000102030405060708090a0b0c0d0e0f",
    attempt: 1,
    timeoutMs: 30_000,
    ordered: false,
  };

  constructor(instance: Instance, http?: FakeHttp) {
    this.#instance = instance;
    this.#http = http;
  }

  /** Writes a batch of these events. */
  async write(...events: readonly Given[]): Promise<Outcome> {
    return this.writeBatch(batch(...events));
  }

  /** Writes a batch. What else is given differs from {@link TestSink.context}: `{ ordered: true }`. */
  async writeBatch(events: Batch, context: Partial<Context> = {}): Promise<Outcome> {
    const told = { ...this.context, ...context };
    let report: Report;
    try {
      report = await answering.run(this.#http, () => this.#instance.write(told, events));
    } catch (thrown) {
      return new Outcome(events.length, failureOf(thrown));
    }
    return new Outcome(events.length, report);
  }

  /** Makes the last call. */
  async close(): Promise<void> {
    await answering.run(this.#http, () => this.#instance.close());
  }
}

/** What became of the events of a batch. */
export class Outcome {
  readonly #events: number;
  /** Why the write failed as a whole. */
  readonly failure: Failure | undefined;
  /** Why each event failed that did, by index. */
  readonly refused: ReadonlyMap<number, Failure>;
  /** The first event that was not tried, or the number of events. */
  readonly stoppedAt: number;
  /** The events that were written, by index. */
  readonly written: readonly number[];

  /** Reads an answer as the runtime does, and fails where the runtime would not take it. */
  constructor(events: number, answer: Report | Failure) {
    const refused = new Map<number, Failure>();
    const indices = Array.from({ length: events }, (_, index) => index);
    const hasFailed = answer instanceof Failure;
    this.#events = events;
    this.failure = hasFailed ? answer : undefined;
    this.refused = refused;
    const stop = hasFailed ? events : (answer.stoppedAt ?? events);
    assert(stop >= 0 && stop <= events, `the report stops at event ${stop} of ${events}`);
    this.stoppedAt = stop;
    for (const { failure, events: which } of hasFailed ? [{ failure: answer, events: indices }] : answer.refused) {
      for (const index of which) {
        assert(index >= 0 && index < stop, `the report refuses event ${index} of ${events}, of which ${stop} were tried`);
        assert(!refused.has(index), `the report refuses event ${index} twice`);
        refused.set(index, failure);
      }
    }
    this.written = indices.filter((index) => index < stop && !refused.has(index));
  }

  /** Fails unless every event was written. */
  assertWritten(): void {
    if (this.failure !== undefined) assert.fail(`the write failed: ${this.failure}`);
    for (const [index, why] of this.refused) assert.fail(`event ${index} was not written: ${why}`);
    assert.equal(this.stoppedAt, this.#events, `events from ${this.stoppedAt} on were not tried`);
  }

  /** Fails unless an event was refused with this kind, such as `Rejected`, and code. */
  assertRefused(index: number, kind: Kind, code: string): void {
    assertIs(this.refused.get(index), kind, code, `event ${index}`);
  }

  /** Fails unless the write failed as a whole, with this kind and code. */
  assertFailed(kind: Kind, code: string): void {
    assertIs(this.failure, kind, code, "the write");
  }
}

/** One of the four classes of failures. */
export type Kind = abstract new (...given: never[]) => Failure;

function assertIs(why: Failure | undefined, kind: Kind, code: string, what: string): void {
  assert(why !== undefined, `${what} did not fail`);
  assert(why instanceof kind && why.code === code, `${what}: want ${kind.name} (${code}), got ${why}`);
}

/**
 * Answers the requests of a sink, and keeps them:
 *
 * ```ts
 * const http = new FakeHttp(204);
 * const sink = await open(alerts, config, { http });
 * (await sink.write("a")).assertWritten();
 * assert.deepEqual(http.requests[0].json(), { text: "a" });
 * ```
 */
export class FakeHttp {
  readonly #answer: FakeAnswer | ((request: HttpRequest) => FakeAnswer | Promise<FakeAnswer>);
  /** The requests that were made. */
  readonly requests: HttpRequest[] = [];

  /** Answers with a status, a response, a failure to throw, or what a function makes of the request. */
  constructor(answer: FakeAnswer | ((request: HttpRequest) => FakeAnswer | Promise<FakeAnswer>) = 200) {
    this.#answer = answer;
  }

  /** Answers a request. */
  async answer(request: HttpRequest): Promise<HttpResponse> {
    this.requests.push(request);
    const answer = typeof this.#answer === "function" ? await this.#answer(request) : this.#answer;
    if (answer instanceof Failure) throw answer;
    return typeof answer === "number" ? new HttpResponse(answer) : answer;
  }
}

/** A status, a response, or a failure to throw. */
export type FakeAnswer = number | HttpResponse | Failure;

/** Who answers in the call that is made, so that tests can run side by side. */
const answering = new AsyncLocalStorage<FakeHttp | undefined>();
const nobody = wire.send;
wire.send = async (request) => answering.getStore()?.answer(request) ?? nobody(request);
