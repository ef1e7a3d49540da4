/* JSON, read where it stands, and configurations by their tables of fields. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* How deep values may be nested. */
enum { DEEPEST = 128 };

const uint8_t *sump_json_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
    return at;
}

static const uint8_t *string(const uint8_t *at, const uint8_t *end)
{
    if (at == end || *at != '"') return NULL;
    for (at++; at < end; at++) {
        if (*at == '"') return at + 1;
        if (*at < 0x20) return NULL;
        if (*at != '\\') continue;
        if (++at == end) return NULL;
        if (*at == 'u') {
            for (int i = 0; i < 4; i++) {
                if (++at == end) return NULL;
                bool is_hex = (*at >= '0' && *at <= '9') || ((*at | 32) >= 'a' && (*at | 32) <= 'f');
                if (!is_hex) return NULL;
            }
        } else if (!memchr("\"\\/bfnrt", *at, 8)) {
            return NULL;
        }
    }
    return NULL;
}

static const uint8_t *digits(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *from = at;
    while (at < end && *at >= '0' && *at <= '9') at++;
    return at == from ? NULL : at;
}

static const uint8_t *number(const uint8_t *at, const uint8_t *end)
{
    if (at < end && *at == '-') at++;
    const uint8_t *from = at;
    at = digits(at, end);
    if (!at || (*from == '0' && at - from > 1)) return NULL;
    if (at < end && *at == '.' && !(at = digits(at + 1, end))) return NULL;
    if (at < end && (*at | 32) == 'e') {
        at++;
        if (at < end && (*at == '+' || *at == '-')) at++;
        at = digits(at, end);
    }
    return at;
}

static const uint8_t *word(const uint8_t *at, const uint8_t *end, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(end - at) >= len && memcmp(at, text, len) == 0 ? at + len : NULL;
}

static const uint8_t *skip(const uint8_t *at, const uint8_t *end, int depth)
{
    at = sump_json_space(at, end);
    if (at == end || depth > DEEPEST) return NULL;
    switch (*at) {
    case '"': return string(at, end);
    case 't': return word(at, end, "true");
    case 'f': return word(at, end, "false");
    case 'n': return word(at, end, "null");
    case '{':
    case '[': break;
    default: return number(at, end);
    }
    uint8_t close = *at == '{' ? '}' : ']';
    at = sump_json_space(at + 1, end);
    if (at < end && *at == close) return at + 1;
    for (;;) {
        if (close == '}') {
            at = string(at, end);
            if (!at) return NULL;
            at = sump_json_space(at, end);
            if (at == end || *at++ != ':') return NULL;
        }
        at = skip(at, end, depth + 1);
        if (!at) return NULL;
        at = sump_json_space(at, end);
        if (at == end) return NULL;
        if (*at == close) return at + 1;
        if (*at++ != ',') return NULL;
        at = sump_json_space(at, end);
    }
}

const uint8_t *sump_json_skip(const uint8_t *at, const uint8_t *end)
{
    return skip(at, end, 0);
}

int sump_json_member(const uint8_t **at, const uint8_t *end, sump_bytes *name, sump_bytes *value)
{
    const uint8_t *from = sump_json_space(*at, end), *to;
    if (from < end && *from == ',') from = sump_json_space(from + 1, end);
    if (from == end) return -1;
    if (*from == '}') return 0;
    to = string(from, end);
    if (!to) return -1;
    *name = (sump_bytes){from, (size_t)(to - from)};
    from = sump_json_space(to, end);
    if (from == end || *from != ':') return -1;
    from = sump_json_space(from + 1, end);
    to = sump_json_skip(from, end);
    if (!to) return -1;
    *value = (sump_bytes){from, (size_t)(to - from)};
    *at = to;
    return 1;
}

bool sump_json_get(sump_bytes object, const char *name, sump_bytes *value)
{
    const uint8_t *end = object.data + object.len, *at = sump_json_space(object.data, end);
    if (at == end || *at++ != '{') return false;
    sump_bytes found;
    while (sump_json_member(&at, end, &found, value) == 1) {
        /* Most names have no escapes in them, and are compared as they are written. */
        sump_bytes text = {found.data + 1, found.len - 2};
        if (memchr(text.data, '\\', text.len)) sump_json_text(found, &text);
        if (sump_equals(text, name)) return true;
    }
    return false;
}

bool sump_json_number(sump_bytes value, double *result)
{
    if (!value.len || number(value.data, value.data + value.len) != value.data + value.len) return false;
    char *text = sump_alloc(value.len + 1);
    memcpy(text, value.data, value.len);
    text[value.len] = 0;
    *result = strtod(text, NULL);
    return true;
}

static unsigned hex(const uint8_t *at)
{
    unsigned made = 0;
    for (int i = 0; i < 4; i++) made = made << 4 | (unsigned)(at[i] <= '9' ? at[i] - '0' : (at[i] | 32) - 'a' + 10);
    return made;
}

static uint8_t *put_character(uint8_t *to, unsigned c)
{
    if (c < 0x80) {
        *to++ = (uint8_t)c;
        return to;
    }
    static const uint8_t first[] = {0, 0xc0, 0xe0, 0xf0};
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    *to++ = (uint8_t)(first[more] | c >> 6 * more);
    while (more-- > 0) *to++ = (uint8_t)(0x80 | (c >> 6 * more & 0x3f));
    return to;
}

bool sump_json_text(sump_bytes value, sump_bytes *text)
{
    const uint8_t *end = value.data + value.len;
    if (!value.len || string(value.data, end) != end) return false;
    uint8_t *made = sump_alloc(value.len), *to = made;
    for (const uint8_t *at = value.data + 1; at < end - 1; at++) {
        if (*at != '\\') {
            *to++ = *at;
            continue;
        }
        static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
        if (*++at != 'u') {
            *to++ = (uint8_t)into[(const char *)memchr(from, *at, 8) - from];
            continue;
        }
        unsigned c = hex(at + 1);
        at += 4;
        bool is_high = c >= 0xd800 && c < 0xdc00;
        if (is_high && end - 1 - at > 6 && at[1] == '\\' && at[2] == 'u' && (hex(at + 3) & 0xfc00) == 0xdc00) {
            c = 0x10000 + ((c & 0x3ff) << 10 | (hex(at + 3) & 0x3ff));
            at += 6;
        } else if ((c & 0xf800) == 0xd800) {
            /* Half a character. */
            c = 0xfffd;
        }
        to = put_character(to, c);
    }
    *text = (sump_bytes){made, (size_t)(to - made)};
    return true;
}

/* --- Configurations --- */

/* A text stays as long as the configuration, which is until the instance ends. */
bool sump_read_text(sump_bytes value, void *field)
{
    sump_bytes text;
    if (!sump_json_text(value, &text) || memchr(text.data, 0, text.len)) return false;
    char *made = malloc(text.len + 1);
    if (!made) return false;
    memcpy(made, text.data, text.len);
    made[text.len] = 0;
    *(const char **)field = made;
    return true;
}

bool sump_read_number(sump_bytes value, void *field)
{
    return sump_json_number(value, field);
}

bool sump_read_integer(sump_bytes value, void *field)
{
    bool is_negative = value.len && value.data[0] == '-';
    uint64_t made = 0;
    for (size_t i = is_negative; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9' || made > INT64_MAX / 10) return false;
        made = made * 10 + (uint64_t)(value.data[i] - '0');
    }
    if (made > INT64_MAX) return false;
    *(int64_t *)field = is_negative ? -(int64_t)made : (int64_t)made;
    return true;
}

bool sump_read_bool(sump_bytes value, void *field)
{
    *(bool *)field = sump_equals(value, "true");
    return sump_equals(value, "true") || sump_equals(value, "false");
}

static bool set(const sump_field *field, sump_bytes value, uint8_t *config)
{
    bool is_absent = field->value && strcmp(field->value, "null") == 0 && sump_equals(value, "null");
    return is_absent || field->read(value, config + field->offset);
}

int sump_config_read(const sump_field *fields, size_t size, sump_bytes json, void **config)
{
    const uint8_t *end = json.data + json.len, *at = sump_json_space(json.data, end);
    const uint8_t *after = sump_json_skip(at, end);
    if (!after || sump_json_space(after, end) != end || *at != '{') return sump_halted("config", "it is no object in JSON");
    uint8_t *made = calloc(1, size ? size : 1);
    if (!made) return sump_transient("out-of-memory", 0, "no memory for the configuration");
    *config = made;
    sump_bytes name, value;
    for (const sump_field *field = fields; field && field->name; field++) {
        if (!sump_json_get(json, field->name, &value)) value = sump_text(field->value);
        if (!value.data) return sump_halted("config", "`%s` is missing", field->name);
        if (!set(field, value, made)) return sump_halted("config", "`%s` is no %s", field->name, field->type);
    }
    for (at++; sump_json_member(&at, end, &name, &value) == 1;) {
        const sump_field *field = fields;
        sump_json_text(name, &name);
        while (field && field->name && !sump_equals(name, field->name)) field++;
        if (!field || !field->name)
            return sump_halted("config", "`%.*s` is unknown", (int)name.len, (const char *)name.data);
    }
    return SUMP_OK;
}

void sump_config_schema(const sump_field *fields, sump_buffer *schema)
{
    const char *separator = "";
    sump_putf(schema, "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
    for (const sump_field *field = fields; field && field->name; field++, separator = ",") {
        sump_putf(schema, "%s\"%s\":{\"type\":\"%s\"", separator, field->name, field->type);
        if (field->about) {
            sump_putf(schema, ",\"description\":");
            sump_put_json(schema, sump_text(field->about));
        }
        if (field->value && strcmp(field->value, "null") != 0) sump_putf(schema, ",\"default\":%s", field->value);
        sump_putf(schema, "}");
    }
    sump_putf(schema, "},\"required\":[");
    separator = "";
    for (const sump_field *field = fields; field && field->name; field++)
        if (!field->value) {
            sump_putf(schema, "%s\"%s\"", separator, field->name);
            separator = ",";
        }
    sump_putf(schema, "]}");
}
