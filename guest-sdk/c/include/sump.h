/* Write sinks and encoders for Sump in C.
 *
 *     #include <stdio.h>
 *     #include <sump.h>
 *
 *     struct config { const char *greeting; };
 *
 *     static const sump_field fields[] = {
 *         SUMP_TEXT(struct config, greeting, "\"Hello\"", "What each event is greeted with."),
 *         SUMP_END,
 *     };
 *
 *     static int process(void *state, const sump_call *call, const sump_event *event)
 *     {
 *         const struct config *config = state;
 *         sump_bytes text;
 *         int failed = sump_event_text(event, &text);
 *         if (failed) return failed;
 *         fprintf(stderr, "%s, %.*s\n", config->greeting, (int)text.len, (const char *)text.data);
 *         return SUMP_OK;
 *     }
 *
 *     SUMP_SINK(.name = "greeter", .version = "0.1.0", .fields = fields, .config_size = sizeof(struct config),
 *               .process = process)
 *
 * A sink never sleeps, retries or acknowledges: it says by what it returns what a failure means, and the runtime acts.
 * sump_http.h sends HTTP requests; sump_test.h runs a sink in a test, natively.
 */
#ifndef SUMP_H
#define SUMP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SUMP_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define SUMP_PRINTF(text, first)
#endif

/* Bytes that somebody else owns. Null is data == NULL; an empty value is not. */
typedef struct sump_bytes {
    const uint8_t *data;
    size_t len;
} sump_bytes;

/* The bytes of a text, and whether bytes are those of a text. */
sump_bytes sump_text(const char *text);
bool sump_equals(sump_bytes bytes, const char *text);

/* --- Failures --- */

/* What a function returns: SUMP_OK, or what one of the four functions below gives. Anything else that is not 0 is unknown,
 * code "uncaught", because nobody said what it means for the events. */
enum { SUMP_OK = 0, SUMP_TRANSIENT = 0x5301, SUMP_REJECTED, SUMP_UNKNOWN, SUMP_HALTED };

/* Each keeps what happened until the next failure, and returns its kind: `return sump_rejected("too-large", "%zu bytes", n);`.
 * `code` is a short, stable identifier, a label in metrics and a filter in replays; the text is for people. */

/* Not written, worth trying again; after so many milliseconds at least, 0 for the runtime's own pause. */
int sump_transient(const char *code, uint32_t after_ms, const char *format, ...) SUMP_PRINTF(3, 4);
/* Not written, and never will be: the events become dead letters. */
int sump_rejected(const char *code, const char *format, ...) SUMP_PRINTF(2, 3);
/* Perhaps written: it was sent, and the answer was lost. Tried again, a bounded number of times. */
int sump_unknown(const char *code, const char *format, ...) SUMP_PRINTF(2, 3);
/* Nothing can be written until an operator acts: credentials refused, a table missing. The sink pauses. */
int sump_halted(const char *code, const char *format, ...) SUMP_PRINTF(2, 3);

/* --- Events --- */

/* Byte strings in Arrow's variable-size binary layout: value i is bytes[offsets[i]] to bytes[offsets[i + 1]]. */
typedef struct sump_column {
    const uint32_t *offsets;
    const uint8_t *bytes;
    /* A bitmap, least significant bit first, in which a 0 means null; NULL when nothing is. */
    const uint8_t *validity;
    size_t len;
} sump_column;

/* Value i without a copy. */
sump_bytes sump_value(const sump_column *column, size_t i);

/* Events from index `start` on, up to the next run's, were read from partition number `partition`. */
typedef struct sump_run {
    uint32_t start, partition;
} sump_run;

/* Events, column by column. What it points to is there until the call ends. */
typedef struct sump_batch {
    size_t len;
    /* One value for each event. Null is a Kafka tombstone. */
    sump_column payload;
    /* Of no values when no event has a key. */
    sump_column key;
    /* Event times in milliseconds since the Unix epoch. */
    const int64_t *timestamps;
    /* The headers of event i are entries header_offsets[i] to header_offsets[i + 1]; NULL when no event has any. */
    const uint32_t *header_offsets;
    sump_column header_names, header_values;
    const sump_bytes *partitions;
    const sump_run *runs;
    size_t partition_count, run_count;
    const uint64_t *positions;
} sump_batch;

typedef struct sump_event {
    const sump_batch *batch;
    /* Its index in the batch, which a report refers to. */
    size_t index;
} sump_event;

/* The payload; null for a Kafka tombstone. */
sump_bytes sump_event_payload(const sump_event *event);
/* The payload of an event that has to have one: a tombstone is rejected, code "no-payload". */
int sump_event_bytes(const sump_event *event, sump_bytes *bytes);
/* The same for text: bytes that are not UTF-8 are rejected, code "not-utf8". */
int sump_event_text(const sump_event *event, sump_bytes *text);
/* The same for an object in JSON: what is none is rejected, code "not-json" or "wrong-shape". See sump_json_get. */
int sump_event_object(const sump_event *event, sump_bytes *object);
/* The key; null when it has none. */
sump_bytes sump_event_key(const sump_event *event);
/* Event time in milliseconds since the Unix epoch: when it was read, where its source gives none. */
int64_t sump_event_time(const sump_event *event);
size_t sump_event_headers(const sump_event *event);
/* Name and value of header n of them. The value may be null. */
sump_bytes sump_event_header_name(const sump_event *event, size_t n);
sump_bytes sump_event_header_value(const sump_event *event, size_t n);
/* Where it was read, a partition of a Kafka topic or a file, and where in it. */
sump_bytes sump_event_partition(const sump_event *event);
uint64_t sump_event_position(const sump_event *event);

/* --- JSON, read where it stands --- */

/* The value of an object's member, as it is written. False when there is none. The object has to be well-formed. */
bool sump_json_get(sump_bytes object, const char *name, sump_bytes *value);
/* A number, or a text without its escapes, in memory that is there until the call ends. False when it is none. */
bool sump_json_number(sump_bytes value, double *number);
bool sump_json_text(sump_bytes value, sump_bytes *text);

/* --- Memory --- */

/* Memory that is there until the call ends. Never NULL: a component that has none left ends. */
void *sump_alloc(size_t size);

/* Bytes that grow, in such memory. Starts as {0}. */
typedef struct sump_buffer {
    uint8_t *data;
    size_t len, room;
} sump_buffer;

void sump_put(sump_buffer *buffer, const void *data, size_t len);
void sump_putf(sump_buffer *buffer, const char *format, ...) SUMP_PRINTF(2, 3);
/* A text in JSON, with its quotation marks. */
void sump_put_json(sump_buffer *buffer, sump_bytes text);

/* --- Configuration --- */

/* Reads the value of a field. By these alone a program has code for numbers in it when it has fields of them. */
typedef bool sump_reader(sump_bytes value, void *field);
sump_reader sump_read_text, sump_read_number, sump_read_integer, sump_read_bool;

/* A field of the structure that a configuration is read into. The JSON Schema comes from these. */
typedef struct sump_field {
    const char *name, *type, *about;
    sump_reader *read;
    size_t offset;
    /* Where it is not NULL, what the field is when it is not given, in JSON; "null" for a text that may be absent. */
    const char *value;
} sump_field;

/* Fields of type const char *, double, int64_t and bool, each with its default and with what it is for, or NULL. The default is in
 * JSON: "\"a text\"", "0.5", "7", "true", or "null" for a text that may be absent. A field without one, NULL, has to be given. */
#define SUMP_TEXT(config, field, value, about) {#field, "string", about, sump_read_text, offsetof(config, field), value}
#define SUMP_NUMBER(config, field, value, about) {#field, "number", about, sump_read_number, offsetof(config, field), value}
#define SUMP_INTEGER(config, field, value, about) {#field, "integer", about, sump_read_integer, offsetof(config, field), value}
#define SUMP_BOOL(config, field, value, about) {#field, "boolean", about, sump_read_bool, offsetof(config, field), value}
#define SUMP_END {NULL, NULL, NULL, NULL, 0, NULL}

/* --- Sinks --- */

/* For whom an instance is opened. */
typedef struct sump_opening {
    const char *pipeline, *sink;
    /* Which of the sink's instances, from 0; one that replaces another takes its number over. */
    uint32_t instance;
} sump_opening;

/* The circumstances of one write. */
typedef struct sump_call {
    const char *pipeline, *sink;
    /* The same for every attempt at exactly these events, and for no others: an idempotency key. */
    const char *batch_id;
    /* 1 for the first attempt. */
    uint32_t attempt;
    /* The call is abandoned, and the instance with it, after so many milliseconds. */
    uint32_t timeout_ms;
    /* Order was promised. The event level keeps it; a sink with `stops_in_order` has to. */
    bool ordered;
    /* W3C trace context to pass on, or NULL. */
    const char *traceparent;
} sump_call;

/* What became of a batch: an event that is neither refused nor past the stop is written. */
typedef struct sump_report sump_report;

/* Event i failed as `failed` says: what a function returned, which has to be the last failure. */
void sump_refuse(sump_report *report, size_t i, int failed);
/* Events from index i on were not tried. They come again, in order, at no cost in attempts. */
void sump_stop_at(sump_report *report, size_t i);

/* A sink has `process`, which takes one event at a time, or `write`, which takes whole batches. All other functions may be
 * left out.
 *
 * From what `process` returns the SDK makes the report of the batch. A failure refuses its event alone, but for these two:
 * in order (call->ordered) the first event that is neither written nor rejected ends the batch, and what follows comes again;
 * and a halt ends the batch in any case. What was written stays written and the rest comes again; when nothing was written,
 * the halt is the outcome of the batch. */
typedef struct sump_sink {
    /* One word, and the sink's own version. */
    const char *name, *version;
    /* Ends with SUMP_END; without any the configuration has to be empty. */
    const sump_field *fields;
    size_t config_size;
    /* How many events and bytes of payload one call takes at most; 0 for any number. */
    uint32_t max_events, max_bytes;
    /* For `write`: where call->ordered is set it stops at the first event that is neither written nor rejected. */
    bool stops_in_order;
    /* The state is what the other functions get; without `open` it is the configuration, which stays as long as the sink. */
    int (*open)(void *config, const sump_opening *opening, void **state);
    /* Before the first event of each batch. A failure is about the whole batch. */
    int (*begin)(void *state, const sump_call *call);
    int (*process)(void *state, const sump_call *call, const sump_event *event);
    /* Behind the last event of each batch. A failure befalls all events that `process` took. */
    int (*flush)(void *state, const sump_call *call);
    /* A failure is about all events of the batch, none of which is known to be written. */
    int (*write)(void *state, const sump_call *call, const sump_batch *batch, sump_report *report);
    int (*close)(void *state);
} sump_sink;

/* An encoder makes the bytes that a native sink then delivers. It is pure: the same event always gives the same value. Key,
 * headers and time of a value are those of its event. */
typedef struct sump_encoder {
    const char *name, *version;
    const sump_field *fields;
    size_t config_size;
    /* The media type of a value. */
    const char *content_type;
    int (*open)(void *config, const sump_opening *opening, void **state);
    /* Puts the value of an event. A failure refuses the event; SUMP_LEFT_OUT leaves it out on purpose. */
    int (*encode)(void *state, const sump_event *event, sump_buffer *value);
} sump_encoder;

enum { SUMP_LEFT_OUT = 0x5311 };

/* Says what the program is. A program is one sink, or one encoder. */
#define SUMP_SINK(...) \
    const sump_sink sump_the_sink = {__VA_ARGS__}; \
    SUMP_EXPORTS_OF_SINK
#define SUMP_ENCODER(...) \
    const sump_encoder sump_the_encoder = {__VA_ARGS__}; \
    SUMP_EXPORTS_OF_ENCODER

#include "sump_exports.h"

#endif
