/* rank.c - what a process can say of itself once it is open: who it is, what it holds, its tokenizer, the
 * wish to stop, the end of a job that can't go on. */
#include "rank/rank.h"

#include <stdatomic.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/named.h"
#include "base/status.h"
#include "model/tokenizer.h"
#include "rank/meet.h"

static atomic_int cancel_requested; /* of the process; lock-free, so a signal handler may set it */

static enum tfr_status open_tokenizer(struct tfr_engine *engine, struct tfr_tokenizer **opened) {
    const struct tfr_config *config = engine->config;
    const char *path = config->options.model_tokenizer;
    TFR_TRY(tfr_tokenizer_open(opened, path != NULL ? path : config->directory));
    const int64_t n = tfr_tokenizer_n_model(*opened);
    if (n > config->model.vocab_size) {
        tfr_tokenizer_close(*opened);
        return tfr_raise(TFR_MODEL, "%s: the tokenizer has %lld tokens, vocab_size is %lld; take the model's own tokenizer",
                         config->path, (long long)n, (long long)config->model.vocab_size);
    }
    return TFR_OK;
}

/* Of two threads that open it at once one keeps what it has, and the other takes that. */
enum tfr_status tfr_engine_tokenizer(struct tfr_engine *engine, const struct tfr_tokenizer **tokenizer) {
    struct tfr_tokenizer *known = atomic_load(&engine->tokenizer), *opened;
    if (known == NULL) {
        TFR_TRY(open_tokenizer(engine, &opened));
        if (atomic_compare_exchange_strong(&engine->tokenizer, &known, opened)) {
            known = opened;
        } else {
            tfr_tokenizer_close(opened);
        }
    }
    *tokenizer = known;
    return TFR_OK;
}

int tfr_engine_rank(const struct tfr_engine *engine) {
    return tfr_comm_rank(engine->comm);
}

int tfr_engine_size(const struct tfr_engine *engine) {
    return tfr_comm_size(engine->comm);
}

bool tfr_engine_is_of(const struct tfr_engine *engine, int32_t replica) {
    return replica == TFR_ALL_REPLICAS || tfr_placement_replica_of(&engine->placement, tfr_engine_rank(engine)) == replica;
}

int tfr_launched_rank(void) {
    int rank = 0, size = 1;
    return tfr_comm_launched(&rank, &size) ? rank : 0;
}

int tfr_launched_size(void) {
    int rank = 0, size = 1;
    return tfr_comm_launched(&rank, &size) ? size : 1;
}

void tfr_launched_hear(void) {
    sigset_t kept;
    sigemptyset(&kept);
    sigaddset(&kept, TFR_SIGNAL_NAMED);
    sigprocmask(SIG_BLOCK, &kept, NULL);
    tfr_word_name_job();
}

bool tfr_launched_is_named(void) {
    return tfr_is_named() || tfr_word_is_taken();
}

void tfr_rank_give_up(const struct tfr_engine *engine, enum tfr_status status) {
    if (status != TFR_OK) {
        tfr_rank_end_job(engine->comm, status);
    }
}

void tfr_rank_stay_together(const struct tfr_engine *engine, enum tfr_status status, uint64_t agreed_before) {
    if (tfr_comm_count_agreed(engine->comm) == agreed_before) {
        tfr_rank_give_up(engine, status);
    }
}

void tfr_engine_set_digest(struct tfr_engine *engine, bool is_wanted) {
    engine->no_digest = !is_wanted;
}

void tfr_engine_cancel(void) {
    atomic_store(&cancel_requested, 1);
}

void tfr_engine_leave(void) {
    tfr_comm_leave();
    tfr_engine_cancel();
}

bool tfr_engine_cancelled(void) {
    return atomic_load(&cancel_requested) != 0;
}

void tfr_engine_clear_cancel(void) {
    atomic_store(&cancel_requested, 0);
}

/* Keys and values of encoder states, counted at the first slot that has them. */
static int64_t cross_bytes(const struct tfr_engine *engine, int64_t at) {
    const struct tfr_cross *cross = engine->slots[at].cross;
    for (int64_t i = 0; i < at && cross != NULL; i++) {
        if (engine->slots[i].cross == cross) {
            return 0;
        }
    }
    return cross != NULL ? (int64_t)cross->kv.block.size : 0;
}

struct tfr_memory tfr_engine_memory(const struct tfr_engine *engine) {
    struct tfr_memory memory = {.weights_bytes = (int64_t)tfr_store_bytes(engine->store),
                                .activations_bytes = (int64_t)tfr_exec_bytes(engine->exec)};
    for (int64_t i = 0; i <= engine->n_slots; i++) {
        memory.kv_bytes += engine->slots[i].open ? (int64_t)engine->slots[i].kv.block.size + cross_bytes(engine, i) : 0;
    }
    return memory;
}

enum tfr_status tfr_engine_find_tokenizer(struct tfr_engine *engine, bool *found) {
    const struct tfr_tokenizer *tokenizer;
    const enum tfr_status status = tfr_engine_tokenizer(engine, &tokenizer);
    const char *named = engine->config->options.model_tokenizer;
    const char *path = named != NULL ? named : engine->config->directory;
    *found = status == TFR_OK;
    if (status != TFR_RESOURCE) {
        return TFR_OK; /* one that does not fit is as good as none */
    }
    const bool is_there = tfr_path_is_directory(path) ? tfr_path_holds(path, "tokenizer.json") || tfr_path_holds(path, "vocab.json")
                                                      : tfr_path_exists(path);
    return is_there ? status : TFR_OK;
}

bool tfr_engine_has_tokenizer(struct tfr_engine *engine) {
    const struct tfr_tokenizer *tokenizer;
    return tfr_engine_tokenizer(engine, &tokenizer) == TFR_OK;
}

int tfr_engine_threads(const struct tfr_engine *engine) {
    return engine->threads.n_threads;
}

const char *tfr_engine_class(const struct tfr_engine *engine) {
    return tfr_head_class(engine->config->model.head);
}

int64_t tfr_engine_vocab_size(const struct tfr_engine *engine) {
    return engine->config->model.vocab_size;
}

int64_t tfr_engine_n_positions(const struct tfr_engine *engine) {
    return tfr_kv_capacity(engine->config) - engine->n_prefix;
}

int64_t tfr_engine_logit_width(const struct tfr_engine *engine) {
    const struct tfr_hparams *model = &engine->config->model;
    const int64_t widths[] = {model->vocab_size, model->num_labels, model->n_embd, 2 /* question answering */};
    int64_t widest = 0;
    for (size_t i = 0; i < TFR_COUNT_OF(widths); i++) {
        widest = widths[i] > widest ? widths[i] : widest;
    }
    return widest;
}
