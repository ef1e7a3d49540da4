/* The exports of the contract, and what they take and give, laid out as the canonical ABI of the component model says. */
#ifdef __wasm__

#include <stdlib.h>
#include <string.h>

#include "internal.h"

typedef struct list {
    const void *at;
    uint32_t len;
} list;

typedef struct option_list {
    uint8_t some;
    list list;
} option_list;

typedef struct option_u32 {
    uint8_t some;
    uint32_t value;
} option_u32;

typedef struct column {
    list offsets, bytes;
    option_list validity;
} column;

typedef struct option_column {
    uint8_t some;
    column column;
} option_column;

typedef struct option_headers {
    uint8_t some;
    list offsets;
    column names, values;
} option_headers;

typedef struct given_batch {
    column payload;
    option_column key;
    list timestamps;
    option_headers headers;
    list partitions, runs, positions;
} given_batch;

typedef struct given_write {
    given_batch batch;
    list pipeline, sink, batch_id;
    uint32_t attempt, timeout_ms;
    uint8_t ordered;
    option_list traceparent;
} given_write;

typedef struct description {
    list name, version;
    option_list config_schema;
    option_u32 max_events, max_bytes;
    uint8_t stops_in_order;
    option_list content_type;
} description;

typedef struct failure {
    uint8_t kind;
    option_u32 after;
    list code, message;
} failure;

typedef struct refusal {
    list events;
    failure failure;
} refusal;

typedef struct unit {
    uint8_t failed;
    failure failure;
} unit;

/* The result of write where it succeeds; where it fails, that is a unit. Both have the same size. */
typedef struct written {
    uint8_t failed;
    list refused;
    option_u32 stopped_at;
    uint8_t rest[12];
} written;

typedef struct encoded {
    uint8_t failed;
    column payload;
    option_column key;
    option_list timestamps;
    option_headers headers;
    struct {
        uint8_t some;
        list offsets, events;
    } sources;
    list refused;
} encoded;

_Static_assert(sizeof(unit) == 32 && sizeof(written) == 32 && sizeof(encoded) == 172, "as the canonical ABI has them");

/* One instruction each, where the C library has loops. */
__attribute__((used)) void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    return __builtin_memcpy(to, from, len);
}

__attribute__((used)) void *memmove(void *to, const void *from, size_t len)
{
    return __builtin_memmove(to, from, len);
}

__attribute__((used)) void *memset(void *to, int byte, size_t len)
{
    return __builtin_memset(to, byte, len);
}

/* The host's values: gone with the call. */
__attribute__((export_name("cabi_realloc"))) void *sump_realloc(void *old, size_t old_size, size_t align, size_t size)
{
    if (size == 0) return (void *)align;
    void *made = sump_alloc(size);
    if (old_size) memcpy(made, old, old_size < size ? old_size : size);
    return made;
}

/* What the adapter from WASI 0.1 keeps for itself, for good. */
__attribute__((export_name("cabi_realloc_adapter"))) void *sump_realloc_adapter(void *old, size_t old_size, size_t align,
                                                                                size_t size)
{
    /* A page for its stack, one for its state. */
    static _Alignas(16) uint8_t room[2 << 16];
    static size_t used;
    used = (used + align - 1) / align * align;
    if (size > sizeof room - used) abort();
    void *made = room + used;
    used += size;
    if (old_size) memcpy(made, old, old_size < size ? old_size : size);
    return made;
}

void sump_export_end(void)
{
    sump_free_all();
}

static void *state;
static bool is_open;
uint32_t sump_time_left_ms;

static list list_of(sump_bytes bytes)
{
    return (list){bytes.data, bytes.len};
}

static option_list some_text(const char *text)
{
    return text ? (option_list){1, list_of(sump_text(text))} : (option_list){0};
}

static option_u32 non_zero(uint32_t value)
{
    return (option_u32){value != 0, value};
}

static char *text_of(list given)
{
    char *made = sump_alloc(given.len + 1);
    if (given.len) memcpy(made, given.at, given.len);
    made[given.len] = 0;
    return made;
}

static failure lower(sump_failure known)
{
    return (failure){
        .kind = (uint8_t)(known.kind - SUMP_TRANSIENT),
        .after = non_zero(known.after_ms),
        .code = list_of(known.code),
        .message = list_of(known.message),
    };
}

static void *lower_unit(int failed)
{
    unit *made = sump_alloc(sizeof *made);
    *made = (unit){.failed = failed != SUMP_OK};
    if (failed) made->failure = lower(sump_failure_of(failed));
    return made;
}

static list lower_refused(const sump_report *report)
{
    refusal *made = sump_alloc(report->len * sizeof *made);
    for (size_t i = 0; i < report->len; i++) {
        const sump_refusal *one = &report->refused[i];
        made[i] = (refusal){{one->events, one->len}, lower(one->failure)};
    }
    return (list){made, report->len};
}

static sump_column lift_column(const column *given)
{
    return (sump_column){
        .offsets = given->offsets.at,
        .bytes = given->bytes.at,
        .validity = given->validity.some ? given->validity.list.at : NULL,
        .len = given->offsets.len ? given->offsets.len - 1 : 0,
    };
}

static sump_batch lift_batch(const given_batch *given)
{
    sump_batch batch = {
        .payload = lift_column(&given->payload),
        .timestamps = given->timestamps.at,
        /* The ABI lays a text out as these bytes. */
        .partitions = given->partitions.at,
        .runs = given->runs.at,
        .partition_count = given->partitions.len,
        .run_count = given->runs.len,
        .positions = given->positions.at,
    };
    batch.len = batch.payload.len;
    if (given->key.some) batch.key = lift_column(&given->key.column);
    if (given->headers.some) {
        batch.header_offsets = given->headers.offsets.at;
        batch.header_names = lift_column(&given->headers.names);
        batch.header_values = lift_column(&given->headers.values);
    }
    return batch;
}

void *sump_export_describe(const sump_sink *sink, const sump_encoder *encoder)
{
    sump_buffer schema = {0};
    sump_config_schema(sink ? sink->fields : encoder->fields, &schema);
    description *made = sump_alloc(sizeof *made);
    *made = (description){
        .name = list_of(sump_text(sink ? sink->name : encoder->name)),
        .version = list_of(sump_text(sink ? sink->version : encoder->version)),
        .config_schema = {1, {schema.data, schema.len}},
        .max_events = non_zero(sink ? sink->max_events : 0),
        .max_bytes = non_zero(sink ? sink->max_bytes : 0),
        .stops_in_order = sink && (!sink->write || sink->stops_in_order),
        .content_type = some_text(encoder ? encoder->content_type : NULL),
    };
    return made;
}

void *sump_export_open(const sump_sink *sink, const sump_encoder *encoder, const uint32_t *given)
{
    const list *texts = (const list *)given;
    sump_opening opening = {text_of(texts[1]), text_of(texts[2]), given[6]};
    sump_bytes config = {texts[0].at, texts[0].len};
    int failed = sump_open(sink, encoder, config, &opening, &state);
    is_open = !failed;
    return lower_unit(failed);
}

static int not_open(void)
{
    return sump_unknown("not-open", "the runtime wrote to an instance that it had not opened");
}

void *sump_export_write(const sump_sink *sink, const void *at)
{
    const given_write *given = at;
    if (!is_open) return lower_unit(not_open());
    sump_batch batch = lift_batch(&given->batch);
    sump_call call = {
        .pipeline = text_of(given->pipeline),
        .sink = text_of(given->sink),
        .batch_id = text_of(given->batch_id),
        .attempt = given->attempt,
        .timeout_ms = given->timeout_ms,
        .ordered = given->ordered,
        .traceparent = given->traceparent.some ? text_of(given->traceparent.list) : NULL,
    };
    sump_time_left_ms = call.timeout_ms / 10 * 9;
    sump_report report = {0};
    int failed = sump_write(sink, state, &call, &batch, &report);
    if (failed) return lower_unit(failed);
    written *made = sump_alloc(sizeof *made);
    *made = (written){
        .refused = lower_refused(&report),
        .stopped_at = {report.stopped, (uint32_t)report.stopped_at},
    };
    return made;
}

void *sump_export_close(const sump_sink *sink)
{
    int failed = is_open && sink->close ? sink->close(state) : SUMP_OK;
    is_open = false;
    return lower_unit(failed);
}

/* The column of those entries of another, in this order. */
static column pick(const sump_column *from, const uint32_t *entries, size_t len)
{
    uint32_t *offsets = sump_alloc((len + 1) * sizeof *offsets);
    uint8_t *validity = from->validity ? sump_alloc(len / 8 + 1) : NULL;
    sump_buffer bytes = {0};
    if (validity) memset(validity, 0, len / 8 + 1);
    offsets[0] = 0;
    for (size_t i = 0; i < len; i++) {
        sump_bytes value = sump_value(from, entries[i]);
        sump_put(&bytes, value.data, value.len);
        offsets[i + 1] = (uint32_t)bytes.len;
        if (validity && value.data) validity[i / 8] |= (uint8_t)(1 << (i % 8));
    }
    return (column){
        .offsets = {offsets, len + 1},
        .bytes = {bytes.data, bytes.len},
        .validity = {validity != NULL, {validity, (len + 7) / 8}},
    };
}

/* Key and headers of the events that have values, where some have none. */
static void pick_beside(const sump_batch *batch, const uint32_t *events, size_t len, encoded *made)
{
    if (batch->key.len) made->key = (option_column){1, pick(&batch->key, events, len)};
    if (!batch->header_offsets) return;
    uint32_t *offsets = sump_alloc((len + 1) * sizeof *offsets);
    uint32_t *entries = sump_alloc(batch->header_names.len * sizeof *entries);
    uint32_t count = 0;
    offsets[0] = 0;
    for (size_t i = 0; i < len; i++) {
        const uint32_t *range = &batch->header_offsets[events[i]];
        for (uint32_t entry = range[0]; entry < range[1]; entry++) entries[count++] = entry;
        offsets[i + 1] = count;
    }
    made->headers = (option_headers){
        .some = 1,
        .offsets = {offsets, len + 1},
        .names = pick(&batch->header_names, entries, count),
        .values = pick(&batch->header_values, entries, count),
    };
}

void *sump_export_encode(const sump_encoder *encoder, const void *at)
{
    const given_batch *given = at;
    if (!is_open) return lower_unit(not_open());
    sump_batch batch = lift_batch(given);
    sump_report report = {0};
    sump_buffer values = {0};
    uint32_t *offsets = sump_alloc((batch.len + 1) * sizeof *offsets), *events = sump_alloc((batch.len + 1) * sizeof *events);
    uint32_t len = 0;
    offsets[0] = 0;
    for (size_t i = 0; i < batch.len; i++) {
        sump_event event = {&batch, i};
        size_t before = values.len;
        int failed = encoder->encode(state, &event, &values);
        if (failed) {
            values.len = before;
            if (failed != SUMP_LEFT_OUT) sump_refuse(&report, i, failed);
            continue;
        }
        events[len++] = (uint32_t)i;
        offsets[len] = (uint32_t)values.len;
    }
    encoded *made = sump_alloc(sizeof *made);
    *made = (encoded){.payload = {.offsets = {offsets, len + 1}, .bytes = {values.data, values.len}}};
    made->refused = lower_refused(&report);
    if (len == batch.len) {
        made->key = given->key;
        made->headers = given->headers;
        return made;
    }
    pick_beside(&batch, events, len, made);
    uint32_t *sources = sump_alloc((len + 1) * sizeof *sources);
    for (uint32_t i = 0; i <= len; i++) sources[i] = i;
    made->sources.some = 1;
    made->sources.offsets = (list){sources, len + 1};
    made->sources.events = (list){events, len};
    return made;
}

#endif
