/* act_array.c - act_apply_vec over an array; test_act.c links one copy per ISA. */
#include "act_array.h"

void V_NAME(tfr_act_array)(const float *x, float *y, int n, int activation) {
    for (int i = 0; i < n; i += VW) {
        const int lanes = n - i < VW ? n - i : VW;
        v_store_n(y + i, act_apply_vec(v_load_n(x + i, lanes), activation), lanes);
    }
}

void V_NAME(tfr_exp_array)(const float *x, float *y, int n) {
    for (int i = 0; i < n; i += VW) {
        const int lanes = n - i < VW ? n - i : VW;
        v_store_n(y + i, v_exp(v_load_n(x + i, lanes)), lanes);
    }
}

float V_NAME(tfr_sum16)(const float *x) {
    vf part[V16];
    for (int i = 0; i < V16; i++) {
        part[i] = v_load(x + i * VW);
    }
    return v_sum16(part);
}
