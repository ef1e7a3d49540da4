/* What is added to events, and to which. */
#include <sump_test.h>

extern const sump_encoder sump_the_encoder;

static bool is(const sump_test *test, size_t i, const char *value)
{
    return sump_equals(test->values[i], value);
}

static void what_an_event_does_not_say_is_added(void)
{
    sump_test *test = sump_test_open_encoder(&sump_the_encoder, "{\"name\": \"site\", \"value\": \"\\\"z\\\"\", \"origin\": \"at\"}");
    sump_test_write(test, SUMP_EVENTS(SUMP_PAYLOAD("{\"mag\": 5}"), SUMP_PAYLOAD(" { } "),
                                      SUMP_PAYLOAD("{\"site\": null, \"\\u0061t\": 1}")));
    SUMP_CHECK(sump_test_all_written(test));
    SUMP_CHECK(is(test, 0, "{\"mag\": 5,\"site\":\"\\\"z\\\"\",\"at\":{\"partition\":\"test/0\",\"position\":0,\"time\":0}}"));
    SUMP_CHECK(is(test, 1, "{  \"site\":\"\\\"z\\\"\",\"at\":{\"partition\":\"test/0\",\"position\":1,\"time\":0}}"));
    SUMP_CHECK(is(test, 2, "{\"site\": null, \"\\u0061t\": 1}"));
    sump_test_close(test);
}

static void what_is_no_object_is_rejected_alone(void)
{
    sump_test *test = sump_test_open_encoder(&sump_the_encoder, "{}");
    sump_test_write(test, SUMP_EVENTS(SUMP_PAYLOAD("{"), SUMP_PAYLOAD("[1]"), SUMP_PAYLOAD("{\"a\": \"\xff\"}"), SUMP_TOMBSTONE,
                                      SUMP_PAYLOAD("{}")));
    SUMP_CHECK(sump_test_refused(test, 0, SUMP_REJECTED, "not-json"));
    SUMP_CHECK(sump_test_refused(test, 1, SUMP_REJECTED, "wrong-shape"));
    SUMP_CHECK(sump_test_refused(test, 2, SUMP_REJECTED, "not-utf8"));
    SUMP_CHECK(sump_test_refused(test, 3, SUMP_REJECTED, "no-payload"));
    SUMP_CHECK(sump_test_written(test, 4));
    sump_test_close(test);
}

static void a_value_without_a_name_is_told_at_once(void)
{
    sump_test *test = sump_test_open_encoder(&sump_the_encoder, "{\"value\": \"x\"}");
    SUMP_CHECK(sump_test_failed(test, SUMP_HALTED, "config"));
    sump_test_close(test);
}

int main(void)
{
    what_an_event_does_not_say_is_added();
    what_is_no_object_is_rejected_alone();
    a_value_without_a_name_is_told_at_once();
    return sump_test_end();
}
