// A sink for Sump that logs a line for each event: the place to begin.
//
//     [pipeline.events.sink.out]
//     type = "wasm"
//     path = "build/{{name}}.wasm"
//     config = { prefix = "seen" }

import { eventSink, Rejected, schema } from "sump-sdk";

const config = schema.object({
  prefix: schema.string({ description: "What each line begins with.", default: "seen" }),
});

export default eventSink({
  name: "{{name}}",
  version: "0.1.0",
  config,
  open: ({ prefix }) => ({
    process(context, event) {
      // What is not JSON is rejected here, and becomes a dead letter.
      const item = event.json<{ id?: unknown } | null>();
      if (item?.id === undefined) throw new Rejected("no-id", "the event has no `id`");
      console.log(`${prefix} ${JSON.stringify(item.id)}`);
    },
  }),
});
