import type { Batch, Event } from "./batch.js";
import type { Context, Opening } from "./context.js";
import { Halted } from "./failure.js";
import * as level from "./level.js";
import { Report } from "./report.js";
import { Misfit, object, type Schema } from "./schema.js";

/**
 * Takes one event at a time. From what it throws the SDK makes the report of the batch:
 *
 * - A failure refuses its event alone, whatever its kind, but for these two:
 * - In order (`context.ordered`) the first event that is neither written nor rejected ends the batch. What follows
 *   comes again, in order.
 * - A `Halted` ends the batch in any case. What was written stays written and the rest comes again, so that no event
 *   becomes a dead letter for it; when nothing was written, the halt is the outcome of the batch.
 */
export interface EventSink {
  /** Called before the first event of each batch. What it throws is about the whole batch. */
  begin?(context: Context): void | Promise<void>;
  /** Writes an event, or keeps it for `flush`. The next event comes when it is done. */
  process(context: Context, event: Event): void | Promise<void>;
  /** Called behind the last event of each batch. What it throws befalls all events that `process` took. */
  flush?(context: Context): void | Promise<void>;
  /** The last call, when the instance is no longer needed. */
  close?(): void | Promise<void>;
}

/**
 * Takes whole batches. What it throws is about all events of the batch, none of which is known to be written; what
 * became of single events is in the report.
 */
export interface BatchSink {
  /** Writes a batch. Without a report everything is written. */
  write(context: Context, batch: Batch): Report | void | Promise<Report | void>;
  /** The last call, when the instance is no longer needed. */
  close?(): void | Promise<void>;
}

/** What every sink says about itself. */
export interface About {
  /** One word. */
  readonly name: string;
  readonly version: string;
  /** Never take more than so many events in one call. */
  readonly maxEvents?: number | undefined;
  /** Never take more than so many bytes of payload in one call. */
  readonly maxBytes?: number | undefined;
}

/** A configuration without anything in it. */
export type NoConfig = Record<string, never>;

/** A sink that takes one event at a time, as {@link eventSink} is told of it. */
export interface EventSinkOptions<C> extends About {
  /** What its configuration is: see `schema`. Without one it has to be empty. */
  readonly config?: Schema<C> | undefined;
  /** Makes an instance. Called once for each, before any write. */
  open(config: C, opening: Opening): EventSink | Promise<EventSink>;
}

/** A sink that takes whole batches, as {@link batchSink} is told of it. */
export interface BatchSinkOptions<C> extends About {
  /** What its configuration is: see `schema`. Without one it has to be empty. */
  readonly config?: Schema<C> | undefined;
  /**
   * It keeps the order: where `context.ordered` is set, it stops at the first event that is neither written nor
   * rejected, see `Report.stopAt`.
   */
  readonly stopsInOrder?: boolean | undefined;
  /** Makes an instance. Called once for each, before any write. */
  open(config: C, opening: Opening): BatchSink | Promise<BatchSink>;
}

/** An opened sink, which takes batches whatever its level is. */
export interface Instance {
  write(context: Context, batch: Batch): Promise<Report>;
  close(): Promise<void>;
}

/** A sink as a module's default export gives it to `sump build`, and a test to `open` of `sump-sdk/testing`. */
export interface SinkDefinition {
  readonly about: About & { readonly stopsInOrder: boolean };
  readonly config: Schema<unknown>;
  /** Reads a configuration, and opens an instance with it. */
  open(config: unknown, opening: Opening): Promise<Instance>;
}

/** Defines a sink that takes one event at a time. */
export function eventSink<C = NoConfig>(options: EventSinkOptions<C>): SinkDefinition {
  return define(options, true, async (config, opening) => {
    const sink = await options.open(config, opening);
    return {
      write: (context, batch) => level.write(sink, context, batch),
      close: async () => sink.close?.(),
    };
  });
}

/** Defines a sink that takes whole batches. */
export function batchSink<C = NoConfig>(options: BatchSinkOptions<C>): SinkDefinition {
  return define(options, options.stopsInOrder ?? false, async (config, opening) => {
    const sink = await options.open(config, opening);
    return {
      write: async (context, batch) => (await sink.write(context, batch)) ?? new Report(),
      close: async () => sink.close?.(),
    };
  });
}

function define<C>(
  options: About & { readonly config?: Schema<C> | undefined },
  stopsInOrder: boolean,
  open: (config: C, opening: Opening) => Promise<Instance>,
): SinkDefinition {
  const { name, version, maxEvents, maxBytes } = options;
  if (!/^\S+$/u.test(name)) throw new TypeError(`a sink's name is one word, not ${JSON.stringify(name)}`);
  const config = options.config ?? (object({}) as Schema<unknown> as Schema<C>);
  return {
    about: { name, version, maxEvents, maxBytes, stopsInOrder },
    config,
    open: async (given, opening) => open(read(config, given), opening),
  };
}

/** One that does not fit can't be met by trying again. */
function read<C>(config: Schema<C>, given: unknown): C {
  try {
    return config.read(given, "the configuration");
  } catch (thrown) {
    throw thrown instanceof Misfit ? new Halted("config", thrown.message, { cause: thrown }) : thrown;
  }
}
