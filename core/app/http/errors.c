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

void tfr_error_body(struct tfr_json_out *out, enum tfr_error error, const char *param, const char *message) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_begin(out, "error", '{');
    tfr_json_put_text(out, "message", message != NULL ? message : errors[error].text);
    tfr_json_put_text(out, "type", errors[error].type);
    tfr_json_put_text_or_null(out, "param", param);
    tfr_json_put_text_or_null(out, "code", errors[error].code);
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
}
