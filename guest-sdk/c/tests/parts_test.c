/* JSON, configurations, and what answers of HTTP mean. */
#include <stdio.h>
#include <string.h>

#include <sump_test.h>

#include "../src/internal.h"

static bool is_json(const char *text)
{
    sump_bytes given = sump_text(text);
    return sump_json_skip(given.data, given.data + given.len) == given.data + given.len;
}

static void json_is_read_where_it_stands(void)
{
    static const char *const good[] = {"0", "-0.5e+7", "\"\\u00e9\\\\\"", "[]", "[1, {\"a\": null}]", "{\"a\" : [true,false] , \"b\":{}}"};
    static const char *const bad[] = {"", "01", "1.", "-", "1e", "\"\\x\"", "\"\\u12g4\"", "\"a", "[1,]", "[1 2]", "{\"a\"}", "{a:1}", "{\"a\":1,}", "tru"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) SUMP_CHECK(is_json(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) SUMP_CHECK(!is_json(bad[i]));
    char deep[512];
    memset(deep, '[', sizeof deep);
    SUMP_CHECK(!sump_json_skip((uint8_t *)deep, (uint8_t *)deep + sizeof deep));

    sump_bytes object = sump_text("{\"n\": -2.5e1, \"t\": \"a\\n\\u00e9\\ud83d\\ude00\\ud800\", \"\\u006f\": {\"n\": 1}}"), value, text;
    double number;
    SUMP_CHECK(sump_json_get(object, "n", &value) && sump_json_number(value, &number) && number == -25.0);
    SUMP_CHECK(sump_json_get(object, "t", &value) && sump_json_text(value, &text));
    SUMP_CHECK(sump_equals(text, "a\n\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd"));
    SUMP_CHECK(sump_json_get(object, "o", &value) && sump_equals(value, "{\"n\": 1}"));
    SUMP_CHECK(!sump_json_get(object, "x", &value));
    sump_buffer written = {0};
    sump_put_json(&written, sump_text("a\"\\\n\x01"));
    SUMP_CHECK(sump_equals((sump_bytes){written.data, written.len}, "\"a\\\"\\\\\\u000a\\u0001\""));
    sump_free_all();
}

struct config {
    const char *url, *note;
    double share;
    int64_t most;
    bool loud;
};

static const sump_field fields[] = {
    SUMP_TEXT(struct config, url, NULL, "Where \"to\"."),
    SUMP_TEXT(struct config, note, "null", NULL),
    SUMP_NUMBER(struct config, share, "0.5", NULL),
    SUMP_INTEGER(struct config, most, "7", NULL),
    SUMP_BOOL(struct config, loud, "false", NULL),
    SUMP_END,
};

static struct config opened;

static int open_sink(void *config, const sump_opening *opening, void **state)
{
    (void)opening, (void)state;
    opened = *(struct config *)config;
    return SUMP_OK;
}

static const sump_http_request asking = {.method = "POST", .url = "http://a/", .body = {(const uint8_t *)"x", 1}};

static int write_batch(void *state, const sump_call *call, const sump_batch *batch, sump_report *report)
{
    (void)state, (void)call, (void)batch, (void)report;
    return sump_http_send(&asking);
}

SUMP_SINK(.name = "parts", .version = "0", .fields = fields, .config_size = sizeof(struct config), .open = open_sink,
          .write = write_batch)

static bool opens(const char *config, const char *message)
{
    sump_test *test = sump_test_open(&sump_the_sink, config);
    bool as_told = message ? sump_test_failed(test, SUMP_HALTED, "config") && strstr(test->message, message) : !test->failed;
    if (!as_told) fprintf(stderr, "%s: %s\n", config, test->message);
    sump_test_close(test);
    return as_told;
}

static void a_configuration_becomes_a_structure(void)
{
    SUMP_CHECK(opens("{\"url\": \"u\"}", NULL));
    SUMP_CHECK(strcmp(opened.url, "u") == 0 && !opened.note && opened.share == 0.5 && opened.most == 7 && !opened.loud);
    SUMP_CHECK(opens("{\"url\": \"\", \"note\": null, \"share\": 2, \"most\": -9007199254740993, \"loud\": true}", NULL));
    SUMP_CHECK(!opened.note && opened.share == 2 && opened.most == -9007199254740993 && opened.loud);
    SUMP_CHECK(opens("{}", "`url` is missing"));
    SUMP_CHECK(opens("{\"url\": 1}", "`url` is no string"));
    SUMP_CHECK(opens("{\"url\": \"u\", \"most\": 1.5}", "`most` is no integer"));
    SUMP_CHECK(opens("{\"url\": \"u\", \"most\": 9223372036854775808}", "`most` is no integer"));
    SUMP_CHECK(opens("{\"url\": \"u\", \"loud\": 1}", "`loud` is no boolean"));
    SUMP_CHECK(opens("{\"url\": \"u\", \"urls\": 1}", "`urls` is unknown"));
    SUMP_CHECK(opens("[]", "no object"));
    sump_buffer schema = {0};
    sump_config_schema(fields, &schema);
    SUMP_CHECK(sump_equals((sump_bytes){schema.data, schema.len},
                           "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
                           "\"url\":{\"type\":\"string\",\"description\":\"Where \\\"to\\\".\"},\"note\":{\"type\":\"string\"},"
                           "\"share\":{\"type\":\"number\",\"default\":0.5},\"most\":{\"type\":\"integer\",\"default\":7},"
                           "\"loud\":{\"type\":\"boolean\",\"default\":false}},\"required\":[\"url\"]}"));
    sump_free_all();
}

static int answer(void *user, const sump_http_request *request, sump_http_response *response)
{
    static const sump_http_header later = {"Retry-After", "7"};
    response->status = *(int *)user;
    response->headers = &later;
    response->header_count = 1;
    response->body = sump_text(" no \n");
    return strcmp(request->method, "POST") == 0 ? SUMP_OK : sump_unknown("http-no-answer", "gone");
}

static void a_status_is_a_kind(void)
{
    static const struct {
        int status, kind;
    } cases[] = {
        {200, SUMP_OK}, {204, SUMP_OK}, {299, SUMP_OK}, {408, SUMP_TRANSIENT}, {425, SUMP_TRANSIENT}, {429, SUMP_TRANSIENT},
        {500, SUMP_TRANSIENT}, {503, SUMP_TRANSIENT}, {599, SUMP_TRANSIENT}, {501, SUMP_REJECTED}, {505, SUMP_REJECTED},
        {301, SUMP_REJECTED}, {400, SUMP_REJECTED}, {413, SUMP_REJECTED}, {401, SUMP_HALTED}, {403, SUMP_HALTED}, {407, SUMP_HALTED},
    };
    sump_test *test = sump_test_open(&sump_the_sink, "{\"url\": \"u\"}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = cases[i].status;
        char code[16];
        snprintf(code, sizeof code, "http-%d", status);
        sump_test_http(answer, &status);
        sump_test_write(test, SUMP_EVENTS(SUMP_PAYLOAD("x")));
        SUMP_CHECK(cases[i].kind ? sump_test_failed(test, cases[i].kind, code) : sump_test_all_written(test));
        SUMP_CHECK(!cases[i].kind || strstr(test->message, ": no"));
        sump_http_response response = {status, &(sump_http_header){"retry-AFTER", "7"}, 1, {NULL, 0}};
        int failed = sump_http_check(&response);
        if (failed == SUMP_TRANSIENT) SUMP_CHECK(sump_failure_of(failed).after_ms == 7000);
        sump_free_all();
    }
    sump_test_http(NULL, NULL);
    sump_test_write(test, SUMP_EVENTS(SUMP_PAYLOAD("x")));
    SUMP_CHECK(sump_test_failed(test, SUMP_TRANSIENT, "http-not-sent"));
    sump_test_close(test);
}

int main(void)
{
    json_is_read_where_it_stands();
    a_configuration_becomes_a_structure();
    a_status_is_a_kind();
    return sump_test_end();
}
