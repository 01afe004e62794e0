/* load_reply.h - what the events and whole replies of a completions route say: tokens, usage, how it ended. */
#ifndef TFR_APP_LOAD_REPLY_H
#define TFR_APP_LOAD_REPLY_H

#include <tfrun/types.h>

struct tfr_load_reply { /* all 0: nothing yet */
    int64_t n_tokens;   /* of the events; the usage, once it came */
    bool has_usage;
    bool has_ended; /* [DONE] came, or the reply was a whole one */
    bool finished;  /* a finish_reason came */
    bool by_length; /* and it was "length" */
    char error[200];
};

/* One event's data. The number of its tokens, 0 where it has none; -1 with `error`. */
int64_t tfr_load_reply_event(struct tfr_load_reply *reply, const char *data, size_t size);
/* A reply that was not streamed; false with `error`. Of a scored prompt also whether it has log-probabilities of all its tokens. */
bool tfr_load_reply_whole(struct tfr_load_reply *reply, const char *body, size_t size, bool scored);
/* The words of an error's body, as far as there are any. */
void tfr_load_reply_refusal(const char *body, size_t size, char *words, size_t room);

#endif
