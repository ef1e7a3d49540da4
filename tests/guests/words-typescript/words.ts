// Words does what the payloads of its events say. One such guest in every language is held to the same list.

import { type Event, eventSink, Halted, Rejected, schema, Transient, Unknown } from "sump-sdk";

const word = schema.optional(schema.string());
const config = schema.object({
  begin: word,
  flush: word,
  open: word,
  echo: schema.boolean({ description: "Reject each event with what it is as the message.", default: false }),
});

const kept: Uint8Array[] = [];

export default eventSink({
  name: "words",
  version: "0.1.0",
  config,
  open({ begin, flush, open, echo }) {
    obey(open);
    return {
      begin: () => obey(begin),
      process(_, event) {
        if (echo) throw new Rejected("echo", told(event));
        obey(event.text());
      },
      flush: async () => obey(flush),
    };
  },
});

function obey(word: string | undefined): void {
  switch (word) {
    case "busy":
      throw new Transient("busy", "come again");
    case "bad":
      throw new Rejected("bad", "never");
    case "lost":
      throw new Unknown("lost", "who knows");
    case "halt":
      throw new Halted("halt", "call the operator");
    case "uncaught":
      throw new TypeError("nobody said what it means");
    case "print":
      console.info("a word:", word);
      break;
    case "exit":
      throw new Error("nothing in the language ends the program");
    case "spin":
      for (;;);
    case "eat":
      for (;;) kept.push(new Uint8Array(1 << 20));
    case "work":
      work();
  }
}

/** Fills memory and gives it back: what another who thought it his would spoil. */
function work(): void {
  for (let count = 0; count < 32; count += 1) {
    kept.push(new Uint8Array(1 << 20));
    console.error("kept", kept.length);
  }
  for (const bytes of kept) {
    // The engine interprets: to look at every byte takes seconds.
    for (let at = 0; at < bytes.length; at += 64) {
      if (bytes[at] !== 0) throw new Unknown("spoilt", "memory that nobody wrote to has something in it");
    }
  }
  kept.length = 0;
}

/** What an event is: bytes in hexadecimal, `-` for what is absent. */
function told(event: Event): string {
  const headers = event.headers.map(([name, value]) => `${hex(name)}:${hex(value)}`).join(",");
  const what = `payload=${hex(event.payload)} key=${hex(event.key)} time=${event.timestamp} headers=${headers}`;
  return `${what} at=${event.partition}/${event.position}`;
}

function hex(bytes: Uint8Array | null): string {
  return bytes === null ? "-" : Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
