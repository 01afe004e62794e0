/* auto_layout.h - `--split auto`: which layout of the ranks a run takes, by prediction; and what one option of a layout brings
 * along.
 *
 * What comes out stands in the config's options, as if it had been given: parallel.split, head, tensor. Options that were given
 * hold: layouts that go against them are not taken. Thread rule: one thread.
 */
#ifndef TFR_REPORT_AUTO_LAYOUT_H
#define TFR_REPORT_AUTO_LAYOUT_H

#include "rank/rank.h"

enum { TFR_TOLD_SIZE = 2048 };

struct tfr_auto_question {
    struct tfr_config *config;
    const struct tfr_machine *machine;
    const struct tfr_registry *registry;
    const struct tfr_thread_choice *threads;
    int n_ranks, ranks_per_node;
};
/* `told` [TFR_TOLD_SIZE]: what was taken and what speaks against the others, in one line; "" where there was nothing to choose. */
enum tfr_status tfr_auto_layout(const struct tfr_auto_question *question, char *told);
/* Before it, and on one rank too: refuses parallel.goal where nothing is chosen by it, and puts the split of old in place of auto
 * where there is one rank. */
enum tfr_status tfr_auto_check(struct tfr_config *config, int n_ranks);

#endif
