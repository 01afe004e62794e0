/* prompt_ids.c - see prompt_ids.h. */
#include "session/prompt_ids.h"

#include <string.h>

#include "base/status.h"
#include "config/config.h"

enum tfr_status tfr_prompt_ids(const struct tfr_tokenizer *tokenizer, const struct tfr_prompt *prompt, struct tfr_ids *ids) {
    if (prompt->text != NULL) {
        return tfr_tokenizer_encode(tokenizer, prompt->text, prompt->size, TFR_SPECIAL_PARSE, ids);
    }
    for (size_t i = 0; i < prompt->n_ids; i++) {
        TFR_TRY(tfr_ids_append(ids, prompt->ids[i]));
    }
    return TFR_OK;
}

void tfr_ids_cut(struct tfr_ids *ids, size_t room, int where) {
    if (where == TFR_TRUNCATE_LEFT) {
        memmove(ids->data, ids->data + ids->n - room, room * sizeof *ids->data);
    }
    ids->n = room;
}
