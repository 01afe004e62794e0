/* kernel_support.c - the mode that judges nothing: which kernel serves what, and why not. */
#include "kernel_check.h"

void mode_support(struct context *context, const char *filter) {
    for (int i = 0; i < context->list.n; i++) {
        const struct tfr_kernel *kernel = context->list.kernel[i];
        struct kernel_setup setup;
        char reason[256] = "";
        if (!is_candidate(kernel, context->data, filter)) {
            continue;
        }
        if (setup_open(kernel, context->data, 1, (struct tfr_order){TFR_ORDER_ANY, 0}, &setup, reason, sizeof reason)) {
            printf("%-28s %-34s yes, packs %zu bytes (%s), order (%d, %d)\n", context->kase->name, kernel->name,
                   setup.needs.pack[1].bytes, setup.needs.pack[1].format != NULL ? setup.needs.pack[1].format : "-",
                   setup.needs.order.kind, setup.needs.order.k_block);
            setup_close(&setup);
        } else {
            printf("%-28s %-34s no: %s\n", context->kase->name, kernel->name, reason);
        }
    }
}
