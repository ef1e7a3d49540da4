/* What a component exports, by the names of the contract. Part of sump.h: the macros that say what a program is put these
 * functions into it. */
#ifndef SUMP_EXPORTS_H
#define SUMP_EXPORTS_H

#ifdef __wasm__

void *sump_export_describe(const sump_sink *sink, const sump_encoder *encoder);
void *sump_export_open(const sump_sink *sink, const sump_encoder *encoder, const uint32_t *given);
void *sump_export_write(const sump_sink *sink, const void *given);
void *sump_export_encode(const sump_encoder *encoder, const void *given);
void *sump_export_close(const sump_sink *sink);
void sump_export_end(void);

#define SUMP_EXPORT(interface, function) __attribute__((export_name("sump:sink/" interface "@0.1.0#" function)))
#define SUMP_AFTER(interface, function) __attribute__((export_name("cabi_post_sump:sink/" interface "@0.1.0#" function)))

#define SUMP_EXPORTS_OF_BOTH(interface, sink, encoder) \
    SUMP_EXPORT(interface, "describe") void *sump_exported_describe(void) { return sump_export_describe(sink, encoder); } \
    SUMP_AFTER(interface, "describe") void sump_after_describe(void *at) { (void)at, sump_export_end(); } \
    SUMP_EXPORT(interface, "open") \
    void *sump_exported_open(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f, uint32_t g) \
    { \
        const uint32_t given[] = {a, b, c, d, e, f, g}; \
        return sump_export_open(sink, encoder, given); \
    } \
    SUMP_AFTER(interface, "open") void sump_after_open(void *at) { (void)at, sump_export_end(); }

#define SUMP_EXPORTS_OF_SINK \
    SUMP_EXPORTS_OF_BOTH("sink", &sump_the_sink, NULL) \
    SUMP_EXPORT("sink", "write") void *sump_exported_write(void *at) { return sump_export_write(&sump_the_sink, at); } \
    SUMP_AFTER("sink", "write") void sump_after_write(void *at) { (void)at, sump_export_end(); } \
    SUMP_EXPORT("sink", "close") void *sump_exported_close(void) { return sump_export_close(&sump_the_sink); } \
    SUMP_AFTER("sink", "close") void sump_after_close(void *at) { (void)at, sump_export_end(); }

#define SUMP_EXPORTS_OF_ENCODER \
    SUMP_EXPORTS_OF_BOTH("encoder", NULL, &sump_the_encoder) \
    SUMP_EXPORT("encoder", "encode") \
    void *sump_exported_encode(void *at) { return sump_export_encode(&sump_the_encoder, at); } \
    SUMP_AFTER("encoder", "encode") void sump_after_encode(void *at) { (void)at, sump_export_end(); }

#else

/* Natively sump_test.h calls the sink. */
#define SUMP_EXPORTS_OF_SINK
#define SUMP_EXPORTS_OF_ENCODER

#endif

#endif
