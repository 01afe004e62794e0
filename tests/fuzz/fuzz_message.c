/* fuzz_message.c - control messages, as a rank gets them of rank 0: kind, part and body of each. What is taken is obeyed by an
 * engine of one rank; what is left out are questions whose answers rank 0 alone has room for. Whatever was obeyed, a sequence of
 * its own has the logits that it always has.
 *
 * Input: a byte for the model, then messages: a byte for the kind, six numbers of four bytes, the bytes of the body in two, the
 * body.
 */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "harness.h"
#include "job/command.h"
#include "job/message_check.h"
#include "job/samples.h"
#include "rank/step_run.h"

/* A growing cache may be as long as memory is, and is copied as a whole. */
enum { MOST_POSITIONS = 4096 };
enum { NUMBERS = 6, HEAD = 1 + 4 * NUMBERS + 2, MOST_MESSAGES = 16 };

static bool is_obeyed(int32_t kind) {
    return kind != TFR_MESSAGE_MEMORY && kind != TFR_MESSAGE_FACTS && kind != TFR_MESSAGE_SAMPLES && kind != TFR_MESSAGE_TRACE &&
           kind != TFR_MESSAGE_CALL;
}

/* What rank 0 does before a step, and after it. */
static enum tfr_status obey_step(struct tfr_engine *engine, struct tfr_message *message) {
    const struct tfr_step_body *body = tfr_message_body(message);
    struct tfr_step_memory *memory = &engine->steps.memory[body->memory];
    TFR_TRY(tfr_step_reserve_logits(engine, memory, tfr_bucket(body->n_logits > 0 ? body->n_logits : 1, engine->max_rows),
                                    &body->features));
    TFR_TRY(tfr_command(engine, message));
    return tfr_step_wait(engine, memory);
}

/* A message of the input; how many bytes it took, 0 at the end. */
static size_t hear(struct tfr_engine *engine, const uint8_t *data, size_t size) {
    int32_t numbers[NUMBERS];
    if (size < HEAD) {
        return 0;
    }
    memcpy(numbers, data + 1, sizeof numbers);
    const size_t said = (size_t)(data[HEAD - 2] | data[HEAD - 1] << 8), n = said < size - HEAD ? said : size - HEAD;
    const int32_t kind = data[0] % TFR_N_MESSAGES;
    struct tfr_message *message = tfr_message_new(engine, (enum tfr_message_kind)kind, n);
    tfr_fuzz_require(message != NULL, "there is memory for a message");
    message->from = numbers[0];
    message->part = (struct tfr_kv_part){
        .slot = numbers[1], .is_cross = numbers[2] & 1, .layer = numbers[3], .first = numbers[4], .n = numbers[5]};
    if (n > 0) {
        memcpy(tfr_message_body(message), data + HEAD, n);
    }
    const bool is_small = message->part.first <= MOST_POSITIONS && message->part.n <= MOST_POSITIONS;
    if (tfr_fuzz_accepted(tfr_message_check(engine, message)) && is_obeyed(kind) && is_small) {
        tfr_fuzz_accepted(kind == TFR_MESSAGE_STEP ? obey_step(engine, message) : tfr_command(engine, message));
    }
    return HEAD + n;
}

static uint64_t logits_of_one(struct tfr_engine *engine) {
    static const int32_t ids[] = {5, 6, 7};
    struct tfr_session *session;
    const float *logits;
    uint64_t sum = 0;
    tfr_fuzz_require(tfr_session_open(&session, engine, 4) == TFR_OK, "a sequence opens after any messages");
    const struct tfr_feed feed = {.session = session, .ids = ids, .n = 3, .keep = 1};
    tfr_fuzz_require(tfr_engine_feed(engine, &feed, 1, &logits) == TFR_OK, "a sequence is fed after any messages");
    for (int64_t i = 0; i < tfr_engine_vocab_size(engine); i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        sum = sum * 31 + bits;
    }
    tfr_session_close(session);
    return sum;
}

int tfr_fuzz_message(const uint8_t *data, size_t size) {
    static uint64_t wanted[2];
    if (size == 0) {
        return 0;
    }
    const int which = data[0] & 1;
    struct tfr_engine *engine = tfr_fuzz_engine(which == 0 ? "lm" : "cross");
    wanted[which] = wanted[which] == 0 ? logits_of_one(engine) : wanted[which];
    size_t at = 1, taken = 1;
    for (int i = 0; i < MOST_MESSAGES && taken > 0; i++, at += taken) {
        taken = hear(engine, data + at, size - at);
    }
    (void)tfr_watch_obey(engine, 0);
    for (int32_t slot = 0; slot < engine->n_slots; slot++) {
        tfr_engine_close_slot(engine, slot);
    }
    tfr_fuzz_require(logits_of_one(engine) == wanted[which], "logits are the same after any messages");
    return 0;
}
