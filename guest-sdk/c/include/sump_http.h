/* HTTP for sinks.
 *
 * In the sandbox requests go through the runtime's own pooled client, as far as the pipeline's configuration grants it
 * (allow.http). No redirects are followed. In tests a function answers: see sump_test.h.
 */
#ifndef SUMP_HTTP_H
#define SUMP_HTTP_H

#include <sump.h>

typedef struct sump_http_header {
    const char *name, *value;
} sump_http_header;

typedef struct sump_http_request {
    /* Such as "POST", and where to: http://… or https://… */
    const char *method, *url;
    const sump_http_header *headers;
    size_t header_count;
    sump_bytes body;
    /* For this request; 0 for what the runtime gives the whole call, less a tenth. */
    uint32_t timeout_ms;
} sump_http_request;

/* An answer, in memory that is there until the call ends. */
typedef struct sump_http_response {
    int status;
    const sump_http_header *headers;
    size_t header_count;
    sump_bytes body;
} sump_http_response;

/* Sends a request that has to succeed: sump_http_do, then sump_http_check. */
int sump_http_send(const sump_http_request *request);

/* Sends a request; any status is an answer, not a failure. One that can never be sent is rejected, code "http-invalid"; one that
 * the configuration does not allow halts the sink, code "http-denied"; one that was not sent is transient, code "http-not-sent";
 * one that was sent, at least in part, and got no answer is unknown, code "http-no-answer". */
int sump_http_do(const sump_http_request *request, sump_http_response *response);

/* Says what a status means for what was sent, as the runtime's own HTTP sink takes it: 2xx is written; 408, 425, 429 and 5xx but
 * 501 and 505 are transient, after Retry-After in seconds; 401, 403 and 407 halt the sink; others are rejected. The code is "http-"
 * and the status. A request with several events that is answered 413 is rejected too: the runtime then splits the batch. */
int sump_http_check(const sump_http_response *response);

/* The value of the first header of this name, in any case of letters, or NULL. */
const char *sump_http_header_of(const sump_http_response *response, const char *name);

#endif
