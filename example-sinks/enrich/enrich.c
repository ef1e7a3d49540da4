/* Enrich adds to each event, an object in JSON, what the event does not say itself: a member that the configuration gives, and
 * where and when the event was read. What an event says already stays as it is.
 *
 *     [pipeline.quakes.sink.archive]
 *     type = "file"
 *     path = "archive.ndjson"
 *     encoder = { type = "wasm", path = "enrich.wasm", config = { name = "site", value = "zurich" } }
 */
#include <sump.h>

struct config {
    const char *name, *value, *origin;
};

static const sump_field fields[] = {
    SUMP_TEXT(struct config, name, "null", "The name of a member that every event gets."),
    SUMP_TEXT(struct config, value, "\"\"", "Its value, a text."),
    SUMP_TEXT(struct config, origin, "\"_origin\"", "The name of the member with partition, position and time."),
    SUMP_END,
};

static int open_enrich(void *config, const sump_opening *opening, void **state)
{
    const struct config *given = config;
    (void)opening, (void)state;
    if (!given->name && *given->value) return sump_halted("config", "`value` needs a `name`");
    return SUMP_OK;
}

/* Puts the name of a member, where the event has none of this name. */
static bool put_name(sump_buffer *value, sump_bytes object, const char *name)
{
    sump_bytes own;
    if (!name || sump_json_get(object, name, &own)) return false;
    sump_put(value, ",", 1);
    sump_put_json(value, sump_text(name));
    sump_put(value, ":", 1);
    return true;
}

static int encode(void *state, const sump_event *event, sump_buffer *value)
{
    const struct config *config = state;
    sump_bytes object;
    int failed = sump_event_object(event, &object);
    if (failed) return failed;
    /* All but the brace at its end; what is added goes behind. */
    size_t before = value->len;
    sump_put(value, object.data, object.len - 1);
    size_t own = value->len;
    if (put_name(value, object, config->name)) sump_put_json(value, sump_text(config->value));
    if (put_name(value, object, config->origin)) {
        sump_putf(value, "{\"partition\":");
        sump_put_json(value, sump_event_partition(event));
        sump_putf(value, ",\"position\":%llu,\"time\":%lld}", (unsigned long long)sump_event_position(event),
                  (long long)sump_event_time(event));
    }
    /* No comma behind a brace that nothing follows. */
    bool is_empty = true;
    for (size_t i = before + 1; is_empty && i < own; i++) is_empty = value->data[i] <= ' ';
    if (is_empty && value->len > own) value->data[own] = ' ';
    sump_put(value, "}", 1);
    return SUMP_OK;
}

SUMP_ENCODER(.name = "enrich", .version = "0.1.0", .content_type = "application/json", .fields = fields,
             .config_size = sizeof(struct config), .open = open_enrich, .encode = encode)
