/* Runs a sink natively. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sump_test.h>

#include "internal.h"

uint32_t sump_time_left_ms;

static int checked, wrong;

void sump_test_check(bool holds, const char *condition, const char *file, int line)
{
    checked++;
    if (holds) return;
    wrong++;
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
}

int sump_test_end(void)
{
    fprintf(stderr, "%d checks, %d failed\n", checked, wrong);
    return wrong || !checked;
}

/* What became of an event: 0 where it was written, a kind where it was refused. */
typedef struct fate {
    int kind;
    char code[64];
} fate;

struct sump_test_inner {
    const sump_sink *sink;
    const sump_encoder *encoder;
    void *config, *state;
    fate *fates;
    char code[64], message[512];
    bool is_open;
};

static void keep_failure(sump_test *test, int failed)
{
    test->failed = failed;
    if (!failed) return;
    sump_failure failure = sump_failure_of(failed);
    test->failed = failure.kind;
    snprintf(test->inner->code, sizeof test->inner->code, "%s", (const char *)failure.code.data);
    snprintf(test->inner->message, sizeof test->inner->message, "%s", (const char *)failure.message.data);
}

static sump_test *open_either(const sump_sink *sink, const sump_encoder *encoder, const char *config)
{
    sump_test *test = calloc(1, sizeof *test);
    if (test) test->inner = calloc(1, sizeof *test->inner);
    if (!test || !test->inner) abort();
    test->inner->sink = sink;
    test->inner->encoder = encoder;
    test->code = test->inner->code;
    test->message = test->inner->message;
    test->call = (sump_call){"test", "sink", "000102030405060708090a0b0c0d0e0f", 1, 30000, false, NULL};
    sump_opening opening = {"test", "sink", 0};
    keep_failure(test, sump_open(sink, encoder, sump_text(config), &opening, &test->inner->state));
    test->inner->is_open = !test->failed;
    sump_free_all();
    return test;
}

sump_test *sump_test_open(const sump_sink *sink, const char *config)
{
    return open_either(sink, NULL, config);
}

sump_test *sump_test_open_encoder(const sump_encoder *encoder, const char *config)
{
    return open_either(NULL, encoder, config);
}

static void clear(sump_test *test)
{
    for (size_t i = 0; test->values && i < test->len; i++) free((void *)test->values[i].data);
    free((void *)test->values);
    free(test->inner->fates);
    test->values = NULL;
    test->inner->fates = NULL;
}

void sump_test_close(sump_test *test)
{
    struct sump_test_inner *inner = test->inner;
    if (inner->is_open && inner->sink && inner->sink->close) SUMP_CHECK(inner->sink->close(inner->state) == SUMP_OK);
    sump_free_all();
    clear(test);
    free(inner);
    free(test);
}

/* --- Batches --- */

static sump_column column_of(const sump_bytes *values, size_t len)
{
    uint32_t *offsets = sump_alloc((len + 1) * sizeof *offsets);
    uint8_t *validity = sump_alloc(len / 8 + 1);
    memset(validity, 0, len / 8 + 1);
    sump_buffer bytes = {0};
    bool has_nulls = false;
    sump_put(&bytes, "", 0);
    offsets[0] = 0;
    for (size_t i = 0; i < len; i++) {
        sump_put(&bytes, values[i].data, values[i].len);
        offsets[i + 1] = (uint32_t)bytes.len;
        if (values[i].data)
            validity[i / 8] |= (uint8_t)(1 << (i % 8));
        else
            has_nulls = true;
    }
    return (sump_column){offsets, bytes.data, has_nulls ? validity : NULL, len};
}

static void add_origins(sump_batch *batch, const sump_test_event *events)
{
    sump_bytes *partitions = sump_alloc((batch->len + 1) * sizeof *partitions);
    sump_run *runs = sump_alloc((batch->len + 1) * sizeof *runs);
    uint64_t *positions = sump_alloc((batch->len + 1) * sizeof *positions);
    for (size_t i = 0; i < batch->len; i++) {
        const char *partition = events[i].partition ? events[i].partition : "test/0";
        size_t number = 0;
        while (number < batch->partition_count && !sump_equals(partitions[number], partition)) number++;
        if (number == batch->partition_count) partitions[batch->partition_count++] = sump_text(partition);
        if (!batch->run_count || runs[batch->run_count - 1].partition != number)
            runs[batch->run_count++] = (sump_run){(uint32_t)i, (uint32_t)number};
        positions[i] = events[i].partition ? events[i].position : i;
    }
    batch->partitions = partitions;
    batch->runs = runs;
    batch->positions = positions;
}

sump_batch sump_test_batch(const sump_test_event *events, size_t len)
{
    sump_batch batch = {.len = len};
    size_t headers = 0, keys = 0;
    for (size_t i = 0; i < len; i++) {
        headers += events[i].header_count;
        keys += events[i].key.data != NULL;
    }
    sump_bytes *values = sump_alloc((len + 1) * sizeof *values);
    int64_t *timestamps = sump_alloc((len + 1) * sizeof *timestamps);
    for (size_t i = 0; i < len; i++) {
        values[i] = events[i].payload;
        timestamps[i] = events[i].time;
    }
    batch.timestamps = timestamps;
    batch.payload = column_of(values, len);
    for (size_t i = 0; i < len; i++) values[i] = events[i].key;
    if (keys) batch.key = column_of(values, len);
    if (headers) {
        uint32_t *offsets = sump_alloc((len + 1) * sizeof *offsets);
        sump_bytes *names = sump_alloc(headers * sizeof *names), *given = sump_alloc(headers * sizeof *given);
        offsets[0] = 0;
        for (size_t i = 0; i < len; i++) {
            offsets[i + 1] = offsets[i] + (uint32_t)events[i].header_count;
            for (size_t n = 0; n < events[i].header_count; n++) {
                names[offsets[i] + n] = events[i].headers[n].name;
                given[offsets[i] + n] = events[i].headers[n].value;
            }
        }
        batch.header_offsets = offsets;
        batch.header_names = column_of(names, headers);
        batch.header_values = column_of(given, headers);
    }
    add_origins(&batch, events);
    return batch;
}

/* --- Writing --- */

/* Reads a report as the runtime does. */
static void take(sump_test *test, const sump_report *report)
{
    if (report->stopped) {
        SUMP_CHECK(report->stopped_at <= test->len);
        test->stopped_at = report->stopped_at;
    }
    for (size_t n = 0; n < report->len; n++) {
        const sump_refusal *one = &report->refused[n];
        for (size_t e = 0; e < one->len; e++) {
            size_t i = one->events[e];
            bool was_tried_once = i < test->stopped_at && i < test->len && !test->inner->fates[i].kind;
            SUMP_CHECK(was_tried_once);
            if (!was_tried_once) continue;
            test->inner->fates[i].kind = one->failure.kind;
            snprintf(test->inner->fates[i].code, sizeof test->inner->fates[i].code, "%s", (const char *)one->failure.code.data);
        }
    }
}

static void encode(sump_test *test, const sump_batch *batch, sump_report *report)
{
    sump_bytes *values = calloc(batch->len + 1, sizeof *values);
    if (!values) abort();
    for (size_t i = 0; i < batch->len; i++) {
        sump_event event = {batch, i};
        sump_buffer value = {0};
        int failed = test->inner->encoder->encode(test->inner->state, &event, &value);
        if (failed && failed != SUMP_LEFT_OUT) sump_refuse(report, i, failed);
        if (failed) continue;
        uint8_t *kept = malloc(value.len + 1);
        if (!kept) abort();
        if (value.len) memcpy(kept, value.data, value.len);
        kept[value.len] = 0;
        values[i] = (sump_bytes){kept, value.len};
    }
    test->values = values;
}

void sump_test_write_batch(sump_test *test, const sump_batch *batch)
{
    sump_report report = {0};
    clear(test);
    test->len = test->stopped_at = batch->len;
    test->inner->fates = calloc(batch->len + 1, sizeof *test->inner->fates);
    if (!test->inner->fates) abort();
    SUMP_CHECK(test->inner->is_open);
    if (test->inner->encoder)
        encode(test, batch, &report);
    else
        keep_failure(test, sump_write(test->inner->sink, test->inner->state, &test->call, batch, &report));
    if (!test->failed) take(test, &report);
    sump_free_all();
}

void sump_test_write(sump_test *test, const sump_test_event *events, size_t len)
{
    sump_batch batch = sump_test_batch(events, len);
    sump_test_write_batch(test, &batch);
}

bool sump_test_written(const sump_test *test, size_t i)
{
    return !test->failed && i < test->stopped_at && !test->inner->fates[i].kind;
}

bool sump_test_all_written(const sump_test *test)
{
    for (size_t i = 0; i < test->len; i++)
        if (!sump_test_written(test, i)) return false;
    return !test->failed;
}

bool sump_test_refused(const sump_test *test, size_t i, int kind, const char *code)
{
    if (test->failed || i >= test->stopped_at) return false;
    const fate *fate = &test->inner->fates[i];
    return fate->kind == kind && strcmp(fate->code, code) == 0;
}

bool sump_test_failed(const sump_test *test, int kind, const char *code)
{
    return test->failed == kind && strcmp(test->code, code) == 0;
}

/* --- HTTP --- */

static sump_test_answer *answering;
static void *answering_user;

void sump_test_http(sump_test_answer *answer, void *user)
{
    answering = answer;
    answering_user = user;
}

int sump_http_do(const sump_http_request *request, sump_http_response *response)
{
    *response = (sump_http_response){.status = 200};
    if (answering) return answering(answering_user, request, response);
    return sump_transient("http-not-sent", 0, "%s %s: natively sump_test_http says who answers", request->method, request->url);
}
