/* admission.c - the estimate of a wait, and the three limits: see admission.h. */
#include "serve/admission.h"

/* Sequences come free one after the other: those in use within last_s, those that wait each time all of them are held anew. */
static double slot_wait_s(const struct tfr_queue_load *load) {
    const int64_t used = load->slots_used > load->leaving_slots ? load->slots_used - load->leaving_slots : 0;
    const int64_t missing = load->waiting_slots + 1 - (load->slots_total - used);
    const double total = (double)(load->slots_total > 0 ? load->slots_total : 1);
    if (missing <= 0) {
        return 0;
    }
    if (missing > used) {
        return load->last_s + (double)(missing - used) * load->slot_s / total;
    }
    return load->soonest_s + (used > 1 ? (load->last_s - load->soonest_s) * (double)(missing - 1) / (double)(used - 1) : 0);
}

/* Prompts are read one after the other too, and both go on at the same time. */
double tfr_queue_wait_s(const struct tfr_queue_load *load) {
    const double for_slot = slot_wait_s(load);
    const double ahead = (double)(load->prompt_left + load->waiting_tokens);
    const double for_prompts = load->rate_beside > 0 ? ahead / load->rate_beside : 0;
    return for_slot > for_prompts ? for_slot : for_prompts;
}

int64_t tfr_queue_most_tokens(const struct tfr_queue_limits *limits, const struct tfr_queue_load *load) {
    if (limits->most_tokens > 0) {
        return limits->most_tokens;
    }
    const double most = load->prefill_rate * limits->most_s;
    return most > 0 && most < 1e18 ? (int64_t)most : INT64_MAX;
}

enum tfr_refusal tfr_queue_judge(const struct tfr_queue_limits *limits, const struct tfr_queue_load *load, size_t n,
                                 int64_t tokens) {
    if (load->waiting == 0) {
        return TFR_REFUSAL_NONE;
    }
    if (load->waiting + n > limits->most) {
        return TFR_REFUSAL_FULL;
    }
    if (load->waiting_tokens + tokens > tfr_queue_most_tokens(limits, load)) {
        return TFR_REFUSAL_TOKENS;
    }
    return tfr_queue_wait_s(load) > limits->most_s ? TFR_REFUSAL_WAIT : TFR_REFUSAL_NONE;
}
