/* onednn_act.c - activations after the primitive, where bits must equal those of own kernels. Compiled once
 * per ISA. */
#include "onednn/onednn.h"

#include "common/act.h"

void V_NAME(tfr_onednn_act)(float *y, int64_t n, int activation) {
    int64_t i = 0;
    for (; i + VW <= n; i += VW) {
        v_store(y + i, act_apply_vec(v_load(y + i), activation));
    }
    if (i < n) {
        v_store_n(y + i, act_apply_vec(v_load_n(y + i, (int)(n - i)), activation), (int)(n - i));
    }
}
