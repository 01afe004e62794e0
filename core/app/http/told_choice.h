/* told_choice.h - one text of an answer as its tokens come: text, token ids and log-probabilities, each as JSON that is only
 * appended to. Thread rule: network thread. */
#ifndef TFR_APP_HTTP_TOLD_CHOICE_H
#define TFR_APP_HTTP_TOLD_CHOICE_H

#include "app/http/ask.h"

/* Counts the characters of a text that comes as bytes of tokens. */
struct tfr_char_meter {
    int64_t n; /* whole ones, and U+FFFD for what is none */
    uint8_t pending[4];
    uint8_t n_pending;
};
void tfr_char_meter_push(struct tfr_char_meter *meter, const char *bytes, size_t size);

/* What has come and was not told yet; items without their brackets. */
struct tfr_choice {
    struct tfr_json_out text, ids; /* text: its bytes, not yet JSON */
    struct tfr_json_out tokens, token_logprobs, top_logprobs, text_offset;
    struct tfr_json_out token_ranks, top_token_ids; /* with return_token_ids */
    struct tfr_char_meter meter;
    double logprob; /* of all new tokens together, where it is known */
    size_t n_tokens;
    enum tfr_finish finish;
    bool prompt_told; /* its ids, with the first event that has text */
    bool role_told;   /* a chat's, with the first event of all */
};

void tfr_choice_free(struct tfr_choice *choice);
/* An echo: the prompt's text, and its log-probabilities where the event has them. */
void tfr_choice_put_prompt(struct tfr_choice *choice, const struct tfr_ask *ask, const struct tfr_server *server,
                           const struct tfr_ask_prompt *prompt, const struct tfr_event *event);
void tfr_choice_put_tokens(struct tfr_choice *choice, const struct tfr_ask *ask, const struct tfr_server *server,
                           const struct tfr_event *event);
/* One element of "choices": what was put and not written yet. `prompt` NULL: its ids are not told. */
void tfr_choice_write(const struct tfr_choice *choice, const struct tfr_ask *ask, size_t index, const struct tfr_ask_prompt *prompt,
                      struct tfr_json_out *out);
void tfr_choice_written(struct tfr_choice *choice);
bool tfr_choice_failed(const struct tfr_choice *choice); /* no memory */

/* "stop", "length". */
const char *tfr_finish_word(enum tfr_finish finish);

#endif
