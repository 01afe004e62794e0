/* tfr_gpt2.h - GPT-2 shapes for tests that need no files. */
#ifndef TFR_TEST_GPT2_H
#define TFR_TEST_GPT2_H

#include "graph/graph.h"

static inline struct tfr_hparams gpt2_124m(void) {
    return (struct tfr_hparams){.vocab_size = 50257,
                                .n_positions = 1024,
                                .n_embd = 768,
                                .n_layer = 12,
                                .n_head = 12,
                                .n_inner = 3072,
                                .activation = TFR_ACT_GELU_TANH,
                                .activation_name = "gelu_new",
                                .layer_norm_epsilon = 1e-5,
                                .initializer_range = 0.02,
                                .scale_attn_weights = true,
                                .tie_word_embeddings = true,
                                .is_causal = true,
                                .num_labels = 2};
}

static inline struct tfr_hparams gpt2_tiny(int64_t n_layer) {
    return (struct tfr_hparams){.vocab_size = 101,
                                .n_positions = 32,
                                .n_embd = 24,
                                .n_layer = n_layer,
                                .n_head = 3,
                                .n_inner = 40,
                                .activation = TFR_ACT_RELU,
                                .activation_name = "relu",
                                .layer_norm_epsilon = 1e-5,
                                .initializer_range = 0.02,
                                .scale_attn_weights = true,
                                .tie_word_embeddings = true,
                                .is_causal = true,
                                .num_labels = 2};
}

/* A chain of ranks, a stage each; `stages` [n_layer] outlives it. */
static inline struct tfr_placement gpt2_chain(int *stages, int64_t n_layer, int n_ranks, int last_stage) {
    return (struct tfr_placement){.n_ranks = n_ranks,
                                  .replicas = 1,
                                  .stages = n_ranks,
                                  .tensor = 1,
                                  .n_blocks = n_layer,
                                  .stage_of_block = stages,
                                  .last_stage = last_stage};
}

/* All blocks on rank 0. */
static inline enum tfr_status gpt2_graph(struct tfr_graph **graph, const struct tfr_hparams *hparams, int64_t rows, int64_t logits,
                                         enum tfr_dtype dtype) {
    const struct tfr_gpt2_spec spec = {
        .hparams = hparams, .placement = &tfr_placement_alone, .rows_max = rows, .logits_max = logits, .dtype = dtype};
    return tfr_gpt2_build(graph, &spec);
}

#endif
