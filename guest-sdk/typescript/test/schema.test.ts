// Configurations, and what an opening that fails says.

import assert from "node:assert/strict";
import { test } from "node:test";

import { batchSink, eventSink, Halted, schema, Unknown } from "sump-sdk";
import { open } from "sump-sdk/testing";

const config = schema.object({
  url: schema.string({ description: "Where to." }),
  mode: schema.oneOf(["fast", "safe"], { default: "safe" }),
  retries: schema.integer({ default: 3 }),
  parts: schema.list(schema.object({ size: schema.number() }), { default: [] }),
  labels: schema.record(schema.string(), { default: {} }),
  note: schema.optional(schema.string()),
  raw: schema.optional(schema.any()),
  loud: schema.boolean({ default: false }),
});
type Config = schema.Infer<typeof config>;

let seen: Config | undefined;
const configured = batchSink({
  name: "configured",
  version: "1.0.0",
  config,
  open(given) {
    if (given.url === "boom") throw new RangeError("boom");
    seen = given;
    return { write() {} };
  },
});

test("the schema is that of the fields", () => {
  assert.deepEqual(configured.config.json, {
    type: "object",
    properties: {
      url: { type: "string", description: "Where to." },
      mode: { enum: ["fast", "safe"], default: "safe" },
      retries: { type: "integer", default: 3 },
      parts: {
        type: "array",
        items: {
          type: "object",
          properties: { size: { type: "number" } },
          additionalProperties: false,
          required: ["size"],
        },
        default: [],
      },
      labels: { type: "object", additionalProperties: { type: "string" }, default: {} },
      note: { type: "string" },
      raw: {},
      loud: { type: "boolean", default: false },
    },
    additionalProperties: false,
    required: ["url"],
  });
});

test("a configuration is of its type, with what it leaves out", async () => {
  const sink = await open(configured, { url: "u", parts: [{ size: 2 }], labels: { a: "b" }, raw: [null] });
  // The compiler holds it to the type, the test to the value.
  const want: Config = {
    url: "u",
    mode: "safe",
    retries: 3,
    parts: [{ size: 2 }],
    labels: { a: "b" },
    note: undefined,
    raw: [null],
    loud: false,
  };
  assert.deepEqual(seen, want);
  (await sink.write("x")).assertWritten();
});

const misfits: Array<[object, string]> = [
  [{}, "`url` is missing in the configuration"],
  [{ url: 1 }, "`url` is no string"],
  [{ url: "u", retries: 1.5 }, "`retries` is no integer"],
  [{ url: "u", retrys: 1 }, "`retrys` is unknown in the configuration"],
  [{ url: "u", toString: 1 }, "`toString` is unknown in the configuration"],
  [{ url: "u", mode: "slow" }, '`mode` is one of "fast", "safe"'],
  [{ url: "u", parts: [{ size: "x" }] }, "`size` is no number"],
  [{ url: "u", parts: 1 }, "`parts` is no list"],
  [{ url: "u", labels: { a: 1 } }, "`labels`.a is no string"],
  [{ url: "u", loud: "yes" }, "`loud` is no boolean"],
];
for (const [given, message] of misfits) {
  test(`one that does not fit halts the sink: ${message}`, async () => {
    await assert.rejects(open(configured, given as Record<string, unknown>), (thrown) => {
      assert(thrown instanceof Halted);
      assert.deepEqual([thrown.code, thrown.message], ["config", message]);
      return true;
    });
  });
}

test("an opening that throws what nobody meant is unknown", async () => {
  await assert.rejects(open(configured, { url: "boom" }), (thrown) => {
    assert(thrown instanceof Unknown && thrown.cause instanceof RangeError);
    assert.deepEqual([thrown.code, thrown.message], ["uncaught", "RangeError: boom"]);
    return true;
  });
});

test("without a schema a configuration is empty", async () => {
  const bare = eventSink({ name: "bare", version: "0", open: () => ({ process() {} }) });
  assert.equal((await (await open(bare)).write("x", null)).written.length, 2);
  await assert.rejects(open(bare, { a: 1 }), /`a` is unknown/);
});

test("a name is one word", () => {
  assert.throws(() => eventSink({ name: "two words", version: "0", open: () => ({ process() {} }) }), /one word/);
});
