/**
 * What a component exports: `sump build` calls {@link component} with the default export of a project's module.
 *
 * @module
 */

import { Batch, type BatchData } from "./batch.js";
import type { Context, Opening } from "./context.js";
import { caught, type Failure, Transient, Unknown } from "./failure.js";
import type { Report } from "./report.js";
import type { Instance, SinkDefinition } from "./sink.js";
import { send } from "./transport.js";
import { wire } from "./wire.js";

interface LoweredFailure {
  kind: { tag: "transient"; val: number | undefined } | { tag: "rejected" | "unknown" | "halted" };
  code: string;
  message: string;
}

interface LoweredReport {
  refused: Array<{ events: Uint32Array; failure: LoweredFailure }>;
  stoppedAt: number | undefined;
}

type Answer<T> = { tag: "ok"; val: T } | { tag: "err"; val: LoweredFailure };

/** The contract's interface `sink`. */
export interface ContractSink {
  describe(): object;
  open(opening: Opening & { readonly config: string }): Promise<Answer<undefined>>;
  write(batch: BatchData, context: Context): Promise<Answer<LoweredReport>>;
  close(): Promise<Answer<undefined>>;
}

/** Makes the exports of a component. */
export function component(definition: SinkDefinition): ContractSink {
  let opened: Instance | undefined;
  wire.send = send;
  logByLevel();
  return {
    describe() {
      return { ...definition.about, configSchema: JSON.stringify(definition.config.json) };
    },
    open: ({ config, pipeline, sink, instance }) =>
      answer(async () => {
        opened = await definition.open(JSON.parse(config), { pipeline, sink, instance });
        return undefined;
      }),
    write: (batch, context) =>
      answer(async () => {
        if (opened === undefined) {
          throw new Unknown("not-open", "the runtime wrote to an instance that it had not opened");
        }
        wire.deadline = performance.now() + context.timeoutMs * 0.9;
        return lowerReport(await opened.write(context, new Batch(batch)));
      }),
    close: () =>
      answer(async () => {
        const closing = opened;
        opened = undefined;
        wire.deadline = undefined;
        await closing?.close();
        return undefined;
      }),
  };
}

/** Nothing that is thrown gets out: it would be a trap, which costs the instance its life. */
async function answer<T>(run: () => Promise<T>): Promise<Answer<T>> {
  try {
    return { tag: "ok", val: await run() };
  } catch (thrown) {
    return { tag: "err", val: lower(caught(thrown)) };
  }
}

function lowerReport(report: Report): LoweredReport {
  const refused = report.refused.map(({ failure, events }) => ({
    events: Uint32Array.from(events),
    failure: lower(failure),
  }));
  return { refused, stoppedAt: report.stoppedAt };
}

/** The longest pause that the contract can tell, in milliseconds. */
const LONGEST = 2 ** 32 - 1;

function lower(failure: Failure): LoweredFailure {
  const { kind, code, message } = failure;
  if (failure instanceof Transient) {
    const after = failure.afterMs;
    const val = after === undefined ? undefined : Math.min(Math.max(Math.ceil(after), 0), LONGEST);
    return { kind: { tag: "transient", val }, code, message };
  }
  return { kind: { tag: kind } as LoweredFailure["kind"], code, message };
}

/** Lines of the log say how they were meant, and errors where they arose, which the engine's own console does not. */
function logByLevel(): void {
  for (const level of ["debug", "warn", "error"] as const) {
    const log = console[level].bind(console);
    console[level] = (...given: unknown[]) => log(level.toUpperCase(), ...given.map(told));
  }
}

function told(given: unknown): unknown {
  if (!(given instanceof Error)) return given;
  const stack = given.stack === undefined || given.stack === "" ? "" : `\n${given.stack.trimEnd()}`;
  const cause = given.cause === undefined ? "" : `\ncaused by ${String(told(given.cause))}`;
  return `${String(given)}${stack}${cause}`;
}
