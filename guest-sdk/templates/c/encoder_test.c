/* The encoder, run natively. */
#include <sump_test.h>

extern const sump_encoder sump_the_encoder;

static void an_event_becomes_a_record(void)
{
    sump_test *test = sump_test_open_encoder(&sump_the_encoder, "{\"kind\": \"quake\"}");
    sump_test_write(test, SUMP_EVENTS(SUMP_PAYLOAD("{\"id\": 1, \"more\": true}")));
    SUMP_CHECK(sump_equals(test->values[0], "{\"kind\":\"quake\",\"id\":1}"));
    sump_test_close(test);
}

static void what_has_no_id_is_refused(void)
{
    sump_test *test = sump_test_open_encoder(&sump_the_encoder, "{\"kind\": \"quake\"}");
    sump_test_write(test, SUMP_EVENTS(SUMP_PAYLOAD("{}"), SUMP_TOMBSTONE));
    SUMP_CHECK(sump_test_refused(test, 0, SUMP_REJECTED, "no-id"));
    SUMP_CHECK(sump_test_refused(test, 1, SUMP_REJECTED, "no-payload"));
    sump_test_close(test);
}

int main(void)
{
    an_event_becomes_a_record();
    what_has_no_id_is_refused();
    return sump_test_end();
}
