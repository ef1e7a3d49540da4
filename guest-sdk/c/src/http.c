/* What statuses mean, and requests by wasi:http. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sump_http.h>

#include "internal.h"

const char *sump_http_header_of(const sump_http_response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++)
        if (strcasecmp(response->headers[i].name, name) == 0) return response->headers[i].value;
    return NULL;
}

int sump_http_check(const sump_http_response *response)
{
    /* How much of a refusal's body is quoted. */
    enum { EXCERPT = 200 };
    int status = response->status;
    if (status >= 200 && status < 300) return SUMP_OK;
    char code[16];
    snprintf(code, sizeof code, "http-%d", status);
    const char *body = (const char *)response->body.data;
    int len = response->body.len < EXCERPT ? (int)response->body.len : EXCERPT;
    while (len && (uint8_t)body[len - 1] <= ' ') len--;
    while (len && (uint8_t)*body <= ' ') body++, len--;
    const char *separator = len ? ": " : "";
    if (!len) body = "";
    if (status == 401 || status == 403 || status == 407)
        return sump_halted(code, "status %d%s%.*s", status, separator, len, body);
    if (status == 408 || status == 425 || status == 429 || (status >= 500 && status < 600 && status != 501 && status != 505)) {
        const char *after = sump_http_header_of(response, "retry-after");
        unsigned long seconds = after && *after >= '0' && *after <= '9' ? strtoul(after, NULL, 10) : 0;
        uint32_t after_ms = seconds > UINT32_MAX / 1000 ? UINT32_MAX : (uint32_t)seconds * 1000;
        return sump_transient(code, after_ms, "status %d%s%.*s", status, separator, len, body);
    }
    return sump_rejected(code, "status %d%s%.*s", status, separator, len, body);
}

int sump_http_send(const sump_http_request *request)
{
    sump_http_response response;
    int failed = sump_http_do(request, &response);
    return failed ? failed : sump_http_check(&response);
}

#ifdef __wasm__

/* The functions of WASI 0.2 that a request takes, as the canonical ABI has them: handles are numbers, and what they return beyond
 * one number is written where the last argument points. */
#define IMPORT(module, name) __attribute__((import_module(module "@0.2.12"), import_name(name))) extern
#define TYPES "wasi:http/types"
#define STREAMS "wasi:io/streams"

typedef struct list {
    const void *at;
    uint32_t len;
} list;
typedef struct handle_result {
    uint8_t failed;
    uint32_t handle;
} handle_result;
/* A handle or nothing, or an error code: the code is the lowest byte of the first word, what belongs to it is behind. */
typedef struct sent_result {
    uint8_t failed;
    uint64_t payload[4];
} sent_result;
typedef struct future_result {
    uint8_t some;
    uint64_t taken;
    sent_result sent;
} future_result;
typedef struct room_result {
    uint8_t failed;
    uint64_t room;
} room_result;
typedef struct stream_result {
    uint8_t failed;
    uint32_t closed, handle;
} stream_result;
/* Where it failed, the error is where the bytes would be. */
typedef struct read_result {
    uint8_t failed;
    list bytes;
} read_result;

IMPORT(TYPES, "[constructor]fields") uint32_t new_fields(void);
IMPORT(TYPES, "[method]fields.append") void fields_append(uint32_t, const char *, size_t, const char *, size_t, uint8_t *);
IMPORT(TYPES, "[method]fields.entries") void fields_entries(uint32_t, list *);
IMPORT(TYPES, "[resource-drop]fields") void drop_fields(uint32_t);
IMPORT(TYPES, "[constructor]outgoing-request") uint32_t new_request(uint32_t);
IMPORT(TYPES, "[method]outgoing-request.set-method") uint32_t set_method(uint32_t, uint32_t, const char *, size_t);
IMPORT(TYPES, "[method]outgoing-request.set-scheme") uint32_t set_scheme(uint32_t, uint32_t, uint32_t, const char *, size_t);
IMPORT(TYPES, "[method]outgoing-request.set-authority") uint32_t set_authority(uint32_t, uint32_t, const char *, size_t);
IMPORT(TYPES, "[method]outgoing-request.set-path-with-query") uint32_t set_path(uint32_t, uint32_t, const char *, size_t);
IMPORT(TYPES, "[method]outgoing-request.body") void request_body(uint32_t, handle_result *);
IMPORT(TYPES, "[resource-drop]outgoing-request") void drop_request(uint32_t);
IMPORT(TYPES, "[method]outgoing-body.write") void body_write(uint32_t, handle_result *);
IMPORT(TYPES, "[static]outgoing-body.finish") void body_finish(uint32_t, uint32_t, uint32_t, sent_result *);
IMPORT(TYPES, "[resource-drop]outgoing-body") void drop_outgoing_body(uint32_t);
IMPORT("wasi:http/outgoing-handler", "handle") void handle_request(uint32_t, uint32_t, uint32_t, sent_result *);
IMPORT(TYPES, "[method]future-incoming-response.subscribe") uint32_t future_subscribe(uint32_t);
IMPORT(TYPES, "[method]future-incoming-response.get") void future_get(uint32_t, future_result *);
IMPORT(TYPES, "[resource-drop]future-incoming-response") void drop_future(uint32_t);
IMPORT(TYPES, "[method]incoming-response.status") uint32_t response_status(uint32_t);
IMPORT(TYPES, "[method]incoming-response.headers") uint32_t response_headers(uint32_t);
IMPORT(TYPES, "[method]incoming-response.consume") void response_consume(uint32_t, handle_result *);
IMPORT(TYPES, "[resource-drop]incoming-response") void drop_response(uint32_t);
IMPORT(TYPES, "[method]incoming-body.stream") void body_stream(uint32_t, handle_result *);
IMPORT(TYPES, "[resource-drop]incoming-body") void drop_incoming_body(uint32_t);
IMPORT(STREAMS, "[method]output-stream.check-write") void check_write(uint32_t, room_result *);
IMPORT(STREAMS, "[method]output-stream.write") void stream_write(uint32_t, const uint8_t *, size_t, stream_result *);
IMPORT(STREAMS, "[method]output-stream.flush") void stream_flush(uint32_t, stream_result *);
IMPORT(STREAMS, "[method]output-stream.subscribe") uint32_t output_subscribe(uint32_t);
IMPORT(STREAMS, "[resource-drop]output-stream") void drop_output_stream(uint32_t);
IMPORT(STREAMS, "[method]input-stream.read") void stream_read(uint32_t, uint64_t, read_result *);
IMPORT(STREAMS, "[method]input-stream.subscribe") uint32_t input_subscribe(uint32_t);
IMPORT(STREAMS, "[resource-drop]input-stream") void drop_input_stream(uint32_t);
IMPORT("wasi:io/error", "[resource-drop]error") void drop_error(uint32_t);
IMPORT("wasi:io/poll", "poll") void poll_list(const uint32_t *, size_t, list *);
IMPORT("wasi:io/poll", "[resource-drop]pollable") void drop_pollable(uint32_t);
IMPORT("wasi:clocks/monotonic-clock", "subscribe-duration") uint32_t subscribe_duration(uint64_t);

/* How much is written or read at once. */
enum { CHUNK = 64 << 10 };

static int no_answer(const char *why)
{
    return sump_unknown("http-no-answer", "%s", why);
}

/* Blocks until it is ready, which it drops, or fails when time is up before. `alarm` is 0 where there is no bound. */
static int wait_for(uint32_t ready, uint32_t alarm)
{
    uint32_t both[] = {ready, alarm};
    list fired;
    poll_list(both, alarm ? 2 : 1, &fired);
    drop_pollable(ready);
    return *(const uint32_t *)fired.at == 0 ? SUMP_OK : no_answer("no answer in time");
}

/* What an error code of wasi:http means for the request, by its number there. */
static int meaning(const sent_result *result)
{
    static const char *const not_sent[] = {
        [0] = "the name was not resolved in time",
        [1] = "the name could not be resolved",
        [2] = "destination not found",
        [3] = "destination unavailable",
        [5] = "no route to the destination",
        [6] = "connection refused",
        [8] = "not connected in time",
        [11] = "too many connections",
        [12] = "TLS protocol error",
        [13] = "the certificate is not trusted",
        [14] = "the destination ended TLS with an alert",
    };
    unsigned code = (uint8_t)result->payload[0];
    if (code == 4) return sump_halted("http-denied", "the address is not allowed");
    if (code == 15) return sump_halted("http-denied", "no `allow.http` covers it");
    if (code < sizeof not_sent / sizeof *not_sent && not_sent[code])
        return sump_transient("http-not-sent", 0, "%s", not_sent[code]);
    if (code >= 16 && code <= 24) return sump_rejected("http-invalid", "the request can't be sent (error %u of wasi:http)", code);
    /* The last one may tell. */
    if (code == 38 && (uint8_t)result->payload[1] == 1)
        return sump_unknown("http-no-answer", "%.*s", (int)(uint32_t)result->payload[2],
                            (const char *)(uintptr_t)(uint32_t)(result->payload[1] >> 32));
    return sump_unknown("http-no-answer", "the connection ended, or the answer was not understood (error %u of wasi:http)", code);
}

static int malformed(const sump_http_request *request, const char *part)
{
    return sump_rejected("http-invalid", "the %s of %s %s is malformed", part, request->method, request->url);
}

static int new_fields_of(const sump_http_request *request, uint32_t *fields)
{
    uint8_t result[2];
    bool has_length = false;
    *fields = new_fields();
    for (size_t i = 0; i < request->header_count; i++) {
        const sump_http_header *header = &request->headers[i];
        has_length |= strcasecmp(header->name, "content-length") == 0;
        fields_append(*fields, header->name, strlen(header->name), header->value, strlen(header->value), result);
        if (result[0]) {
            drop_fields(*fields);
            return malformed(request, header->name);
        }
    }
    if (!has_length && request->body.data) {
        char length[24];
        int len = snprintf(length, sizeof length, "%zu", request->body.len);
        fields_append(*fields, "content-length", 14, length, (size_t)len, result);
    }
    return SUMP_OK;
}

static int new_outgoing(const sump_http_request *request, uint32_t *outgoing)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    enum { METHODS = sizeof methods / sizeof *methods };
    bool is_secure = strncmp(request->url, "https://", 8) == 0;
    if (!is_secure && strncmp(request->url, "http://", 7) != 0) return malformed(request, "URL");
    const char *host = request->url + (is_secure ? 8 : 7), *rest = host + strcspn(host, "/?#");
    size_t host_len = (size_t)(rest - host);
    sump_buffer path = {0};
    if (*rest != '/') sump_put(&path, "/", 1);
    sump_put(&path, rest, strcspn(rest, "#"));

    uint32_t fields, method = 0;
    int failed = new_fields_of(request, &fields);
    if (failed) return failed;
    while (method < METHODS && strcmp(methods[method], request->method) != 0) method++;
    *outgoing = new_request(fields);
    const char *part = NULL;
    if (set_method(*outgoing, method, request->method, method == METHODS ? strlen(request->method) : 0))
        part = "method";
    else if (set_scheme(*outgoing, 1, is_secure, NULL, 0))
        part = "scheme";
    else if (set_authority(*outgoing, 1, host, host_len))
        part = "host";
    else if (set_path(*outgoing, 1, (const char *)path.data, path.len))
        part = "path";
    if (!part) return SUMP_OK;
    drop_request(*outgoing);
    return malformed(request, part);
}

/* Writes what the destination takes. One that stops taking is no error yet: it may have answered, and its answer says why. */
static int write_stream(uint32_t stream, sump_bytes rest, uint32_t alarm)
{
    stream_result written;
    while (rest.len) {
        room_result room;
        check_write(stream, &room);
        if (room.failed) return SUMP_OK;
        if (!room.room) {
            int failed = wait_for(output_subscribe(stream), alarm);
            if (failed) return failed;
            continue;
        }
        size_t len = rest.len < CHUNK ? rest.len : CHUNK;
        if (room.room < len) len = (size_t)room.room;
        stream_write(stream, rest.data, len, &written);
        if (written.failed) return SUMP_OK;
        rest.data += len;
        rest.len -= len;
    }
    stream_flush(stream, &written);
    return written.failed ? SUMP_OK : wait_for(output_subscribe(stream), alarm);
}

static int write_body(uint32_t body, sump_bytes content, uint32_t alarm)
{
    handle_result stream;
    body_write(body, &stream);
    int failed = stream.failed ? SUMP_OK : write_stream(stream.handle, content, alarm);
    if (!stream.failed) drop_output_stream(stream.handle);
    if (failed) {
        drop_outgoing_body(body);
        return failed;
    }
    sent_result finished;
    body_finish(body, 0, 0, &finished);
    return SUMP_OK;
}

static int await(uint32_t future, uint32_t alarm, uint32_t *incoming)
{
    for (;;) {
        future_result result;
        future_get(future, &result);
        if (!result.some) {
            int failed = wait_for(future_subscribe(future), alarm);
            if (failed) return failed;
        } else if ((uint8_t)result.taken) {
            return no_answer("the answer was taken twice");
        } else if (result.sent.failed) {
            return meaning(&result.sent);
        } else {
            *incoming = (uint32_t)result.sent.payload[0];
            return SUMP_OK;
        }
    }
}

static const char *text_of(list given)
{
    char *made = sump_alloc(given.len + 1);
    if (given.len) memcpy(made, given.at, given.len);
    made[given.len] = 0;
    return made;
}

static void read_head(uint32_t incoming, sump_http_response *response)
{
    uint32_t fields = response_headers(incoming);
    list entries;
    fields_entries(fields, &entries);
    const list (*pairs)[2] = entries.at;
    sump_http_header *headers = sump_alloc(entries.len * sizeof *headers);
    for (uint32_t i = 0; i < entries.len; i++)
        headers[i] = (sump_http_header){text_of(pairs[i][0]), text_of(pairs[i][1])};
    *response = (sump_http_response){(int)response_status(incoming), headers, entries.len, {NULL, 0}};
    drop_fields(fields);
}

static int read_stream(uint32_t stream, uint32_t alarm, sump_buffer *body)
{
    for (;;) {
        read_result part;
        stream_read(stream, CHUNK, &part);
        if (part.failed) {
            /* The second case, closed, is the end. */
            if (((uintptr_t)part.bytes.at & 0xff) == 1) return SUMP_OK;
            drop_error(part.bytes.len);
            return no_answer("the answer broke off");
        }
        sump_put(body, part.bytes.at, part.bytes.len);
        int failed = part.bytes.len ? SUMP_OK : wait_for(input_subscribe(stream), alarm);
        if (failed) return failed;
    }
}

static int read_body(uint32_t incoming, uint32_t alarm, sump_bytes *content)
{
    handle_result body, stream;
    sump_buffer read = {0};
    sump_put(&read, "", 0);
    response_consume(incoming, &body);
    if (body.failed) return no_answer("the answer broke off");
    body_stream(body.handle, &stream);
    int failed = stream.failed ? no_answer("the answer broke off") : read_stream(stream.handle, alarm, &read);
    if (!stream.failed) drop_input_stream(stream.handle);
    drop_incoming_body(body.handle);
    *content = (sump_bytes){read.data, read.len};
    return failed;
}

static int exchange(uint32_t outgoing, const sump_http_request *request, uint32_t alarm, sump_http_response *response)
{
    handle_result body = {1, 0};
    sent_result sent;
    if (request->body.data) request_body(outgoing, &body);
    handle_request(outgoing, 0, 0, &sent);
    if (sent.failed) {
        if (!body.failed) drop_outgoing_body(body.handle);
        return meaning(&sent);
    }
    uint32_t future = (uint32_t)sent.payload[0], incoming = 0;
    int failed = body.failed ? SUMP_OK : write_body(body.handle, request->body, alarm);
    if (!failed) failed = await(future, alarm, &incoming);
    drop_future(future);
    if (failed) return failed;
    read_head(incoming, response);
    failed = read_body(incoming, alarm, &response->body);
    drop_response(incoming);
    return failed;
}

int sump_http_do(const sump_http_request *request, sump_http_response *response)
{
    uint32_t outgoing, alarm = 0, timeout_ms = request->timeout_ms ? request->timeout_ms : sump_time_left_ms;
    int failed = new_outgoing(request, &outgoing);
    if (failed) return failed;
    if (timeout_ms) alarm = subscribe_duration((uint64_t)timeout_ms * 1000000);
    failed = exchange(outgoing, request, alarm, response);
    if (alarm) drop_pollable(alarm);
    return failed;
}

#endif
