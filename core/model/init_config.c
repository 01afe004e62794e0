/* init_config.c - the config of a folder that `tfrun init` writes: the source, byte for byte, without a byte-order mark, and except
 * that the values of tfrun.model.weights and tfrun.model.tokenizer, where they are set, now name the files beside it, and that
 * what it says of the source's own weights is null: how their names begin, how they were rounded, what adapts them. */
#include "model/init_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/textfile.h"

/* A config is text for people; a larger file is something else. */
enum { MAX_CONFIG_BYTES = 16 << 20, MAX_CHANGES = 6 };

/* One value of the text and what takes its place. */
struct change {
    size_t begin, end;
    const char *value; /* JSON */
};

/* Columns count characters: bytes that continue one are passed over. */
static size_t offset_of(const char *text, int line, int column) {
    const char *at = text;
    for (; line > 1; line--) {
        at = strchr(at, '\n') + 1;
    }
    for (; column > 1; column--) {
        do {
            at++;
        } while (((unsigned char)*at & 0xC0) == 0x80);
    }
    return (size_t)(at - text);
}

/* One past the closing quote of the string that starts at `begin`; the text was scanned, so there is one. */
static size_t string_end(const char *text, size_t begin) {
    size_t at = begin + 1;
    while (text[at] != '"') {
        at += text[at] == '\\' ? 2 : 1;
    }
    return at + 1;
}

/* One past a string, an object or a list that starts at `begin`. */
static size_t value_end(const char *text, size_t begin) {
    size_t at = begin;
    int depth = 0;
    do {
        if (text[at] == '"') {
            at = string_end(text, at);
            continue;
        }
        depth += (text[at] == '{' || text[at] == '[') - (text[at] == '}' || text[at] == ']');
        at++;
    } while (depth > 0);
    return at;
}

static int by_begin(const void *left, const void *right) {
    const struct change *a = left, *b = right;
    return (a->begin > b->begin) - (a->begin < b->begin);
}

/* What the source says of its weights, and of adapters that were made for them, holds for no others. */
static size_t find_changes(const struct tfr_json_doc *doc, const char *text, struct change *changes) {
    static const struct {
        bool is_ours; /* under tfrun.model */
        const char *key, *value;
    } keys[MAX_CHANGES] = {{false, "quantization_config", "null"},
                           {true, "weights", "\"model.safetensors\""},
                           {true, "tokenizer", "\".\""},
                           {true, "tensor_prefix", "null"},
                           {true, "prefix", "null"},
                           {true, "adapter", "null"}};
    const tfr_json *root = tfr_json_root(doc), *model = tfr_json_member(tfr_json_member(root, "tfrun"), "model");
    size_t n = 0;
    for (size_t i = 0; i < MAX_CHANGES; i++) {
        const tfr_json *node = tfr_json_member(keys[i].is_ours ? model : root, keys[i].key);
        const enum tfr_json_kind kind = tfr_json_kind(node);
        if (kind == TFR_JSON_STRING || kind == TFR_JSON_OBJECT) {
            int line, column;
            tfr_json_place(doc, node, &line, &column);
            const size_t begin = offset_of(text, line, column);
            changes[n++] = (struct change){.begin = begin, .end = value_end(text, begin), .value = keys[i].value};
        }
    }
    if (n > 0) {
        qsort(changes, n, sizeof *changes, by_begin);
    }
    return n;
}

static enum tfr_status write_changed(struct tfr_outfile *out, const char *text, size_t size, const struct change *changes,
                                     size_t n) {
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        TFR_TRY(tfr_outfile_write(out, text + at, changes[i].begin - at));
        TFR_TRY(tfr_outfile_write(out, changes[i].value, strlen(changes[i].value)));
        at = changes[i].end;
    }
    return tfr_outfile_write(out, text + at, size - at);
}

static enum tfr_status write_config(struct tfr_outfile *out, const char *text, size_t size, const struct tfr_json_doc *doc) {
    struct change changes[MAX_CHANGES];
    const size_t n = find_changes(doc, text, changes);
    return write_changed(out, text, size, changes, n);
}

enum tfr_status tfr_init_copy_config(const char *from, struct tfr_outfile *to) {
    char *text = NULL;
    size_t size;
    struct tfr_json_doc *doc = NULL;
    TFR_TRY(tfr_textfile_read(from, MAX_CONFIG_BYTES, TFR_CONFIG, &text, &size));
    enum tfr_status status = tfr_json_open_read(&doc, from, text, size, TFR_CONFIG);
    if (status == TFR_OK) {
        status = write_config(to, text, size, doc);
        tfr_json_close(doc);
    }
    tfr_free(text);
    return status;
}
