/* Events as views of their batch, and the memory of a call. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

sump_bytes sump_text(const char *text)
{
    return (sump_bytes){(const uint8_t *)text, text ? strlen(text) : 0};
}

bool sump_equals(sump_bytes bytes, const char *text)
{
    return bytes.data && bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

/* --- Memory: blocks in a list, each behind its link --- */

typedef union block {
    union block *next;
    max_align_t aligned;
} block;

static block *blocks;

void *sump_try_alloc(size_t size)
{
    block *made = size > SIZE_MAX - sizeof(block) ? NULL : malloc(sizeof(block) + size);
    if (!made) return NULL;
    made->next = blocks;
    blocks = made;
    return made + 1;
}

void *sump_alloc(size_t size)
{
    void *made = sump_try_alloc(size);
    /* By write, so that a program without stdio needs none for this. */
    static const char why[] = "out of memory\n";
    if (!made && write(STDERR_FILENO, why, sizeof why - 1) >= 0) abort();
    if (!made) abort();
    return made;
}

void sump_free_all(void)
{
    while (blocks) {
        block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

static void reserve(sump_buffer *buffer, size_t more)
{
    if (buffer->room - buffer->len >= more) return;
    size_t room = buffer->room * 2;
    if (room < buffer->len + more) room = buffer->len + more;
    if (room < 64) room = 64;
    uint8_t *data = sump_alloc(room);
    if (buffer->len) memcpy(data, buffer->data, buffer->len);
    buffer->data = data;
    buffer->room = room;
}

void sump_put(sump_buffer *buffer, const void *data, size_t len)
{
    reserve(buffer, len);
    if (len) memcpy(buffer->data + buffer->len, data, len);
    buffer->len += len;
}

void sump_putf(sump_buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (len > 0) {
        reserve(buffer, (size_t)len + 1);
        vsnprintf((char *)buffer->data + buffer->len, (size_t)len + 1, format, again);
        buffer->len += (size_t)len;
    }
    va_end(again);
}

void sump_put_json(sump_buffer *buffer, sump_bytes text)
{
    sump_put(buffer, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        sump_put(buffer, text.data + from, i - from);
        if (c < 0x20)
            sump_putf(buffer, "\\u%04x", c);
        else
            sump_putf(buffer, "\\%c", c);
        from = i + 1;
    }
    if (text.len) sump_put(buffer, text.data + from, text.len - from);
    sump_put(buffer, "\"", 1);
}

/* --- Columns and events --- */

sump_bytes sump_value(const sump_column *column, size_t i)
{
    if (column->validity && !(column->validity[i / 8] >> (i % 8) & 1)) return (sump_bytes){NULL, 0};
    return (sump_bytes){column->bytes + column->offsets[i], column->offsets[i + 1] - column->offsets[i]};
}

sump_bytes sump_event_payload(const sump_event *event)
{
    return sump_value(&event->batch->payload, event->index);
}

int sump_event_bytes(const sump_event *event, sump_bytes *bytes)
{
    *bytes = sump_event_payload(event);
    return bytes->data ? SUMP_OK : sump_rejected("no-payload", "the event has no payload (a tombstone)");
}

/* How many bytes a character takes that begins here, or 0 where none does: Unicode 15, table 3-7. */
static size_t character(const uint8_t *at, size_t len)
{
    uint8_t c = at[0], least = 0x80, most = 0xbf;
    if (c < 0x80) return 1;
    size_t more = c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 0;
    if (more == 0 || more >= len) return 0;
    if (c == 0xe0) least = 0xa0;
    if (c == 0xed) most = 0x9f;
    if (c == 0xf0) least = 0x90;
    if (c == 0xf4) most = 0x8f;
    if (at[1] < least || at[1] > most) return 0;
    for (size_t i = 2; i <= more; i++)
        if (at[i] < 0x80 || at[i] > 0xbf) return 0;
    return more + 1;
}

int sump_event_text(const sump_event *event, sump_bytes *text)
{
    int failed = sump_event_bytes(event, text);
    if (failed) return failed;
    for (size_t i = 0; i < text->len;) {
        size_t bytes = character(text->data + i, text->len - i);
        if (bytes == 0) return sump_rejected("not-utf8", "the payload is not UTF-8: byte %zu", i);
        i += bytes;
    }
    return SUMP_OK;
}

int sump_event_object(const sump_event *event, sump_bytes *object)
{
    int failed = sump_event_text(event, object);
    if (failed) return failed;
    const uint8_t *end = object->data + object->len, *at = sump_json_space(object->data, end);
    const uint8_t *after = sump_json_skip(at, end);
    if (!after || sump_json_space(after, end) != end) return sump_rejected("not-json", "the payload is not JSON");
    if (*at != '{') return sump_rejected("wrong-shape", "the payload is no object");
    *object = (sump_bytes){at, (size_t)(after - at)};
    return SUMP_OK;
}

sump_bytes sump_event_key(const sump_event *event)
{
    const sump_column *key = &event->batch->key;
    return key->len ? sump_value(key, event->index) : (sump_bytes){NULL, 0};
}

int64_t sump_event_time(const sump_event *event)
{
    return event->batch->timestamps[event->index];
}

size_t sump_event_headers(const sump_event *event)
{
    const uint32_t *offsets = event->batch->header_offsets;
    return offsets ? offsets[event->index + 1] - offsets[event->index] : 0;
}

sump_bytes sump_event_header_name(const sump_event *event, size_t n)
{
    return sump_value(&event->batch->header_names, event->batch->header_offsets[event->index] + n);
}

sump_bytes sump_event_header_value(const sump_event *event, size_t n)
{
    return sump_value(&event->batch->header_values, event->batch->header_offsets[event->index] + n);
}

sump_bytes sump_event_partition(const sump_event *event)
{
    const sump_batch *batch = event->batch;
    size_t low = 0, high = batch->run_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (batch->runs[middle].start <= event->index)
            low = middle;
        else
            high = middle;
    }
    return batch->partitions[batch->runs[low].partition];
}

uint64_t sump_event_position(const sump_event *event)
{
    return event->batch->positions[event->index];
}
