/* prompt.h - from a prompt as a caller gives it to tokens that fit. Thread rule: any thread; an engine is only read. */
#ifndef TFR_GENERATION_PROMPT_H
#define TFR_GENERATION_PROMPT_H

#include "generation/params.h"
#include "session/prompt_ids.h"

/* The ids of a generation's prompt, checked and cut, and how many tokens may follow. `index` is for messages. */
enum tfr_status tfr_prompt_read(const struct tfr_engine *engine, const struct tfr_params *params,
                                const struct tfr_tokenizer *tokenizer, const struct tfr_prompt *prompt, size_t index,
                                struct tfr_ids *ids, int64_t *max_tokens);

#endif
