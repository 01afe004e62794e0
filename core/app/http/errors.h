/* errors.h - the errors of the table errors.def and their JSON body. Thread rule: any thread, no state. */
#ifndef TFR_APP_HTTP_ERRORS_H
#define TFR_APP_HTTP_ERRORS_H

#include "base/json.h"

enum tfr_error {
#define TFR_ERROR(name, status, type, code, text) TFR_ERROR_##name,
#include "app/http/errors.def"
#undef TFR_ERROR
    TFR_N_ERRORS
};

struct tfr_error_info {
    int status;
    const char *type, *code, *text; /* code NULL: null */
};

const struct tfr_error_info *tfr_error_info(enum tfr_error error);
/* {"error":{...}}; `param` NULL: null; `message` NULL: the table's text. */
void tfr_error_body(struct tfr_json_out *out, enum tfr_error error, const char *param, const char *message);

#endif
