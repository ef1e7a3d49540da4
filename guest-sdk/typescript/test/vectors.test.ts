// What the SDKs have to agree on, byte by byte and outcome by outcome.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { Batch, type ColumnData, eventSink, Halted, Rejected, schema, Transient, Unknown } from "sump-sdk";
import { batch, open, type TestEvent } from "sump-sdk/testing";

interface Column {
  offsets: number[];
  bytes: string;
  validity: string | null;
}

interface BatchCase {
  name: string;
  batch: {
    payload: Column;
    key: Column | null;
    timestamps: number[];
    headers: { offsets: number[]; names: Column; values: Column } | null;
    origin: { partitions: string[]; runs: Array<{ start: number; partition: number }>; positions: number[] };
  };
  events: Array<{
    payload: string | null;
    key: string | null;
    timestamp: number;
    headers: Array<[string, string | null]>;
    partition: string;
    position: number;
  }>;
}

interface EventCase {
  name: string;
  ordered: boolean;
  begin: string | null;
  events: string[];
  flush: string | null;
  expect: {
    failure: { kind: string; code: string } | null;
    refused: Array<{ event: number; kind: string; code: string }>;
    stopped_at: number | null;
  };
}

function cases<T>(file: string): T[] {
  const text = readFileSync(new URL(`../../../wit/vectors/${file}`, import.meta.url), "utf8");
  const { cases } = JSON.parse(text) as { cases: T[] };
  assert(cases.length > 0);
  return cases;
}

function bytes(text: string): Uint8Array;
function bytes(text: string | null): Uint8Array | null;
function bytes(text: string | null): Uint8Array | null {
  return text === null ? null : new Uint8Array(Buffer.from(text, "base64"));
}

function column(given: Column): ColumnData {
  const { offsets, bytes: data, validity } = given;
  return { offsets: Uint32Array.from(offsets), bytes: bytes(data), validity: bytes(validity) ?? undefined };
}

describe("every event is seen as it is", () => {
  for (const { name, batch: given, events } of cases<BatchCase>("batches.json")) {
    test(name, () => {
      const { headers, origin } = given;
      const seen = new Batch({
        payload: column(given.payload),
        key: given.key === null ? undefined : column(given.key),
        timestamps: BigInt64Array.from(given.timestamps, BigInt),
        headers: headers
          ? {
              offsets: Uint32Array.from(headers.offsets),
              names: column(headers.names),
              values: column(headers.values),
            }
          : undefined,
        origin: { ...origin, positions: BigUint64Array.from(origin.positions, BigInt) },
      });
      assert.equal(seen.length, events.length);
      const built: TestEvent[] = [];
      [...seen].forEach((event, index) => {
        const want = events[index]!;
        assert.deepEqual(event.payload, bytes(want.payload));
        assert.deepEqual(event.key, bytes(want.key));
        assert.equal(event.timestamp, want.timestamp);
        assert.deepEqual(
          event.headers,
          want.headers.map(([header, value]) => [bytes(header), bytes(value)]),
        );
        assert.deepEqual([event.partition, event.position], [want.partition, BigInt(want.position)]);
        const { payload, key, headers: own, timestamp, partition, position } = event;
        built.push({ payload, key, headers: own, timestamp, partition, position });
      });
      if (built.length > 0) {
        // What a test builds of the same events is the same batch.
        const again = batch(...built);
        assert.deepEqual(again, seen);
      }
    });
  }
});

/** Does what the words of a case say. */
const obedient = eventSink({
  name: "obedient",
  version: "0",
  config: schema.object({ begin: schema.optional(schema.string()), flush: schema.optional(schema.string()) }),
  open: ({ begin, flush }) => ({
    begin: () => obey(begin),
    // Half of them later than at once: what a promise is rejected with counts alike.
    process: (_, event) => (event.index % 2 === 0 ? obey(event.text()) : Promise.resolve().then(() => obey(event.text()))),
    flush: async () => obey(flush),
  }),
});

function obey(word: string | undefined): void {
  switch (word) {
    case "busy":
      throw new Transient("busy", "come again");
    case "bad":
      throw new Rejected("bad", "never");
    case "lost":
      throw new Unknown("lost", "who knows");
    case "halt":
      throw new Halted("halt", "call the operator");
    case "uncaught":
      throw new TypeError("nobody said what it means");
  }
}

describe("the event level makes the report", () => {
  for (const { name, ordered, begin, events, flush, expect } of cases<EventCase>("events.json")) {
    test(name, async () => {
      const config = { ...(begin !== null && { begin }), ...(flush !== null && { flush }) };
      const sink = await open(obedient, config);
      const outcome = await sink.writeBatch(batch(...events), { ordered });
      if (expect.failure !== null) {
        assert.deepEqual({ kind: outcome.failure?.kind, code: outcome.failure?.code }, expect.failure);
        return;
      }
      assert.equal(outcome.failure, undefined);
      const refused = [...outcome.refused].map(([event, { kind, code }]) => ({ event, kind, code }));
      assert.deepEqual(
        refused.sort((one, other) => one.event - other.event),
        expect.refused,
      );
      assert.equal(outcome.stoppedAt, expect.stopped_at ?? events.length);
    });
  }
});
