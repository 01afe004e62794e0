/* errors.c - see errors.h. */
#include "app/http/errors.h"

static const struct tfr_error_info errors[] = {
#define TFR_ERROR(name, status, type, code, text) {status, type, code, text},
#include "app/http/errors.def"
#undef TFR_ERROR
};

const struct tfr_error_info *tfr_error_info(enum tfr_error error) {
    return &errors[error];
}

static void put_or_null(struct tfr_json_out *out, const char *key, const char *text) {
    if (text != NULL) {
        tfr_json_put_text(out, key, text);
    } else {
        tfr_json_put_null(out, key);
    }
}

void tfr_error_body(struct tfr_json_out *out, enum tfr_error error, const char *param, const char *message) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_begin(out, "error", '{');
    tfr_json_put_text(out, "message", message != NULL ? message : errors[error].text);
    tfr_json_put_text(out, "type", errors[error].type);
    put_or_null(out, "param", param);
    put_or_null(out, "code", errors[error].code);
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
}
