// What answers mean.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { batchSink, Halted, http, Rejected, schema, Transient, Unknown } from "sump-sdk";
import { FakeHttp, type Kind, open } from "sump-sdk/testing";

const options = schema.any() as schema.Schema<http.RequestOptions>;

/** Sends what its configuration says. */
const sender = batchSink({
  name: "sender",
  version: "0",
  config: schema.object({ url: schema.string({ default: "http://a/" }), options: schema.optional(options) }),
  open: (config) => ({
    async write() {
      await http.send(config.url, config.options);
    },
  }),
});

async function sent(fake: FakeHttp, given?: http.RequestOptions) {
  return (await open(sender, given && { options: given }, { http: fake })).write("x");
}

test("success is written", async () => {
  for (const status of [200, 204, 299]) (await sent(new FakeHttp(status))).assertWritten();
});

const kinds: Array<[Kind, number[]]> = [
  [Transient, [408, 425, 429, 500, 503, 599]],
  [Rejected, [501, 505, 301, 400, 404, 413, 600]],
  [Halted, [401, 403, 407]],
];
for (const [kind, statuses] of kinds) {
  for (const status of statuses) {
    test(`${status} is ${kind.name}`, async () => {
      const outcome = await sent(new FakeHttp(new http.HttpResponse(status, { body: " no \n" })));
      outcome.assertFailed(kind, `http-${status}`);
      assert.equal(outcome.failure?.message, `status ${status}: no`);
    });
  }
}

describe("the pause is read in both forms", () => {
  const soon = new Date(Date.now() + 60_000).toUTCString();
  const pauses: Array<[string, number | undefined, number | undefined]> = [
    ["7", 7000, 7000],
    [soon, 1, 60_000],
    [new Date(0).toUTCString(), 0, 0],
    ["soon", undefined, undefined],
  ];
  for (const [value, least, most] of pauses) {
    test(value, async () => {
      const { failure } = await sent(new FakeHttp(new http.HttpResponse(503, { headers: { "Retry-After": value } })));
      assert(failure instanceof Transient);
      if (least === undefined || most === undefined) assert.equal(failure.afterMs, undefined);
      else assert(failure.afterMs !== undefined && failure.afterMs >= least && failure.afterMs <= most);
    });
  }
});

test("a value is sent as JSON", async () => {
  const fake = new FakeHttp(204);
  (await sent(fake, { json: { a: "ü" }, headers: { "X-A": "b" } })).assertWritten();
  const [request] = fake.requests;
  assert(request !== undefined);
  assert.deepEqual([request.method, request.url, request.json()], ["POST", "http://a/", { a: "ü" }]);
  assert.deepEqual([request.headers.get("content-type"), request.headers.get("x-a")], ["application/json", "b"]);
});

test("bytes are sent as they are, and without them it is a GET", async () => {
  const fake = new FakeHttp((request) => (request.body.length === 0 ? 204 : new Unknown("http-no-answer", "lost")));
  (await sent(fake, { method: "put", body: Uint8Array.of(0, 255) })).assertFailed(Unknown, "http-no-answer");
  (await sent(fake)).assertWritten();
  assert.deepEqual(
    fake.requests.map(({ method, body }) => [method, [...body]]),
    [
      ["PUT", [0, 255]],
      ["GET", []],
    ],
  );
});

test("headers that can't be sent are rejected", async () => {
  (await sent(new FakeHttp(), { headers: { "no name": "x" } })).assertFailed(Rejected, "http-invalid");
});

test("nothing is sent where nobody answers", async () => {
  await assert.rejects(http.request("http://a/"), /FakeHttp/);
  const outcome = await (await open(sender)).write("x");
  outcome.assertFailed(Unknown, "uncaught");
  assert.match(outcome.failure?.message ?? "", /FakeHttp/);
});

test("tests side by side have their own answers", async () => {
  const fakes = [new FakeHttp(204), new FakeHttp(400)];
  const outcomes = await Promise.all(fakes.map((fake) => sent(fake)));
  assert.deepEqual(
    outcomes.map(({ written }) => written.length),
    [1, 0],
  );
  assert.deepEqual(
    fakes.map(({ requests }) => requests.length),
    [1, 1],
  );
});
