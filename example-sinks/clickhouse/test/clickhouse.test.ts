// The requests, and what answers of ClickHouse mean.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Halted, http, Rejected, Transient } from "sump-sdk";
import { FakeHttp, open } from "sump-sdk/testing";

import clickhouse from "../clickhouse.js";

const config = { url: "http://127.0.0.1:8123/?a=b", table: "geo.qua`kes", settings: { max_threads: "1" } };

test("a batch is one insert of its payloads as they are", async () => {
  const fake = new FakeHttp();
  const sink = await open(clickhouse, { ...config, deduplicate: true }, { http: fake });
  (await sink.write('{"id": 1.0}', '{"id":2}')).assertWritten();
  const [request, more] = fake.requests;
  assert(request !== undefined && more === undefined);
  assert.equal(request.text(), '{"id": 1.0}\n{"id":2}\n');
  assert.deepEqual(Object.fromEntries(new URL(request.url).searchParams), {
    a: "b",
    query: "INSERT INTO `geo`.`qua\\`kes` FORMAT JSONEachRow",
    max_threads: "1",
    insert_deduplication_token: sink.context.batchId,
  });
});

test("a row that is wrong is refused, and the others are sent again without it", async () => {
  const wrong = (request: http.HttpRequest) => {
    const row = request.text().split("\n").findIndex((line) => line.includes("strong"));
    if (row < 0) return 200;
    return new http.HttpResponse(500, { body: `Code: 27. DB::Exception: Cannot parse input: (at row ${row + 1})` });
  };
  const fake = new FakeHttp(wrong);
  const sink = await open(clickhouse, config, { http: fake });
  const outcome = await sink.write("no json", '{"m":1}', '{"m":"strong"}', "[]", '{"m":2}', '{"m":"strong"}', null);
  const codes = ["not-json", "clickhouse-27", "wrong-shape", "clickhouse-27", "no-payload"];
  [0, 2, 3, 5, 6].forEach((event, index) => outcome.assertRefused(event, Rejected, codes[index]!));
  assert.deepEqual([outcome.written, fake.requests.length], [[1, 4], 3]);
  assert.equal(fake.requests[2]!.text(), '{"m":1}\n{"m":2}\n');
});

test("where nearly every row is wrong the runtime is to split the batch", async () => {
  const fake = new FakeHttp(new http.HttpResponse(500, { body: "Code: 27. DB::Exception: no (at row 1)" }));
  const sink = await open(clickhouse, config, { http: fake });
  (await sink.write(...Array.from({ length: 100 }, () => "{}"))).assertFailed(Rejected, "clickhouse-27");
  assert.equal(fake.requests.length, 11);
});

test("what else is wrong is about the batch", async () => {
  const answers = [
    { status: 404, body: "Code: 60. DB::Exception: Table default.quakes doesn't exist.", kind: Halted, code: "clickhouse-60" },
    { status: 401, body: "Code: 193. DB::Exception: Wrong password for user default", kind: Halted, code: "clickhouse-193" },
    { status: 500, body: "Code: 202. DB::Exception: Too many simultaneous queries.", kind: Transient, code: "http-500" },
    { status: 400, body: "", kind: Rejected, code: "http-400" },
  ];
  for (const { status, body, kind, code } of answers) {
    const sink = await open(clickhouse, config, { http: new FakeHttp(new http.HttpResponse(status, { body })) });
    (await sink.write("{}")).assertFailed(kind, code);
  }
});

test("without a row nothing is sent", async () => {
  const fake = new FakeHttp();
  const sink = await open(clickhouse, config, { http: fake });
  assert.equal((await sink.write("no json")).refused.size, 1);
  assert.equal((await sink.write()).refused.size, 0);
  assert.equal(fake.requests.length, 0);
});

test("a URL that is none is told at once", async () => {
  await assert.rejects(open(clickhouse, { ...config, url: "nowhere" }), Halted);
});
