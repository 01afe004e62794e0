/* admission.h - whether the queue takes one more: pure arithmetic over what waits and what the engine last said of itself.
 * Thread rule: no state. */
#ifndef TFR_SERVE_ADMISSION_H
#define TFR_SERVE_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* serve.max_queue, max_queue_tokens (0: by the rate and max_queue_ms), max_queue_ms. */
struct tfr_queue_limits {
    size_t most;
    int64_t most_tokens;
    double most_s;
};

struct tfr_queue_load {
    /* of requests that wait */
    size_t waiting;
    int64_t waiting_slots, waiting_tokens; /* sequences that they will hold; tokens of their prompts */
    /* of the engine */
    int64_t slots_total, slots_used;
    int64_t leaving_slots;    /* of slots_used: the next step frees them, since their requests are cancelled */
    int64_t prompt_left;      /* tokens of admitted prompts that are not computed yet */
    double prefill_rate;      /* prompt tokens a second, alone; 0: not known */
    double rate_beside;       /* beside what runs */
    double slot_s;            /* how long a request holds its sequences; 0: not known */
    double soonest_s, last_s; /* until the first of the sequences in use is free, and until all are; 0: not known */
};

enum tfr_refusal { TFR_REFUSAL_NONE, TFR_REFUSAL_FULL, TFR_REFUSAL_TOKENS, TFR_REFUSAL_WAIT };

/* Seconds until a request that came now would have a sequence and its prompt's turn; 0 where nothing is known. */
double tfr_queue_wait_s(const struct tfr_queue_load *load);
/* Tokens of prompts that may wait; INT64_MAX where neither the limit nor the rate is known. */
int64_t tfr_queue_most_tokens(const struct tfr_queue_limits *limits, const struct tfr_queue_load *load);
/* Of n more requests with so many tokens of prompts. A queue that is empty takes anything: what it would refuse now it would
 * refuse for ever. */
enum tfr_refusal tfr_queue_judge(const struct tfr_queue_limits *limits, const struct tfr_queue_load *load, size_t n,
                                 int64_t tokens);

#endif
