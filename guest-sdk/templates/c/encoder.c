/* An encoder for Sump that gives each event the shape that its destination takes.
 *
 *     [pipeline.events.sink.out]
 *     type = "file"
 *     path = "out.ndjson"
 *     encoder = { type = "wasm", path = "build/{{name}}.wasm", config = { kind = "quake" } }
 */
#include <sump.h>

struct config {
    const char *kind;
};

static const sump_field fields[] = {
    SUMP_TEXT(struct config, kind, NULL, "What the events are."),
    SUMP_END,
};

static int encode(void *state, const sump_event *event, sump_buffer *value)
{
    const struct config *config = state;
    sump_bytes object, id;
    /* What is no object in JSON is rejected here, and becomes a dead letter. */
    int failed = sump_event_object(event, &object);
    if (failed) return failed;
    /* `return SUMP_LEFT_OUT` would leave the event out, on purpose. */
    if (!sump_json_get(object, "id", &id)) return sump_rejected("no-id", "the event has no `id`");
    sump_putf(value, "{\"kind\":");
    sump_put_json(value, sump_text(config->kind));
    sump_putf(value, ",\"id\":");
    sump_put(value, id.data, id.len);
    sump_putf(value, "}");
    return SUMP_OK;
}

SUMP_ENCODER(.name = "{{name}}", .version = "0.1.0", .content_type = "application/json", .fields = fields,
             .config_size = sizeof(struct config), .encode = encode)
