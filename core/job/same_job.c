/* same_job.c - ranks started with different commands or on unlike nodes would compute nonsense or wait for each other:
 * before work starts they compare fingerprints of all that the result and the messages depend on. */
#include "rank/rank.h"

#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/status.h"

enum { PARTS = 4 };

/* Fingerprints of one rank; what each is called in a message stands beside them where they are made. */
struct fingerprints {
    uint64_t part[PARTS];
};

static uint64_t mix_number(uint64_t hash, double number) {
    return tfr_hash(hash, &number, sizeof number);
}

static uint64_t mix_text(uint64_t hash, const char *text) {
    return text != NULL ? tfr_hash(hash, text, strlen(text) + 1) : tfr_hash(hash, "", 1);
}

uint64_t tfr_hparams_fingerprint(const struct tfr_hparams *m) {
    const double numbers[] = {(double)m->vocab_size,
                              (double)m->n_positions,
                              (double)m->n_embd,
                              (double)m->n_layer,
                              (double)m->n_head,
                              (double)m->n_inner,
                              m->activation,
                              m->layer_norm_epsilon,
                              m->scale_attn_weights,
                              m->scale_attn_by_inverse_layer_idx,
                              m->reorder_and_upcast_attn,
                              m->tie_word_embeddings,
                              m->add_cross_attention,
                              m->is_causal,
                              m->head,
                              (double)m->num_labels,
                              m->summary_type,
                              m->summary_use_proj,
                              m->summary_proj_to_labels,
                              m->allow_missing_head};
    uint64_t hash = 0;
    for (size_t i = 0; i < TFR_COUNT_OF(numbers); i++) {
        hash = mix_number(hash, numbers[i]);
    }
    return hash;
}

static uint64_t runtime_fingerprint(const struct tfr_config *config) {
    const struct tfr_options *o = &config->options;
    uint64_t hash = mix_text(0, o->runtime_kernels);
    for (size_t i = 0; i < o->runtime_int4_finer.n; i++) {
        hash = mix_text(hash, o->runtime_int4_finer.items[i]);
    }
    const double numbers[] = {o->runtime_dtype,
                              o->runtime_int4_group,
                              o->runtime_int4_zero_point,
                              o->runtime_isa,
                              o->runtime_attn,
                              o->runtime_deterministic,
                              o->runtime_sums,
                              (double)o->runtime_max_rows,
                              (double)o->runtime_max_batch,
                              (double)o->runtime_max_slots,
                              tfr_kv_dtype(config),
                              o->runtime_kv_cache,
                              (double)o->runtime_kv_capacity};
    for (size_t i = 0; i < TFR_COUNT_OF(numbers); i++) {
        hash = mix_number(hash, numbers[i]);
    }
    return hash;
}

static uint64_t split_fingerprint(const struct tfr_config *config) {
    const struct tfr_device_map *map = &config->device_map;
    uint64_t hash = mix_number(mix_number(0, config->options.parallel_split), config->options.parallel_head);
    hash = mix_number(hash, (double)config->options.parallel_tensor);
    return tfr_hash(hash, map->rank_of_block, (size_t)map->n_blocks * sizeof *map->rank_of_block);
}

/* Rank 0 looks through everybody's; the verdict comes back through agree. */
static enum tfr_status compare(const struct fingerprints *all, int n_ranks, const char *const *names) {
    for (int rank = 1; rank < n_ranks; rank++) {
        for (int i = 0; i < PARTS; i++) {
            if (all[rank].part[i] != all[0].part[i]) {
                return tfr_raise(TFR_USAGE,
                                 "rank %d has %s than rank 0; start all ranks with the same config and options "
                                 "on nodes of one kind",
                                 rank, names[i]);
            }
        }
    }
    return TFR_OK;
}

static enum tfr_status exchange(struct tfr_engine *engine, const struct fingerprints *mine, const char *const *names) {
    const int n_ranks = tfr_engine_size(engine);
    if (n_ranks == 1) {
        return TFR_OK;
    }
    struct fingerprints *all = tfr_alloc((size_t)n_ranks, sizeof *all);
    enum tfr_status status = tfr_comm_agree(engine->comm, all != NULL ? TFR_OK : TFR_RESOURCE);
    if (status == TFR_OK) {
        status = tfr_comm_gather(engine->comm, mine, sizeof *mine, all);
    }
    if (status == TFR_OK) {
        status = tfr_comm_agree(engine->comm, tfr_engine_rank(engine) == 0 ? compare(all, n_ranks, names) : TFR_OK);
    }
    tfr_free(all);
    return status;
}

enum tfr_status tfr_engine_same_config(struct tfr_engine *engine) {
    static const char *const names[PARTS] = {"another model", "other options under tfrun.runtime", "another split of the blocks",
                                             "another tfrun.model.prefix"};
    const struct tfr_config *config = engine->config;
    const struct fingerprints mine = {{tfr_hparams_fingerprint(&config->model), runtime_fingerprint(config),
                                       split_fingerprint(config), mix_text(0, config->options.model_prefix)}};
    return exchange(engine, &mine, names);
}

/* Orders of addition that both ranks decided on must be equal; a rank without blocks decides on fewer. */
enum tfr_status tfr_engine_same_orders(struct tfr_engine *engine) {
    static const char *const names[PARTS] = {"kernels that add in another order"};
    struct tfr_order_book book = engine->orders;
    TFR_TRY(tfr_comm_bcast(engine->comm, &book, sizeof book));
    enum tfr_status status = TFR_OK;
    for (int i = 0; status == TFR_OK && i < engine->orders.n; i++) {
        const struct tfr_order_entry *mine = &engine->orders.entry[i];
        for (int j = 0; j < book.n; j++) {
            const struct tfr_order_entry *other = &book.entry[j];
            if (mine->k == other->k && mine->n == other->n && mine->dtype == other->dtype &&
                mine->activation == other->activation && mine->transposed == other->transposed && mine->k_block == other->k_block &&
                (mine->order.kind != other->order.kind || mine->order.k_block != other->order.k_block)) {
                status = tfr_raise(TFR_USAGE,
                                   "this rank has %s than rank 0; run on nodes of one kind, or with "
                                   "--deterministic=false",
                                   names[0]);
            }
        }
    }
    return tfr_comm_agree(engine->comm, status);
}
