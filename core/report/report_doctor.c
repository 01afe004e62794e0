/* report_doctor.c - what is wrong with how this job's ranks were started, each with the fix; in words or JSON. Rank 0 alone
 * reports. */
#include <tfrun/tfrun.h>

#include <stdio.h>

#include "base/json.h"
#include "base/memtext.h"
#include "base/plural.h"
#include "base/status.h"
#include "config/config.h"
#include "rank/meet.h"
#include "report/doctor_seats.h"

enum { OPENING_TIMEOUT_S = 300 };

static enum tfr_status write_text(const struct tfr_finding *found, int n, int n_ranks, char **text) {
    FILE *stream;
    size_t size;
    TFR_TRY(tfr_memtext_open(&stream, text, &size));
    for (int i = 0; i < n; i++) {
        fprintf(stream, "%s: %s\n    %s\n", found[i].name, found[i].what, found[i].fix);
    }
    if (n == 0) {
        fprintf(stream, "nothing found: %d rank%s\n", n_ranks, tfr_plural(n_ranks));
    }
    return tfr_memtext_close(stream, text);
}

static enum tfr_status write_json(const struct tfr_finding *found, int n, int n_ranks, char **text) {
    struct tfr_json_out json = {0};
    tfr_json_begin(&json, NULL, '{');
    tfr_json_put_text(&json, "schema", "tfrun-doctor-1");
    tfr_json_put_int(&json, "ranks", n_ranks);
    tfr_json_begin(&json, "findings", '[');
    for (int i = 0; i < n; i++) {
        tfr_json_begin(&json, NULL, '{');
        tfr_json_put_text(&json, "name", found[i].name);
        tfr_json_put_text(&json, "what", found[i].what);
        tfr_json_put_text(&json, "fix", found[i].fix);
        tfr_json_end(&json, '}');
    }
    tfr_json_end(&json, ']');
    tfr_json_end(&json, '}');
    return tfr_json_take(&json, text);
}

/* Shards share each block, replicas have blocks of their own, and of a split head every rank has a part; 0: no number is too large.
 */
static int64_t ranks_with_work(const struct tfr_config *config) {
    const struct tfr_options *options = &config->options;
    const bool may_bring_split = options->parallel_tensor > 1 && tfr_config_is_default(config, "parallel.head");
    const bool is_split = options->parallel_head == TFR_HEAD_AT_SPLIT || options->parallel_split == TFR_SPLIT_AUTO;
    return is_split || may_bring_split ? 0 : config->model.n_layer * options->parallel_tensor * options->parallel_replicas;
}

static enum tfr_status read_facts(const char *path, const struct tfr_override *overrides, size_t n_overrides, int64_t *n_blocks,
                                  int64_t *n_threads, struct tfr_machine **machine) {
    struct tfr_config *config = NULL;
    TFR_TRY(tfr_machine_read(machine));
    TFR_TRY(path != NULL ? tfr_config_load(&config, path, overrides, n_overrides)
                         : tfr_config_alone(&config, overrides, n_overrides));
    *n_blocks = path != NULL ? ranks_with_work(config) : 0;
    *n_threads = config->options.runtime_threads;
    tfr_config_free(config);
    return TFR_OK;
}

static enum tfr_status examine(struct tfr_comm *comm, const struct tfr_machine *machine, int64_t n_threads, int64_t n_blocks,
                               enum tfr_report_form form, char **text, int *n_found) {
    struct tfr_thread_choice choice;
    struct tfr_finding found[TFR_MOST_FINDINGS];
    int index, size;
    TFR_TRY(tfr_comm_group(comm, tfr_machine_core_key(machine), &index, &size));
    TFR_TRY(tfr_comm_agree(comm, tfr_machine_choose_threads(machine, (int)n_threads, index, size, &choice)));
    TFR_TRY(tfr_doctor_visit(comm, machine, &choice, n_blocks, found, n_found));
    enum tfr_status status = TFR_OK;
    if (tfr_comm_rank(comm) == 0) {
        status = form == TFR_REPORT_JSON ? write_json(found, *n_found, tfr_comm_size(comm), text)
                                         : write_text(found, *n_found, tfr_comm_size(comm), text);
    }
    return tfr_comm_agree(comm, status);
}

enum tfr_status tfr_report_doctor(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                  enum tfr_report_form form, char **text, int *n_found) {
    struct tfr_machine *machine = NULL;
    struct tfr_comm *comm = NULL;
    int64_t n_blocks = 0, n_threads = 0;
    *text = NULL;
    *n_found = 0;
    enum tfr_status status = tfr_rank_meet(&comm, OPENING_TIMEOUT_S);
    if (status == TFR_OK) {
        status = tfr_comm_agree(comm, read_facts(path, overrides, n_overrides, &n_blocks, &n_threads, &machine));
    }
    if (status == TFR_OK) {
        status = examine(comm, machine, n_threads, n_blocks, form, text, n_found);
    }
    tfr_machine_free(machine);
    return tfr_rank_part(comm, status);
}
