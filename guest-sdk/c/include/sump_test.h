/* Runs a sink or an encoder in a test, natively and without the runtime: it builds batches, opens and calls the sink, and says
 * what became of each event.
 *
 *     #include <sump_test.h>
 *
 *     extern const sump_sink sump_the_sink;
 *
 *     int main(void)
 *     {
 *         sump_test *test = sump_test_open(&sump_the_sink, "{\"greeting\": \"Hello\"}");
 *         sump_test_write(test, SUMP_EVENTS(SUMP_PAYLOAD("World")));
 *         SUMP_CHECK(sump_test_all_written(test));
 *         sump_test_close(test);
 *         return sump_test_end();
 *     }
 */
#ifndef SUMP_TEST_H
#define SUMP_TEST_H

#include <sump_http.h>

/* Fails the test, with the place, and goes on. */
#define SUMP_CHECK(condition) sump_test_check((condition), #condition, __FILE__, __LINE__)
void sump_test_check(bool holds, const char *condition, const char *file, int line);
/* What main returns; says how many checks failed. */
int sump_test_end(void);

/* An event to be written. What is not set is absent; without a partition it is "test/0" and the event's index. */
typedef struct sump_test_event {
    sump_bytes payload, key;
    const struct {
        sump_bytes name, value;
    } *headers;
    size_t header_count;
    int64_t time;
    const char *partition;
    uint64_t position;
} sump_test_event;

#define SUMP_PAYLOAD(text) {.payload = {(const uint8_t *)(text), sizeof(text) - 1}}
#define SUMP_TOMBSTONE {.payload = {NULL, 0}}
#define SUMP_EVENTS(...) \
    (const sump_test_event[]){__VA_ARGS__}, sizeof((const sump_test_event[]){__VA_ARGS__}) / sizeof(sump_test_event)

/* An opened sink, called as the runtime calls it. */
typedef struct sump_test {
    /* What the sink is told at each write. */
    sump_call call;
    /* What became of the last batch: for each event, until the next one. */
    size_t len, stopped_at;
    /* Of the whole batch, or of opening; SUMP_OK where it did not fail. */
    int failed;
    const char *code, *message;
    /* Of an encoder: what was made of each event, null where nothing was. */
    const sump_bytes *values;
    struct sump_test_inner *inner;
} sump_test;

/* Opens a sink with a configuration in JSON. One that does not open says so in `failed`, `code` and `message`. */
sump_test *sump_test_open(const sump_sink *sink, const char *config);
sump_test *sump_test_open_encoder(const sump_encoder *encoder, const char *config);
/* Closes it and frees everything. */
void sump_test_close(sump_test *test);

/* Writes or encodes a batch of these events. A report that the runtime would not take fails the test. */
void sump_test_write(sump_test *test, const sump_test_event *events, size_t len);
/* Writes a batch as it is. */
void sump_test_write_batch(sump_test *test, const sump_batch *batch);
/* Makes a batch, in memory that is there until the next write ends. */
sump_batch sump_test_batch(const sump_test_event *events, size_t len);

/* Whether every event was written, one was, one was refused with this kind and code, or the write failed as a whole with them. */
bool sump_test_all_written(const sump_test *test);
bool sump_test_written(const sump_test *test, size_t i);
bool sump_test_refused(const sump_test *test, size_t i, int kind, const char *code);
bool sump_test_failed(const sump_test *test, int kind, const char *code);

/* Answers the requests of sinks from now on: gives SUMP_OK, or a failure of its own. NULL for none. */
typedef int sump_test_answer(void *user, const sump_http_request *request, sump_http_response *response);
void sump_test_http(sump_test_answer *answer, void *user);

#endif
