/** For whom an instance is opened. */
export interface Opening {
  readonly pipeline: string;
  readonly sink: string;
  /** Which of the sink's instances, from 0; one that replaces another takes its number over. */
  readonly instance: number;
}

/** The circumstances of one write. */
export interface Context {
  readonly pipeline: string;
  readonly sink: string;
  /** The same for every attempt at exactly these events, and for no others: an idempotency key. */
  readonly batchId: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** The call is abandoned, and the instance with it, after so many milliseconds. */
  readonly timeoutMs: number;
  /** Order was promised. The event level keeps it; a batch sink with `stopsInOrder` has to. */
  readonly ordered: boolean;
  /** W3C trace context to pass on. */
  readonly traceparent?: string | undefined;
}
