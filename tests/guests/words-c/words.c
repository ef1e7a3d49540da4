/* Words does what the payloads of its events say. One such guest in every language is held to the same list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sump.h>

struct config {
    const char *begin, *flush, *open;
    bool echo;
};

static const sump_field fields[] = {
    SUMP_TEXT(struct config, begin, "null", NULL),
    SUMP_TEXT(struct config, flush, "null", NULL),
    SUMP_TEXT(struct config, open, "null", NULL),
    SUMP_BOOL(struct config, echo, "false", "Reject each event with what it is as the message."),
    SUMP_END,
};

/* Fills memory and gives it back: what another who thought it his would spoil. */
static int work(void)
{
    enum { BLOCKS = 32, SIZE = 1 << 20 };
    static unsigned char *kept[BLOCKS];
    int failed = SUMP_OK;
    for (int i = 0; i < BLOCKS; i++) {
        kept[i] = calloc(1, SIZE);
        const char *zone = getenv("TZ");
        fputs(zone ? zone : "", stderr);
    }
    for (int i = 0; i < BLOCKS; i++) {
        for (int n = 0; kept[i] && n < SIZE; n++)
            if (kept[i][n]) failed = sump_unknown("spoilt", "memory that nobody wrote to has %d in it", kept[i][n]);
        free(kept[i]);
    }
    return failed;
}

static int obey(sump_bytes word)
{
    if (sump_equals(word, "busy")) return sump_transient("busy", 0, "come again");
    if (sump_equals(word, "bad")) return sump_rejected("bad", "never");
    if (sump_equals(word, "lost")) return sump_unknown("lost", "who knows");
    if (sump_equals(word, "halt")) return sump_halted("halt", "call the operator");
    if (sump_equals(word, "uncaught")) return -1;
    if (sump_equals(word, "print")) fprintf(stderr, "a word: %.*s\n", (int)word.len, (const char *)word.data);
    if (sump_equals(word, "exit")) exit(3);
    if (sump_equals(word, "spin"))
        for (volatile unsigned n = 0;;) n++;
    if (sump_equals(word, "eat"))
        for (;;) memset(sump_alloc(1 << 20), 1, 1 << 20);
    return sump_equals(word, "work") ? work() : SUMP_OK;
}

static void put_hex(sump_buffer *out, sump_bytes bytes)
{
    if (!bytes.data) sump_put(out, "-", 1);
    for (size_t i = 0; i < bytes.len; i++) sump_putf(out, "%02x", bytes.data[i]);
}

/* Says what an event is: bytes in hexadecimal, `-` for what is absent. */
static int echo(const sump_event *event)
{
    sump_buffer out = {0};
    sump_putf(&out, "payload=");
    put_hex(&out, sump_event_payload(event));
    sump_putf(&out, " key=");
    put_hex(&out, sump_event_key(event));
    sump_putf(&out, " time=%lld headers=", (long long)sump_event_time(event));
    for (size_t n = 0; n < sump_event_headers(event); n++) {
        if (n) sump_put(&out, ",", 1);
        put_hex(&out, sump_event_header_name(event, n));
        sump_put(&out, ":", 1);
        put_hex(&out, sump_event_header_value(event, n));
    }
    sump_bytes at = sump_event_partition(event);
    sump_putf(&out, " at=%.*s/%llu", (int)at.len, (const char *)at.data, (unsigned long long)sump_event_position(event));
    return sump_rejected("echo", "%.*s", (int)out.len, (const char *)out.data);
}

static int open_words(void *config, const sump_opening *opening, void **state)
{
    (void)opening, (void)state;
    return obey(sump_text(((struct config *)config)->open));
}

static int begin(void *state, const sump_call *call)
{
    (void)call;
    return obey(sump_text(((struct config *)state)->begin));
}

static int process(void *state, const sump_call *call, const sump_event *event)
{
    (void)call;
    if (((struct config *)state)->echo) return echo(event);
    sump_bytes word;
    int failed = sump_event_text(event, &word);
    return failed ? failed : obey(word);
}

static int flush(void *state, const sump_call *call)
{
    (void)call;
    return obey(sump_text(((struct config *)state)->flush));
}

SUMP_SINK(.name = "words", .version = "0.1.0", .fields = fields, .config_size = sizeof(struct config), .open = open_words,
          .begin = begin, .process = process, .flush = flush)
