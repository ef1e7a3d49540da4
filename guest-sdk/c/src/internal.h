/* What the parts of the SDK share. */
#ifndef SUMP_INTERNAL_H
#define SUMP_INTERNAL_H

#include <sump.h>

/* A failure, in memory that is there until the call ends. */
typedef struct sump_failure {
    int kind;
    uint32_t after_ms;
    sump_bytes code, message;
} sump_failure;

/* Events that failed alike. */
typedef struct sump_refusal {
    sump_failure failure;
    uint32_t *events;
    size_t len, room;
} sump_refusal;

struct sump_report {
    sump_refusal *refused;
    size_t len, room;
    bool stopped;
    size_t stopped_at;
};

/* What the last failure was, given what a function returned. */
sump_failure sump_failure_of(int failed);

/* Ends the memory of the call. */
void sump_free_all(void);
/* Memory that is there until the call ends, aligned for anything; NULL when there is none left. */
void *sump_try_alloc(size_t size);

/* Reads a configuration into memory that stays. Fails as halted, code "config". */
int sump_config_read(const sump_field *fields, size_t size, sump_bytes json, void **config);
/* The JSON Schema of one. */
void sump_config_schema(const sump_field *fields, sump_buffer *schema);

/* Opens a sink or an encoder, and writes a batch. Give SUMP_OK or a kind. */
int sump_open(const sump_sink *sink, const sump_encoder *encoder, sump_bytes config, const sump_opening *opening, void **state);
int sump_write(const sump_sink *sink, void *state, const sump_call *call, const sump_batch *batch, sump_report *report);

/* A walk over JSON: past the value at `at`; NULL where there is no well-formed one. */
const uint8_t *sump_json_skip(const uint8_t *at, const uint8_t *end);
const uint8_t *sump_json_space(const uint8_t *at, const uint8_t *end);
/* The next member of an object, whose walk begins behind its brace: 1, or 0 at its end, or -1 where it is malformed. */
int sump_json_member(const uint8_t **at, const uint8_t *end, sump_bytes *name, sump_bytes *value);

/* When the call in progress has to be done, in milliseconds from its start less a tenth; 0 for no bound. */
extern uint32_t sump_time_left_ms;

#endif
