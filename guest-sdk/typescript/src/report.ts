import { type Failure, failureOf, Transient } from "./failure.js";

/** What became of a batch: an event that is neither refused nor past the stop is written. */
export class Report {
  readonly #groups = new Map<string, { failure: Failure; events: number[] }>();
  #stoppedAt: number | undefined;

  /**
   * Event `index` failed. Events that failed alike are reported together.
   *
   * `Halted` is about the sink and is to be thrown: for one event the runtime takes it as rejected.
   */
  refuse(index: number, thrown: unknown): void {
    const failure = failureOf(thrown);
    const after = failure instanceof Transient ? failure.afterMs : undefined;
    const alike = JSON.stringify([failure.kind, failure.code, failure.message, after]);
    const group = this.#groups.get(alike);
    if (group === undefined) this.#groups.set(alike, { failure, events: [index] });
    else group.events.push(index);
  }

  /** Events from `index` on were not tried. They come again, in order, at no cost in attempts. */
  stopAt(index: number): void {
    this.#stoppedAt = index;
  }

  /** The first event that was not tried; undefined when all were. */
  get stoppedAt(): number | undefined {
    return this.#stoppedAt;
  }

  /** Each failure with the events that it befell. */
  get refused(): ReadonlyArray<{ readonly failure: Failure; readonly events: readonly number[] }> {
    return [...this.#groups.values()];
  }
}
