/** The four kinds of failures that the runtime acts on. */
export type FailureKind = "transient" | "rejected" | "unknown" | "halted";

/**
 * Why an event, a batch or an opening failed: throw one of {@link Transient}, {@link Rejected}, {@link Unknown} and
 * {@link Halted}.
 *
 * Whatever else is thrown is *unknown*, code `uncaught`, because nobody said what it means for the events. Say it where
 * it arises:
 *
 * ```ts
 * if (Number.isNaN(count)) throw new Rejected("not-a-number", `${text} is no count`);
 * ```
 */
export abstract class Failure extends Error {
  abstract readonly kind: FailureKind;
  /** A short, stable identifier such as `too-large`. */
  readonly code: string;

  /** `message` is for people; `cause` is what it arose from. */
  constructor(code: string, message = "", options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }

  override toString(): string {
    return `${this.kind} (${this.code}): ${this.message}`;
  }
}

/** Not written, worth trying again. */
export class Transient extends Failure {
  readonly kind = "transient";
  /** The destination asked for a pause of so many milliseconds. */
  readonly afterMs: number | undefined;

  constructor(code: string, message?: string, options?: ErrorOptions & { afterMs?: number | undefined }) {
    super(code, message, options);
    this.afterMs = options?.afterMs;
  }
}

/** Not written, and never will be: the events become dead letters. */
export class Rejected extends Failure {
  readonly kind = "rejected";
}

/** Perhaps written: it was sent, and the answer was lost. Tried again, a bounded number of times. */
export class Unknown extends Failure {
  readonly kind = "unknown";
}

/** Nothing can be written until an operator acts: credentials refused, a table missing. The sink pauses. */
export class Halted extends Failure {
  readonly kind = "halted";
}

/** The failure that something thrown is. */
export function failureOf(thrown: unknown): Failure {
  return thrown instanceof Failure ? thrown : new Unknown("uncaught", String(thrown), { cause: thrown });
}

/** The same, where nobody may have meant it: then it goes to the log, with its stack. */
export function caught(thrown: unknown): Failure {
  if (!(thrown instanceof Failure)) console.error("uncaught:", thrown);
  return failureOf(thrown);
}
