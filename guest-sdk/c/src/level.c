/* Failures, and from what becomes of single events to the report of their batch. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

static struct {
    int kind;
    uint32_t after_ms;
    char code[64], message[512];
} last;

static int fail(int kind, uint32_t after_ms, const char *code, const char *format, va_list arguments)
{
    last.kind = kind;
    last.after_ms = after_ms;
    /* The text may quote the failure before. */
    char message[sizeof last.message];
    vsnprintf(message, sizeof message, format, arguments);
    /* What was cut off may have been in the middle of a character. */
    size_t len = strlen(message);
    if (len == sizeof message - 1)
        while (len && (uint8_t)message[len - 1] >= 0x80) message[--len] = 0;
    memcpy(last.message, message, len + 1);
    snprintf(last.code, sizeof last.code, "%s", code);
    return kind;
}

#define FAIL(kind, after_ms)                                      \
    va_list arguments;                                            \
    va_start(arguments, format);                                  \
    int failed = fail(kind, after_ms, code, format, arguments);   \
    va_end(arguments);                                            \
    return failed

int sump_transient(const char *code, uint32_t after_ms, const char *format, ...) { FAIL(SUMP_TRANSIENT, after_ms); }
int sump_rejected(const char *code, const char *format, ...) { FAIL(SUMP_REJECTED, 0); }
int sump_unknown(const char *code, const char *format, ...) { FAIL(SUMP_UNKNOWN, 0); }
int sump_halted(const char *code, const char *format, ...) { FAIL(SUMP_HALTED, 0); }

static sump_bytes kept(const char *text)
{
    size_t len = strlen(text);
    return (sump_bytes){memcpy(sump_alloc(len + 1), text, len + 1), len};
}

sump_failure sump_failure_of(int failed)
{
    if (failed < SUMP_TRANSIENT || failed > SUMP_HALTED || failed != last.kind)
        sump_unknown("uncaught", "the sink returned %d, which nobody said the meaning of", failed);
    return (sump_failure){last.kind, last.after_ms, kept(last.code), kept(last.message)};
}

static bool same(sump_bytes a, sump_bytes b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static void refuse(sump_report *report, size_t i, sump_failure failure)
{
    /* How many groups of equal failures are searched for one to join. */
    enum { SEARCHED = 32 };
    sump_refusal *group = NULL;
    for (size_t n = report->len; !group && n > 0 && report->len - n < SEARCHED; n--) {
        sump_refusal *one = &report->refused[n - 1];
        if (one->failure.kind == failure.kind && one->failure.after_ms == failure.after_ms &&
            same(one->failure.code, failure.code) && same(one->failure.message, failure.message))
            group = one;
    }
    if (!group) {
        if (report->len == report->room) {
            report->room = report->room ? report->room * 2 : 8;
            sump_refusal *more = sump_alloc(report->room * sizeof *more);
            if (report->len) memcpy(more, report->refused, report->len * sizeof *more);
            report->refused = more;
        }
        group = &report->refused[report->len++];
        *group = (sump_refusal){.failure = failure};
    }
    if (group->len == group->room) {
        group->room = group->room ? group->room * 2 : 8;
        uint32_t *more = sump_alloc(group->room * sizeof *more);
        if (group->len) memcpy(more, group->events, group->len * sizeof *more);
        group->events = more;
    }
    group->events[group->len++] = (uint32_t)i;
}

void sump_refuse(sump_report *report, size_t i, int failed)
{
    refuse(report, i, sump_failure_of(failed));
}

void sump_stop_at(sump_report *report, size_t i)
{
    report->stopped = true;
    report->stopped_at = i;
}

/* The same failure again, as the outcome of the whole batch. */
static int again(const sump_failure *failure)
{
    last.kind = failure->kind;
    last.after_ms = failure->after_ms;
    memcpy(last.code, failure->code.data, failure->code.len + 1);
    memcpy(last.message, failure->message.data, failure->message.len + 1);
    return failure->kind;
}

int sump_write(const sump_sink *sink, void *state, const sump_call *call, const sump_batch *batch, sump_report *report)
{
    if (sink->write) return sink->write(state, call, batch, report);
    int failed = sink->begin ? sink->begin(state, call) : SUMP_OK;
    if (failed) return failed;
    uint8_t *refused = sump_alloc(batch->len + 1);
    memset(refused, 0, batch->len + 1);
    size_t tried = 0, count = 0;
    bool halted = false, stopping = false;
    sump_failure halt = {0};
    while (tried < batch->len && !stopping) {
        sump_event event = {batch, tried++};
        failed = sink->process(state, call, &event);
        if (!failed) continue;
        sump_failure failure = sump_failure_of(failed);
        refused[event.index] = 1;
        count++;
        if (failure.kind == SUMP_HALTED) {
            halted = stopping = true;
            halt = failure;
        } else {
            stopping = call->ordered && failure.kind != SUMP_REJECTED;
            refuse(report, event.index, failure);
        }
    }
    failed = sink->flush ? sink->flush(state, call) : SUMP_OK;
    sump_failure flushed = failed ? sump_failure_of(failed) : (sump_failure){0};
    if (halted && tried == count) return again(&halt);
    if (failed) {
        /* The sink stands still, and nothing that it took is written. */
        if (flushed.kind == SUMP_HALTED) return again(&flushed);
        for (size_t i = 0; i < tried; i++)
            if (!refused[i]) refuse(report, i, flushed);
    }
    /* A halt says nothing about its event, which counts as not tried: it comes again, and then as the first one the halt is
     * about the whole batch. */
    size_t stop = halted ? tried - 1 : tried;
    if (stop < batch->len) sump_stop_at(report, stop);
    return SUMP_OK;
}

int sump_open(const sump_sink *sink, const sump_encoder *encoder, sump_bytes config, const sump_opening *opening, void **state)
{
    void *read = NULL;
    int failed = sump_config_read(sink ? sink->fields : encoder->fields, sink ? sink->config_size : encoder->config_size,
                                  config, &read);
    if (failed) return failed;
    *state = read;
    int (*open)(void *, const sump_opening *, void **) = sink ? sink->open : encoder->open;
    return open ? open(read, opening, state) : SUMP_OK;
}
