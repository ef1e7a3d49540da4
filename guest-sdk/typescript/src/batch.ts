import type { Context } from "./context.js";
import { Rejected } from "./failure.js";

/** Byte strings in Arrow's variable-size binary layout: value `i` is `bytes[offsets[i]..offsets[i + 1]]`. */
export interface ColumnData {
  readonly offsets: Uint32Array;
  readonly bytes: Uint8Array;
  /** A bitmap, least significant bit first, in which a 0 means null. Absent when nothing is null. */
  readonly validity?: Uint8Array | undefined;
}

/** The headers of all events: those of event `i` are entries `offsets[i]` to `offsets[i + 1]` of both columns. */
export interface HeadersData {
  readonly offsets: Uint32Array;
  readonly names: ColumnData;
  readonly values: ColumnData;
}

/** Where events were read: those from `runs[n].start` on in `partitions[runs[n].partition]`. */
export interface Origin {
  readonly partitions: readonly string[];
  readonly runs: ReadonlyArray<{ readonly start: number; readonly partition: number }>;
  /** Where in its partition each event was read: a Kafka offset, a byte offset, a running number. */
  readonly positions: BigUint64Array;
}

/** A batch as it crosses into the sandbox. */
export interface BatchData {
  /** One value for each event. Null is a Kafka tombstone. */
  readonly payload: ColumnData;
  /** Absent when no event has a key. */
  readonly key?: ColumnData | undefined;
  /** Event times in milliseconds since the Unix epoch. */
  readonly timestamps: BigInt64Array;
  /** Absent when no event has headers. */
  readonly headers?: HeadersData | undefined;
  readonly origin: Origin;
}

/** A column of byte strings. What it gives are views of its bytes, never copies. */
export class Column implements ColumnData {
  readonly offsets: Uint32Array;
  readonly bytes: Uint8Array;
  readonly validity: Uint8Array | undefined;

  constructor(data: ColumnData) {
    this.offsets = data.offsets;
    this.bytes = data.bytes;
    this.validity = data.validity;
  }

  get length(): number {
    return Math.max(this.offsets.length - 1, 0);
  }

  /** Value `index` as a view of the bytes, or null. */
  get(index: number): Uint8Array | null {
    const { offsets, validity } = this;
    if (!(index >= 0 && index < this.length)) throw new RangeError(`there is no value ${index} of ${this.length}`);
    if (validity !== undefined && ((validity[index >> 3]! >> (index & 7)) & 1) === 0) return null;
    return this.bytes.subarray(offsets[index], offsets[index + 1]);
  }

  *[Symbol.iterator](): Generator<Uint8Array | null, void, undefined> {
    for (let index = 0; index < this.length; index += 1) yield this.get(index);
  }
}

/** A batch of events, column by column. To iterate over it is to see its events. */
export class Batch {
  readonly payload: Column;
  readonly key: Column | undefined;
  readonly timestamps: BigInt64Array;
  readonly headers: { readonly offsets: Uint32Array; readonly names: Column; readonly values: Column } | undefined;
  readonly origin: Origin;

  constructor(data: BatchData) {
    this.payload = new Column(data.payload);
    this.key = data.key && new Column(data.key);
    this.timestamps = data.timestamps;
    this.headers = data.headers && {
      offsets: data.headers.offsets,
      names: new Column(data.headers.names),
      values: new Column(data.headers.values),
    };
    this.origin = data.origin;
  }

  get length(): number {
    return this.payload.length;
  }

  *[Symbol.iterator](): Generator<Event, void, undefined> {
    for (let index = 0; index < this.length; index += 1) yield new Event(this, index);
  }
}

// The mark at the beginning of a text is part of it.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** One event of a batch: a view, which lives as long as its batch. */
export class Event {
  /** The batch that it is of. */
  readonly batch: Batch;
  /** Its index in the batch, which a {@link Report} refers to. */
  readonly index: number;

  constructor(batch: Batch, index: number) {
    this.batch = batch;
    this.index = index;
  }

  /** The payload as a view of the batch; null for a Kafka tombstone. */
  get payload(): Uint8Array | null {
    return this.batch.payload.get(this.index);
  }

  /** The payload of an event that has to have one, as a view of the batch. A tombstone is rejected, code `no-payload`. */
  bytes(): Uint8Array {
    const { payload } = this.batch;
    // The common case, without the questions.
    if (payload.validity === undefined) {
      return payload.bytes.subarray(payload.offsets[this.index], payload.offsets[this.index + 1]);
    }
    const bytes = payload.get(this.index);
    if (bytes === null) throw new Rejected("no-payload", "the event has no payload (a tombstone)");
    return bytes;
  }

  /** The payload as text. A tombstone is rejected, code `no-payload`; what is not UTF-8 too, code `not-utf8`. */
  text(): string {
    const bytes = this.bytes();
    try {
      return utf8.decode(bytes);
    } catch (cause) {
      throw new Rejected("not-utf8", "the payload is not UTF-8", { cause });
    }
  }

  /** The payload, read as JSON. What is not JSON is rejected, code `not-json`; a tombstone, code `no-payload`. */
  json<T = unknown>(): T {
    const bytes = this.bytes();
    try {
      return JSON.parse(utf8.decode(bytes)) as T;
    } catch (cause) {
      throw new Rejected("not-json", cause instanceof SyntaxError ? cause.message : "not UTF-8", { cause });
    }
  }

  /** The key as a view of the batch, where there is one. */
  get key(): Uint8Array | null {
    return this.batch.key?.get(this.index) ?? null;
  }

  /** Event time in milliseconds since the Unix epoch: when it was read, where its source gives none. */
  get timestamp(): number {
    return Number(this.batch.timestamps[this.index]);
  }

  /** Name and value of each header, in order, as views of the batch. */
  get headers(): Array<[name: Uint8Array, value: Uint8Array | null]> {
    const { headers } = this.batch;
    const found: Array<[Uint8Array, Uint8Array | null]> = [];
    if (headers !== undefined) {
      const end = headers.offsets[this.index + 1]!;
      for (let entry = headers.offsets[this.index]!; entry < end; entry += 1) {
        found.push([headers.names.get(entry) ?? new Uint8Array(), headers.values.get(entry)]);
      }
    }
    return found;
  }

  /** The value of the first header of this name; undefined where there is none. */
  header(name: string): Uint8Array | null | undefined {
    const wanted = new TextEncoder().encode(name);
    const isIt = (bytes: Uint8Array): boolean =>
      bytes.length === wanted.length && bytes.every((byte, at) => byte === wanted[at]);
    return this.headers.find(([found]) => isIt(found))?.[1];
  }

  /** Where it was read: one partition of a Kafka topic, one file. */
  get partition(): string {
    const { partitions, runs } = this.batch.origin;
    // The last run that starts at it or before it.
    let [low, high] = [0, runs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (runs[middle]!.start <= this.index) low = middle + 1;
      else high = middle;
    }
    return partitions[runs[low - 1]!.partition]!;
  }

  /** Where in its partition: an offset, the byte at which a line starts, a running number. */
  get position(): bigint {
    return this.batch.origin.positions[this.index]!;
  }

  /** A key that only this event has in this sink, the same after every retry, replay and restart. */
  idempotencyKey(context: Context): string {
    return `${context.pipeline}/${context.sink}/${this.partition}/${this.position}`;
  }
}
