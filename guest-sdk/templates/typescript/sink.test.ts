// The sink, run natively.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Rejected } from "sump-sdk";
import { open } from "sump-sdk/testing";

import sink from "../src/sink.js";

test("an event with an id is written", async () => {
  const opened = await open(sink, { prefix: "quake" });
  (await opened.write('{"id": 1}', '{"id": "b"}')).assertWritten();
});

test("what has no id is rejected alone", async () => {
  const opened = await open(sink);
  const outcome = await opened.write('{"id": 1}', "no json", "{}", null);
  ["not-json", "no-id", "no-payload"].forEach((code, index) => outcome.assertRefused(index + 1, Rejected, code));
  assert.deepEqual(outcome.written, [0]);
});
