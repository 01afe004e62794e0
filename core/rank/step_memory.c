/* step_memory.c - the buffers of steps, opened with room for the largest one: see step_run.h. */
#include "base/status.h"
#include "rank/rank.h"
#include "rank/step_run.h"

static void close_arrays(struct tfr_step_memory *memory) {
    tfr_free(memory->slots);
    tfr_free(memory->ids);
    tfr_free(memory->positions);
    tfr_free(memory->token_types);
    tfr_free(memory->logit_rows);
    tfr_free(memory->seqs);
    memory->slots = memory->ids = memory->positions = memory->token_types = memory->logit_rows = NULL;
    memory->seqs = NULL;
}

enum tfr_status tfr_step_memory_open(struct tfr_engine *engine, struct tfr_step_memory *memory) {
    const size_t rows = (size_t)engine->max_rows;
    memory->slots = tfr_alloc(rows, sizeof *memory->slots);
    memory->positions = tfr_alloc(rows, sizeof *memory->positions);
    memory->token_types = tfr_alloc(rows, sizeof *memory->token_types);
    memory->logit_rows = tfr_alloc(rows, sizeof *memory->logit_rows);
    memory->seqs = tfr_alloc(rows, sizeof *memory->seqs);
    memory->ids = tfr_alloc(rows, sizeof *memory->ids);
    const bool has_all = memory->slots != NULL && memory->positions != NULL && memory->token_types != NULL &&
                         memory->logit_rows != NULL && memory->seqs != NULL && memory->ids != NULL;
    if (!has_all) {
        close_arrays(memory);
    }
    return has_all ? TFR_OK : TFR_RESOURCE;
}

static bool open_results(struct tfr_step_memory *memory, size_t items, size_t n_head) {
    memory->hidden = tfr_alloc(items, sizeof *memory->hidden);
    memory->weights = tfr_alloc(items, sizeof *memory->weights);
    memory->cross_weights = tfr_alloc(items, sizeof *memory->cross_weights);
    memory->local_weights = tfr_alloc(items, sizeof *memory->local_weights);
    memory->local_cross = tfr_alloc(items, sizeof *memory->local_cross);
    memory->head_mask = tfr_alloc(items * n_head, sizeof *memory->head_mask);
    return memory->hidden != NULL && memory->weights != NULL && memory->cross_weights != NULL && memory->local_weights != NULL &&
           memory->local_cross != NULL && memory->head_mask != NULL;
}

enum tfr_status tfr_steps_open(struct tfr_engine *engine) {
    const struct tfr_hparams *model = &engine->config->model;
    const size_t rows = (size_t)engine->max_rows;
    struct tfr_step_memory *memory = &engine->steps.memory[0];
    const int wanted = 2 * tfr_placement_n_shares(&engine->placement) + 2; /* each rank has one, and another one is on its way */
    const int most = engine->placement.replicas * (wanted < TFR_STEPS_OF_REPLICA ? wanted : TFR_STEPS_OF_REPLICA);
    engine->steps.most = most < TFR_STEP_MEMORIES - 1 ? most : TFR_STEP_MEMORIES - 1;
    TFR_TRY(tfr_step_memory_open(engine, memory));
    if (!open_results(memory, (size_t)model->n_layer + 1, (size_t)model->n_head)) {
        return TFR_RESOURCE;
    }
    TFR_TRY(tfr_block_open(&memory->embeds, rows * (size_t)model->n_embd * sizeof(float), TFR_HUGEPAGES_OFF));
    if (tfr_engine_rank(engine) != 0) {
        return TFR_OK;
    }
    return tfr_block_open(&memory->logits, rows * (size_t)tfr_engine_logit_width(engine) * sizeof(float), TFR_HUGEPAGES_OFF);
}

void tfr_steps_trim(struct tfr_engine *engine) {
    tfr_block_close(&engine->steps.memory[0].made);
    for (int i = 0; i < TFR_STEP_MEMORIES; i++) {
        struct tfr_step_memory *memory = &engine->steps.memory[i];
        if (memory->run == NULL && !memory->taken) {
            tfr_block_close(&memory->shares);
        }
        if (i > 0 && memory->run == NULL && !memory->taken) { /* the first keeps its own, opened for the largest step */
            tfr_block_close(&memory->logits);
        }
    }
}

static void close_memory(struct tfr_step_memory *memory) {
    tfr_block_close(&memory->embeds);
    tfr_block_close(&memory->logits);
    tfr_block_close(&memory->shares);
    close_arrays(memory);
    tfr_free(memory->hidden);
    tfr_free(memory->weights);
    tfr_free(memory->cross_weights);
    tfr_free(memory->local_weights);
    tfr_free(memory->local_cross);
    tfr_free(memory->head_mask);
    *memory = (struct tfr_step_memory){0};
}

void tfr_steps_close(struct tfr_engine *engine) {
    tfr_steps_trim(engine);
    for (int i = 0; i < TFR_STEP_MEMORIES; i++) {
        struct tfr_step_memory *memory = &engine->steps.memory[i];
        if (memory->run != NULL) {
            tfr_exec_close_run(engine->exec, memory->run);
        }
        if (memory->failed != NULL) {
            tfr_exec_close_run(engine->exec, memory->failed);
        }
        close_memory(memory);
    }
}
