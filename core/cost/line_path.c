/* line_path.c - which lines run: the bits of line_paths.def from a config and a question, and the classes by name. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "cost/line_sum.h"

enum tfr_line_class tfr_line_class_of(enum tfr_head head) {
    static const enum tfr_line_class classes[] = {
        [TFR_HEAD_LM] = TFR_LINE_LM_HEAD,        [TFR_HEAD_NONE] = TFR_LINE_MODEL,  [TFR_HEAD_DOUBLE] = TFR_LINE_DOUBLE,
        [TFR_HEAD_SEQUENCE] = TFR_LINE_SEQUENCE, [TFR_HEAD_TOKEN] = TFR_LINE_TOKEN, [TFR_HEAD_QA] = TFR_LINE_QA,
    };
    return classes[head];
}

static uint32_t bit(bool holds, tfr_line_when on) {
    return holds ? (uint32_t)on : 0;
}

static uint32_t summary_bits(const struct tfr_hparams *hparams) {
    return bit(hparams->summary_type == TFR_SUMMARY_LAST, TFR_ON(SUM_LAST)) |
           bit(hparams->summary_type == TFR_SUMMARY_FIRST, TFR_ON(SUM_FIRST)) |
           bit(hparams->summary_type == TFR_SUMMARY_MEAN, TFR_ON(SUM_MEAN)) |
           bit(hparams->summary_type == TFR_SUMMARY_CLS_INDEX, TFR_ON(SUM_INDEX)) |
           bit(hparams->summary_use_proj, TFR_ON(SUM_PROJ)) | bit(hparams->summary_activation != TFR_ACT_NONE, TFR_ON(SUM_TANH));
}

static uint32_t path_bits(const struct tfr_hparams *hparams, const struct tfr_line_question *question) {
    return bit(!question->no_cache, TFR_ON(CACHE)) | bit(question->past, TFR_ON(PAST)) | bit(question->encoder, TFR_ON(CROSS)) |
           bit(question->encoder && question->encoder_cached, TFR_ON(CROSS_PAST)) | bit(question->fused, TFR_ON(FUSED)) |
           bit(!question->one_row && hparams->n_head > 1, TFR_ON(APART)) |
           bit(hparams->reorder_and_upcast_attn && !question->fused, TFR_ON(UPCAST)) |
           bit(hparams->scale_attn_weights, TFR_ON(SCALE)) | bit(hparams->scale_attn_by_inverse_layer_idx, TFR_ON(BY_LAYER)) |
           bit(hparams->pad_token_id >= 0, TFR_ON(PAD)) | summary_bits(hparams);
}

/* "4.40.2, 4.57.6, 5.24.0" */
static void name_releases(char *text, size_t size) {
    text[0] = '\0';
    for (int i = 0; i < tfr_line_n_releases(); i++) {
        const size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", tfr_line_release_name(tfr_line_release(i)));
    }
}

static enum tfr_status find_release(struct tfr_line_path *path, const char *name) {
    path->release = name == NULL ? tfr_line_release(tfr_line_n_releases() - 1) : tfr_line_find_release(name);
    if (path->release != NULL) {
        return TFR_OK;
    }
    char known[256];
    name_releases(known, sizeof(known));
    return tfr_raise(TFR_USAGE, "no table of lines for transformers %s; there is one for %s", name, known);
}

/* Whether a class of this release has a row that does the step of this operation; found by its cost text. */
static bool has_kept_rows(const struct tfr_line_path *path) {
    struct tfr_line_source source;
    if (!tfr_line_source(path->release, TFR_LINE_LM_HEAD, path->activation_function, &source)) {
        return false;
    }
    for (int i = 0; i < source.n_rows; i++) {
        if (strcmp(source.row[i].step->cost, "slice()") == 0) {
            return true;
        }
    }
    return false;
}

enum tfr_status tfr_line_path_set(struct tfr_line_path *path, const struct tfr_hparams *hparams,
                                  const struct tfr_line_question *question) {
    *path = (struct tfr_line_path){.bits = path_bits(hparams, question),
                                   .activation_function = hparams->activation_name,
                                   .summary_activation = (enum tfr_activation)hparams->summary_activation,
                                   .only_last = question->only_last,
                                   .summary_is_hidden = !hparams->summary_use_proj || !hparams->summary_proj_to_labels,
                                   .element = 4};
    TFR_TRY(find_release(path, question->release));
    const char *release = tfr_line_release_name(path->release);
    struct tfr_line_source source;
    if (question->fused && !tfr_line_source(path->release, TFR_LINE_SDPA, path->activation_function, &source)) {
        return tfr_raise(
            TFR_USAGE,
            "GPT-2 of transformers %s has no fused attention: ask for its eager one (--attn eager, --class GPT2Attention), or give "
            "a newer --release",
            release);
    }
    if (!tfr_line_source(path->release, TFR_LINE_ACTIVATION, path->activation_function, &source)) {
        return tfr_raise(TFR_USAGE, "transformers %s has no activation_function \"%s\"; give a newer --release", release,
                         path->activation_function);
    }
    if (question->only_last && !has_kept_rows(path)) {
        return tfr_raise(TFR_USAGE,
                         "GPT-2 of transformers %s computes the logits of all positions (no logits_to_keep); give --logits all, "
                         "or a newer --release",
                         release);
    }
    return TFR_OK;
}

uint32_t tfr_line_bits(const struct tfr_line_path *path, enum tfr_line_class cls) {
    return path->bits | tfr_line_class_sets(cls);
}

enum tfr_status tfr_line_need_source(const struct tfr_line_path *path, enum tfr_line_class cls, struct tfr_line_source *source) {
    if (tfr_line_source(path->release, cls, path->activation_function, source)) {
        return TFR_OK;
    }
    return tfr_raise(TFR_USAGE, "transformers %s has no %s", tfr_line_release_name(path->release), tfr_line_class_info(cls).page);
}

/* The last word of a qualified name: "GPT2Model". */
static const char *last_word(const char *qualified) {
    const char *dot = strrchr(qualified, '.');
    return dot != NULL ? dot + 1 : qualified;
}

static bool is_called(const struct tfr_line_path *path, enum tfr_line_class cls, const char *name) {
    struct tfr_line_source source;
    const struct tfr_line_class_info info = tfr_line_class_info(cls);
    if (strcmp(info.page, name) == 0) {
        return true;
    }
    return info.variant[0] == '\0' && tfr_line_source(path->release, cls, path->activation_function, &source) &&
           (strcmp(source.qualified, name) == 0 || strcmp(last_word(source.qualified), name) == 0);
}

/* "activation (NewGELUActivation)": by both names, where the source has another than the page. */
static void add_known(const struct tfr_line_path *path, enum tfr_line_class cls, char *known, size_t size) {
    const struct tfr_line_class_info info = tfr_line_class_info(cls);
    const size_t used = strlen(known);
    struct tfr_line_source source;
    const bool is_here = tfr_line_source(path->release, cls, path->activation_function, &source);
    const bool has_other = is_here && info.variant[0] == '\0' && strcmp(last_word(source.qualified), info.page) != 0;
    snprintf(known + used, size - used, "%s%s%s%s%s", used > 0 ? ", " : "", info.page, has_other ? " (" : "",
             has_other ? last_word(source.qualified) : "", has_other ? ")" : "");
}

enum tfr_status tfr_line_class_named(const struct tfr_line_path *path, const char *name, enum tfr_line_class *cls) {
    char known[1024] = "";
    struct tfr_line_source source;
    if ((tfr_line_page_bits(name, cls) & path->bits) != 0) {
        return tfr_line_need_source(path, *cls, &source);
    }
    for (int i = 0; i < TFR_LINE_CLASS_COUNT; i++) {
        if (is_called(path, (enum tfr_line_class)i, name)) {
            *cls = (enum tfr_line_class)i;
            return tfr_line_need_source(path, *cls, &source);
        }
        add_known(path, (enum tfr_line_class)i, known, sizeof(known));
    }
    return tfr_raise(TFR_USAGE,
                     "--class %s is none that the tables of lines have; they have %s; GPT2Block-cross and "
                     "GPT2Attention-fused are the pages with encoder states and with fused attention",
                     name, known);
}
