/* What the SDKs have to agree on, byte by byte and outcome by outcome. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sump_test.h>

#include "../src/internal.h"

/* --- Reading the vectors --- */

static sump_bytes read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    fseek(file, 0, SEEK_END);
    size_t len = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(len + 1);
    if (!data || fread(data, 1, len, file) != len) exit(1);
    fclose(file);
    return (sump_bytes){data, len};
}

static sump_bytes member(sump_bytes object, const char *name)
{
    sump_bytes value = {0};
    SUMP_CHECK(sump_json_get(object, name, &value));
    return value;
}

static bool is_null(sump_bytes value)
{
    return sump_equals(value, "null");
}

/* The next item of an array, whose walk begins with `at` null. */
static bool next(sump_bytes array, const uint8_t **at, sump_bytes *item)
{
    const uint8_t *end = array.data + array.len;
    *at = sump_json_space(*at ? *at : array.data + 1, end);
    if (*at < end && **at == ',') *at = sump_json_space(*at + 1, end);
    if (*at == end || **at == ']') return false;
    const uint8_t *after = sump_json_skip(*at, end);
    *item = (sump_bytes){*at, (size_t)(after - *at)};
    *at = after;
    return true;
}

static size_t length(sump_bytes array)
{
    const uint8_t *at = NULL;
    sump_bytes item;
    size_t len = 0;
    while (next(array, &at, &item)) len++;
    return len;
}

static long long integer(sump_bytes value)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)value.len, (const char *)value.data);
    return strtoll(text, NULL, 10);
}

static const char *text(sump_bytes value)
{
    sump_bytes made;
    if (is_null(value) || !sump_json_text(value, &made)) return NULL;
    char *ended = sump_alloc(made.len + 1);
    memcpy(ended, made.data, made.len);
    ended[made.len] = 0;
    return ended;
}

/* Bytes in base64; null for null. */
static sump_bytes bytes(sump_bytes value)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (is_null(value)) return (sump_bytes){NULL, 0};
    uint8_t *made = sump_alloc(value.len + 1);
    size_t len = 0, bits = 0;
    unsigned kept = 0;
    for (size_t i = 1; i + 1 < value.len && value.data[i] != '='; i++) {
        kept = (kept << 6 | (unsigned)(strchr(digits, value.data[i]) - digits)) & 0xffff;
        bits += 6;
        if (bits >= 8) made[len++] = (uint8_t)(kept >> (bits -= 8));
    }
    return (sump_bytes){made, len};
}

static uint32_t *numbers(sump_bytes array)
{
    uint32_t *made = sump_alloc((length(array) + 1) * sizeof *made), *to = made;
    const uint8_t *at = NULL;
    for (sump_bytes item; next(array, &at, &item);) *to++ = (uint32_t)integer(item);
    return made;
}

static int64_t *times(sump_bytes array)
{
    int64_t *made = sump_alloc((length(array) + 1) * sizeof *made), *to = made;
    const uint8_t *at = NULL;
    for (sump_bytes item; next(array, &at, &item);) *to++ = (int64_t)integer(item);
    return made;
}

static sump_column column(sump_bytes given)
{
    sump_bytes offsets = member(given, "offsets");
    return (sump_column){numbers(offsets), bytes(member(given, "bytes")).data, bytes(member(given, "validity")).data,
                         length(offsets) - 1};
}

static sump_batch batch_of(sump_bytes given)
{
    sump_bytes key = member(given, "key"), headers = member(given, "headers"), origin = member(given, "origin"), item;
    sump_bytes partitions = member(origin, "partitions"), runs = member(origin, "runs");
    sump_batch batch = {.payload = column(member(given, "payload")), .timestamps = times(member(given, "timestamps"))};
    batch.len = batch.payload.len;
    if (!is_null(key)) batch.key = column(key);
    if (!is_null(headers)) {
        batch.header_offsets = numbers(member(headers, "offsets"));
        batch.header_names = column(member(headers, "names"));
        batch.header_values = column(member(headers, "values"));
    }
    sump_bytes *names = sump_alloc((length(partitions) + 1) * sizeof *names);
    sump_run *made = sump_alloc((length(runs) + 1) * sizeof *made);
    const uint8_t *at = NULL;
    while (next(partitions, &at, &item)) names[batch.partition_count++] = sump_text(text(item));
    at = NULL;
    while (next(runs, &at, &item))
        made[batch.run_count++] = (sump_run){(uint32_t)integer(member(item, "start")), (uint32_t)integer(member(item, "partition"))};
    batch.partitions = names;
    batch.runs = made;
    batch.positions = (const uint64_t *)times(member(origin, "positions"));
    return batch;
}

static bool same(sump_bytes a, sump_bytes b)
{
    return !a.data == !b.data && a.len == b.len && (!a.len || memcmp(a.data, b.data, a.len) == 0);
}

/* --- Events are seen as they are --- */

static void compare(const sump_event *event, sump_bytes want)
{
    SUMP_CHECK(same(sump_event_payload(event), bytes(member(want, "payload"))));
    SUMP_CHECK(same(sump_event_key(event), bytes(member(want, "key"))));
    SUMP_CHECK(sump_event_time(event) == integer(member(want, "timestamp")));
    SUMP_CHECK(sump_equals(sump_event_partition(event), text(member(want, "partition"))));
    SUMP_CHECK(sump_event_position(event) == (uint64_t)integer(member(want, "position")));
    sump_bytes headers = member(want, "headers"), pair, part;
    SUMP_CHECK(sump_event_headers(event) == length(headers));
    const uint8_t *at = NULL;
    for (size_t n = 0; next(headers, &at, &pair); n++) {
        const uint8_t *inside = NULL;
        SUMP_CHECK(next(pair, &inside, &part) && same(sump_event_header_name(event, n), bytes(part)));
        SUMP_CHECK(next(pair, &inside, &part) && same(sump_event_header_value(event, n), bytes(part)));
    }
}

static void batches(sump_bytes file)
{
    sump_bytes cases = member(file, "cases"), one, want;
    const uint8_t *at = NULL;
    SUMP_CHECK(length(cases) > 0);
    while (next(cases, &at, &one)) {
        sump_batch batch = batch_of(member(one, "batch"));
        sump_bytes events = member(one, "events");
        SUMP_CHECK(batch.len == length(events));
        const uint8_t *inside = NULL;
        for (size_t i = 0; next(events, &inside, &want); i++) compare(&(sump_event){&batch, i}, want);
        sump_free_all();
    }
}

/* --- The event level makes the report --- */

struct config {
    const char *begin, *flush;
};

static const sump_field fields[] = {
    SUMP_TEXT(struct config, begin, "null", NULL),
    SUMP_TEXT(struct config, flush, "null", NULL),
    SUMP_END,
};

static int obey(sump_bytes word)
{
    if (sump_equals(word, "busy")) return sump_transient("busy", 0, "come again");
    if (sump_equals(word, "bad")) return sump_rejected("bad", "never");
    if (sump_equals(word, "lost")) return sump_unknown("lost", "who knows");
    if (sump_equals(word, "halt")) return sump_halted("halt", "call the operator");
    return sump_equals(word, "uncaught") ? -1 : SUMP_OK;
}

static int begin(void *state, const sump_call *call)
{
    (void)call;
    return obey(sump_text(((struct config *)state)->begin));
}

static int process(void *state, const sump_call *call, const sump_event *event)
{
    (void)state, (void)call;
    return obey(sump_event_payload(event));
}

static int flush(void *state, const sump_call *call)
{
    (void)call;
    return obey(sump_text(((struct config *)state)->flush));
}

SUMP_SINK(.name = "obedient", .version = "0", .fields = fields, .config_size = sizeof(struct config), .begin = begin,
          .process = process, .flush = flush)

static int kind(const char *name)
{
    return strcmp(name, "transient") == 0  ? SUMP_TRANSIENT
           : strcmp(name, "rejected") == 0 ? SUMP_REJECTED
           : strcmp(name, "unknown") == 0  ? SUMP_UNKNOWN
                                           : SUMP_HALTED;
}

static void report_is(const sump_test *test, sump_bytes want)
{
    sump_bytes failure = member(want, "failure"), refused = member(want, "refused"), stop = member(want, "stopped_at"), one;
    if (!is_null(failure)) {
        SUMP_CHECK(sump_test_failed(test, kind(text(member(failure, "kind"))), text(member(failure, "code"))));
        return;
    }
    SUMP_CHECK(!test->failed);
    SUMP_CHECK(test->stopped_at == (is_null(stop) ? test->len : (size_t)integer(stop)));
    size_t written = 0;
    for (size_t i = 0; i < test->len; i++) written += sump_test_written(test, i);
    SUMP_CHECK(written + length(refused) == test->stopped_at);
    const uint8_t *at = NULL;
    while (next(refused, &at, &one)) {
        size_t i = (size_t)integer(member(one, "event"));
        SUMP_CHECK(sump_test_refused(test, i, kind(text(member(one, "kind"))), text(member(one, "code"))));
    }
}

static void outcomes(sump_bytes file)
{
    sump_bytes cases = member(file, "cases"), one, word;
    const uint8_t *at = NULL;
    SUMP_CHECK(length(cases) > 0);
    while (next(cases, &at, &one)) {
        char config[256];
        sump_bytes first = member(one, "begin"), last = member(one, "flush"), words = member(one, "events");
        snprintf(config, sizeof config, "{\"begin\": %.*s, \"flush\": %.*s}", (int)first.len, (const char *)first.data,
                 (int)last.len, (const char *)last.data);
        sump_test *test = sump_test_open(&sump_the_sink, config);
        test->call.ordered = sump_equals(member(one, "ordered"), "true");
        sump_test_event *events = sump_alloc((length(words) + 1) * sizeof *events);
        size_t len = 0;
        const uint8_t *inside = NULL;
        while (next(words, &inside, &word)) events[len++] = (sump_test_event){.payload = sump_text(text(word))};
        sump_test_write(test, events, len);
        report_is(test, member(one, "expect"));
        sump_test_close(test);
    }
}

int main(void)
{
    sump_bytes read[] = {read_file("../../wit/vectors/batches.json"), read_file("../../wit/vectors/events.json")};
    batches(read[0]);
    outcomes(read[1]);
    free((void *)read[0].data);
    free((void *)read[1].data);
    return sump_test_end();
}
