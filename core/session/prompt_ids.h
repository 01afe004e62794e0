/* prompt_ids.h - the tokens of a prompt. Thread rule: any thread. */
#ifndef TFR_SESSION_PROMPT_IDS_H
#define TFR_SESSION_PROMPT_IDS_H

#include <tfrun/tfrun.h>

#include "model/token_buffer.h"
#include "model/tokenizer.h"

/* A prompt's ids, by its text or as they are; cut to `room` of them on one side (input.truncate). */
enum tfr_status tfr_prompt_ids(const struct tfr_tokenizer *tokenizer, const struct tfr_prompt *prompt, struct tfr_ids *ids);
void tfr_ids_cut(struct tfr_ids *ids, size_t room, int where);

#endif
