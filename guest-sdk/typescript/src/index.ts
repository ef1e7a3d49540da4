/**
 * Write sinks for Sump in TypeScript. The default export of a module is the sink, which the runtime runs as a
 * WebAssembly component, in a sandbox:
 *
 * ```ts
 * import { eventSink, schema } from "sump-sdk";
 *
 * export default eventSink({
 *   name: "greeter",
 *   version: "0.1.0",
 *   config: schema.object({ greeting: schema.string({ default: "Hello" }) }),
 *   open: ({ greeting }) => ({
 *     process(context, event) {
 *       console.log(`${greeting}, ${event.text()}`);
 *     },
 *   }),
 * });
 * ```
 *
 * A sink never sleeps, retries or acknowledges: it says by what it throws what a failure means, and the runtime acts.
 * `http` sends requests; `sump-sdk/testing` runs a sink in Node's test runner.
 *
 * @module
 */

export {
  Batch,
  type BatchData,
  Column,
  type ColumnData,
  Event,
  type HeadersData,
  type Origin,
} from "./batch.js";
export type { Context, Opening } from "./context.js";
export { Failure, type FailureKind, Halted, Rejected, Transient, Unknown } from "./failure.js";
export * as http from "./http.js";
export { Report } from "./report.js";
export * as schema from "./schema.js";
export {
  type About,
  type BatchSink,
  type BatchSinkOptions,
  batchSink,
  type EventSink,
  type EventSinkOptions,
  eventSink,
  type NoConfig,
  type SinkDefinition,
} from "./sink.js";
