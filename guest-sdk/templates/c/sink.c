/* A sink for Sump that logs a line for each event: the place to begin.
 *
 *     [pipeline.events.sink.out]
 *     type = "wasm"
 *     path = "build/{{name}}.wasm"
 *     config = { prefix = "seen" }
 */
#include <stdio.h>
#include <sump.h>

struct config {
    const char *prefix;
};

static const sump_field fields[] = {
    SUMP_TEXT(struct config, prefix, "\"seen\"", "What each line begins with."),
    SUMP_END,
};

static int process(void *state, const sump_call *call, const sump_event *event)
{
    const struct config *config = state;
    sump_bytes object, id;
    (void)call;
    /* What is no object in JSON is rejected here, and becomes a dead letter. */
    int failed = sump_event_object(event, &object);
    if (failed) return failed;
    if (!sump_json_get(object, "id", &id)) return sump_rejected("no-id", "the event has no `id`");
    /* Standard error is the log. */
    fprintf(stderr, "%s %.*s\n", config->prefix, (int)id.len, (const char *)id.data);
    return SUMP_OK;
}

SUMP_SINK(.name = "{{name}}", .version = "0.1.0", .fields = fields, .config_size = sizeof(struct config), .process = process)
