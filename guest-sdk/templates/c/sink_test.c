/* The sink, run natively. */
#include <sump_test.h>

extern const sump_sink sump_the_sink;

static void an_event_with_an_id_is_written(void)
{
    sump_test *test = sump_test_open(&sump_the_sink, "{\"prefix\": \"quake\"}");
    sump_test_write(test, SUMP_EVENTS(SUMP_PAYLOAD("{\"id\": 1}"), SUMP_PAYLOAD("{\"id\": \"b\"}")));
    SUMP_CHECK(sump_test_all_written(test));
    sump_test_close(test);
}

static void what_has_no_id_is_rejected_alone(void)
{
    sump_test *test = sump_test_open(&sump_the_sink, "{}");
    sump_test_write(test, SUMP_EVENTS(SUMP_PAYLOAD("{\"id\": 1}"), SUMP_PAYLOAD("no json"), SUMP_PAYLOAD("{}"), SUMP_TOMBSTONE));
    SUMP_CHECK(sump_test_written(test, 0));
    SUMP_CHECK(sump_test_refused(test, 1, SUMP_REJECTED, "not-json"));
    SUMP_CHECK(sump_test_refused(test, 2, SUMP_REJECTED, "no-id"));
    SUMP_CHECK(sump_test_refused(test, 3, SUMP_REJECTED, "no-payload"));
    sump_test_close(test);
}

int main(void)
{
    an_event_with_an_id_is_written();
    what_has_no_id_is_rejected_alone();
    return sump_test_end();
}
