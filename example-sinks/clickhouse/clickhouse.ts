// Inserts events, JSON objects whose fields are columns, as rows into a table of ClickHouse: one request for each batch.
//
//     [pipeline.quakes.sink.store]
//     type = "wasm"
//     path = "clickhouse.wasm"
//     config = { url = "http://127.0.0.1:8123/", table = "quakes", settings = { input_format_skip_unknown_fields = "1" } }
//     [[pipeline.quakes.sink.store.allow.http]]
//     to = "http://127.0.0.1:8123/"
//     headers = { X-ClickHouse-User = "quakes", X-ClickHouse-Key = "${CLICKHOUSE_PASSWORD}" }

import { type Batch, batchSink, type Context, Halted, http, Rejected, Report, schema } from "sump-sdk";

const config = schema.object({
  url: schema.string({ description: "ClickHouse's HTTP interface, such as http://127.0.0.1:8123/." }),
  table: schema.string({ description: "Where the rows go, such as `quakes` or `geo.quakes`." }),
  settings: schema.record(schema.string(), { description: "ClickHouse's own settings for the insert.", default: {} }),
  deduplicate: schema.boolean({
    description: "Have ClickHouse (22.2 or newer, a MergeTree table) drop a batch that it has already.",
    default: false,
  }),
});

/** What says that rows are wrong, and that nothing can be inserted: numbers from ClickHouse's list of errors. */
const WRONG_ROWS = [6, 25, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 130, 131, 349, 376, 467];
const STANDING_STILL = [16, 36, 60, 62, 81, 115, 164, 192, 193, 194, 497, 516];

/** So many wrong rows are found one by one; a batch with more of them is left to the runtime to split. */
const MOST_WRONG = 10;

export default batchSink({
  name: "clickhouse",
  version: "0.1.0",
  config,
  stopsInOrder: true,
  open({ url, table, settings, deduplicate }) {
    const into = table.split(".").map((part) => `\`${part.replaceAll(/[\\`]/g, "\\$&")}\``);
    const query = `INSERT INTO ${into.join(".")} FORMAT JSONEachRow`;
    const target = (batchId: string): string => {
      const token = deduplicate ? { insert_deduplication_token: batchId } : {};
      const to = new URL(url);
      for (const [name, value] of Object.entries({ query, ...settings, ...token })) to.searchParams.set(name, value);
      return to.href;
    };
    try {
      target("");
    } catch (cause) {
      throw new Halted("config", `\`url\` is none: ${url}`, { cause });
    }
    return {
      write: (context, batch) => insert(target(context.batchId), context, batch),
    };
  },
});

/** An insert is taken whole or not at all, so that the rows beside a wrong one can be sent again without it. */
async function insert(url: string, context: Context, batch: Batch): Promise<Report> {
  const report = new Report();
  const rows = goodRows(batch, report);
  for (let wrong = 0; rows.length > 0; wrong += 1) {
    const response = await http.request(url, { method: "POST", body: lines(batch, rows) });
    if (response.ok) break;
    const failure = meaning(response);
    const row = /\(at row (\d+)\)/.exec(response.text());
    const event = row === null ? undefined : rows[Number(row[1]) - 1];
    if (!(failure instanceof Rejected) || event === undefined || wrong === MOST_WRONG) throw failure;
    report.refuse(event, failure);
    rows.splice(rows.indexOf(event), 1);
  }
  return report;
}

/** The indices of events that are objects; others are refused here, and cost no request. */
function goodRows(batch: Batch, report: Report): number[] {
  const rows: number[] = [];
  for (const event of batch) {
    try {
      const value = event.json();
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        throw new Rejected("wrong-shape", "the event is no object");
      }
      rows.push(event.index);
    } catch (thrown) {
      report.refuse(event.index, thrown);
    }
  }
  return rows;
}

/** The payloads of these events, as they are, each with the end of a line behind it. */
function lines(batch: Batch, rows: readonly number[]): Uint8Array {
  const payloads = rows.map((row) => batch.payload.get(row) ?? new Uint8Array());
  const body = new Uint8Array(payloads.reduce((size, payload) => size + payload.length + 1, 0));
  let at = 0;
  for (const payload of payloads) {
    body.set(payload, at);
    at += payload.length;
    body[at] = 0x0a;
    at += 1;
  }
  return body;
}

/** ClickHouse answers most errors with status 500, and says in the answer which one it is. */
function meaning(response: http.HttpResponse): unknown {
  const text = response.text().trim();
  const code = Number(response.headers.get("x-clickhouse-exception-code") ?? /^Code: (\d+)/.exec(text)?.[1]);
  if (WRONG_ROWS.includes(code)) return new Rejected(`clickhouse-${code}`, text.slice(0, 500));
  if (STANDING_STILL.includes(code)) return new Halted(`clickhouse-${code}`, text.slice(0, 500));
  try {
    http.check(response);
  } catch (thrown) {
    return thrown;
  }
  return undefined;
}
