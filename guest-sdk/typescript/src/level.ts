import { type Batch, Event } from "./batch.js";
import type { Context } from "./context.js";
import { caught, type Failure, Halted, Rejected } from "./failure.js";
import { Report } from "./report.js";
import type { EventSink } from "./sink.js";

/** Writes a batch event by event, and makes its report from what becomes of them. */
export async function write(sink: EventSink, context: Context, batch: Batch): Promise<Report> {
  await sink.begin?.(context);
  const report = new Report();
  const failed = new Set<number>();
  const events = batch.length;
  let halt: Halted | undefined;
  let tried = 0;
  while (tried < events) {
    const index = tried;
    tried += 1;
    try {
      // To wait for what is done already would cost more than most events do.
      const pending = sink.process(context, new Event(batch, index));
      if (pending !== undefined) await pending;
    } catch (thrown) {
      const failure = caught(thrown);
      failed.add(index);
      if (failure instanceof Halted) {
        halt = failure;
        break;
      }
      report.refuse(index, failure);
      if (context.ordered && !(failure instanceof Rejected)) break;
    }
  }
  const flushed = await failureOfFlush(sink, context);
  if (halt !== undefined && tried === failed.size) throw halt;
  // The sink stands still, and nothing that it took is written.
  if (flushed instanceof Halted) throw flushed;
  for (let index = 0; flushed !== undefined && index < tried; index += 1) {
    if (!failed.has(index)) report.refuse(index, flushed);
  }
  // A halt says nothing about its event, which counts as not tried: it comes again, and then as the first one the halt
  // is about the whole batch.
  const stop = halt === undefined ? tried : tried - 1;
  if (stop < events) report.stopAt(stop);
  return report;
}

async function failureOfFlush(sink: EventSink, context: Context): Promise<Failure | undefined> {
  try {
    await sink.flush?.(context);
    return undefined;
  } catch (thrown) {
    return caught(thrown);
  }
}
