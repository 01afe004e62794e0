/* quantize_config.c - config.json of a folder that `tfrun quantize` writes: the source's members in their order, with a
 * quantization_config of its own and tfrun.runtime.dtype set. What tfrun.model said about the files of the source is left out: the
 * new ones lie beside the config. */
#include <string.h>

#include <tfrun/quant.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "model/quantize_parts.h"

static bool is_one_of(const char *key, const char *const *keys, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(key, keys[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Members of `object` but those named; NULL has none. */
static void put_rest(struct tfr_json_out *out, const struct tfr_json_doc *doc, const tfr_json *object, const char *const *but,
                     size_t n) {
    for (const tfr_json *member = object != NULL ? tfr_json_first(object) : NULL; member != NULL; member = tfr_json_next(member)) {
        if (!is_one_of(tfr_json_key(member), but, n)) {
            tfr_json_put_node(out, tfr_json_key(member), doc, member);
        }
    }
}

static void put_quantization(struct tfr_json_out *out, const struct tfr_quantize_form *form) {
    tfr_json_begin(out, "quantization_config", '{');
    tfr_json_put_text(out, "quant_method", "tfrun");
    tfr_json_put_int(out, "version", 1);
    tfr_json_put_text(out, "weights", form->to);
    if (tfr_quant_group(form->dtype) > 0) {
        tfr_json_put_int(out, "group_size", tfr_quant_group(form->dtype));
        tfr_json_put_bool(out, "zero_point", tfr_quant_has_zero(form->dtype));
    }
    if (form->smooth > 0) {
        tfr_json_put_number(out, "smooth", form->smooth);
    }
    tfr_json_end(out, '}');
}

/* So that the same checkpoint rounded while it is opened has the same types, and so that a plan without weights knows them. */
static void put_int4(struct tfr_json_out *out, const struct tfr_quantize_form *form) {
    const struct tfr_string_list *finer = form->finer;
    if (tfr_quant_group(form->dtype) < 0) {
        return;
    }
    tfr_json_put_text(out, "int4_group", tfr_quant_group(form->dtype) == 32 ? "32" : "64");
    tfr_json_put_bool(out, "int4_zero_point", tfr_quant_has_zero(form->dtype));
    tfr_json_put_texts(out, "int4_finer", finer != NULL ? finer->items : NULL, finer != NULL ? finer->n : 0);
}

static void put_tfrun(struct tfr_json_out *out, const struct tfr_json_doc *doc, const tfr_json *tfrun,
                      const struct tfr_quantize_form *form) {
    static const char *const files[] = {"weights", "tensor_prefix", "ignore_tensors", "adapter", "adapter_beside", "tokenizer"};
    static const char *const own[] = {"version", "model", "runtime"}, *const of_runtime[] = {"dtype", "int4_group",
                                                                                             "int4_zero_point", "int4_finer"};
    tfr_json_begin(out, "tfrun", '{');
    tfr_json_put_int(out, "version", 1);
    put_rest(out, doc, tfrun, own, TFR_COUNT_OF(own));
    tfr_json_begin(out, "model", '{');
    put_rest(out, doc, tfr_json_member(tfrun, "model"), files, TFR_COUNT_OF(files));
    tfr_json_end(out, '}');
    tfr_json_begin(out, "runtime", '{');
    tfr_json_put_text(out, "dtype", form->runtime);
    put_int4(out, form);
    put_rest(out, doc, tfr_json_member(tfrun, "runtime"), of_runtime, TFR_COUNT_OF(of_runtime));
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
}

static void put_line(struct tfr_json_out *out, int depth) {
    tfr_json_put_raw(out, "\n");
    for (int i = 0; i < depth; i++) {
        tfr_json_put_raw(out, "  ");
    }
}

/* The same JSON with a member a line, for people. */
static void put_lines(struct tfr_json_out *out, const char *text) {
    int depth = 0;
    bool in_string = false;
    for (const char *at = text; *at != '\0'; at++) {
        const bool opens = !in_string && (*at == '{' || *at == '['), closes = !in_string && (*at == '}' || *at == ']');
        const bool is_empty = opens && (at[1] == '}' || at[1] == ']');
        if (closes && at[-1] != '{' && at[-1] != '[') {
            put_line(out, --depth);
        }
        tfr_json_put_bytes(out, at, 1);
        if (in_string && *at == '\\') {
            tfr_json_put_bytes(out, ++at, 1);
        } else if (*at == '"') {
            in_string = !in_string;
        } else if (opens && !is_empty) {
            put_line(out, ++depth);
        } else if (!in_string && *at == ',') {
            put_line(out, depth);
        } else if (!in_string && *at == ':') {
            tfr_json_put_raw(out, " ");
        }
    }
    tfr_json_put_raw(out, "\n");
}

enum tfr_status tfr_quantize_config(const struct tfr_config *config, const struct tfr_quantize_form *form, struct tfr_outfile *to) {
    static const char *const own[] = {"quantization_config", "tfrun"};
    struct tfr_json_doc *doc;
    struct tfr_json_out out = {0}, lines = {0};
    TFR_TRY(tfr_json_open_file(&doc, config->path, TFR_CONFIG));
    const tfr_json *root = tfr_json_root(doc);
    tfr_json_begin(&out, NULL, '{');
    put_rest(&out, doc, root, own, TFR_COUNT_OF(own));
    put_quantization(&out, form);
    put_tfrun(&out, doc, tfr_json_member(root, "tfrun"), form);
    tfr_json_end(&out, '}');
    tfr_json_close(doc);
    char *text = NULL, *pretty = NULL;
    enum tfr_status status = tfr_json_take(&out, &text);
    if (status == TFR_OK) {
        put_lines(&lines, text);
        status = tfr_json_take(&lines, &pretty);
    }
    if (status == TFR_OK) {
        status = tfr_outfile_write(to, pretty, strlen(pretty));
    }
    tfr_free(text);
    tfr_free(pretty);
    return status;
}
