/* Posts the payload of each event, and says what was answered in the log. */
#include <stdio.h>
#include <sump_http.h>

struct config {
    const char *url;
};

static const sump_field fields[] = {SUMP_TEXT(struct config, url, NULL, "Where to."), SUMP_END};

static int process(void *state, const sump_call *call, const sump_event *event)
{
    const struct config *config = state;
    char number[24];
    snprintf(number, sizeof number, "%zu", event->index);
    const sump_http_header headers[] = {{"x-batch", call->batch_id}, {"x-event", number}};
    sump_http_request request = {.method = "POST", .url = config->url, .headers = headers, .header_count = 2};
    sump_http_response response;
    int failed = sump_event_bytes(event, &request.body);
    if (!failed) failed = sump_http_do(&request, &response);
    if (failed) return failed;
    fprintf(stderr, "answered %d, %zu headers, %zu bytes\n", response.status, response.header_count, response.body.len);
    return sump_http_check(&response);
}

SUMP_SINK(.name = "post", .version = "0.1.0", .fields = fields, .config_size = sizeof(struct config), .process = process)
