/* row_loops_body.h - the loops of row_loops.c for one width of vectors: included once for each, with NAME(function), TARGET (the
 * attribute that lets the compiler use such vectors) and LABEL. Inner loops have constant ends, so that compilers make vectors of
 * them.
 */

/* sum[j] in double of one block's lanes. */
TARGET static double NAME(block_sum)(const double *e) {
    double sum[TFR_ROW_LANES];
    for (int j = 0; j < TFR_ROW_LANES; j++) {
        sum[j] = e[j];
    }
    for (int c = TFR_ROW_LANES; c < TFR_ROW_BLOCK; c += TFR_ROW_LANES) {
        for (int j = 0; j < TFR_ROW_LANES; j++) {
            sum[j] += e[c + j];
        }
    }
    return tree(sum);
}

TARGET static bool NAME(is_below)(const float *x, int64_t n, float limit) {
    float padded[TFR_ROW_BLOCK];
    const float *block = whole_block(x, n, padded);
    int32_t near[2 * TFR_ROW_LANES] = {0}, any = 0;
    for (int c = 0; c < TFR_ROW_BLOCK; c += 2 * TFR_ROW_LANES) {
        for (int j = 0; j < 2 * TFR_ROW_LANES; j++) {
            near[j] |= !(block[c + j] < limit);
        }
    }
    for (int j = 0; j < 2 * TFR_ROW_LANES; j++) {
        any |= near[j];
    }
    return any == 0;
}

TARGET static float NAME(largest)(const float *x, int64_t n, float from, int32_t *nan) {
    float most[2 * TFR_ROW_LANES];
    int32_t odd[2 * TFR_ROW_LANES] = {0}, any = from != from;
    int64_t i = 0;
    for (int j = 0; j < 2 * TFR_ROW_LANES; j++) {
        most[j] = from;
    }
    for (; i + 2 * TFR_ROW_LANES <= n; i += 2 * TFR_ROW_LANES) {
        for (int j = 0; j < 2 * TFR_ROW_LANES; j++) {
            most[j] = x[i + j] > most[j] ? x[i + j] : most[j];
            odd[j] |= x[i + j] != x[i + j];
        }
    }
    for (; i < n; i++) {
        from = x[i] > from ? x[i] : from;
        any |= x[i] != x[i];
    }
    for (int j = 0; j < 2 * TFR_ROW_LANES; j++) {
        from = most[j] > from ? most[j] : from;
        any |= odd[j];
    }
    *nan |= any;
    return from;
}

TARGET static double NAME(exp_sum)(const float *x, int64_t n, double shift) {
    float padded[TFR_ROW_BLOCK];
    double e[TFR_ROW_BLOCK], sum = 0;
    for (int64_t first = 0; first < n; first += TFR_ROW_BLOCK) {
        const float *block = whole_block(x + first, n - first, padded);
        if (NAME(is_below)(block, TFR_ROW_BLOCK, (float)shift - FAR)) {
            continue;
        }
        for (int c = 0; c < TFR_ROW_BLOCK; c++) {
            e[c] = exp_of((double)block[c] - shift);
        }
        sum += NAME(block_sum)(e);
    }
    return sum;
}

TARGET static double NAME(weights)(const float *x, int64_t n, float shift, float *p) {
    float padded[TFR_ROW_BLOCK], w[TFR_ROW_BLOCK];
    double e[TFR_ROW_BLOCK], sum = 0;
    for (int64_t first = 0; first < n; first += TFR_ROW_BLOCK) {
        const int64_t count = n - first < TFR_ROW_BLOCK ? n - first : TFR_ROW_BLOCK;
        const float *block = whole_block(x + first, count, padded);
        if (NAME(is_below)(block, TFR_ROW_BLOCK, shift - FAR)) {
            memset(p + first, 0, (size_t)count * sizeof *p);
            continue;
        }
        for (int c = 0; c < TFR_ROW_BLOCK; c++) {
            w[c] = block[c] - shift;
            e[c] = exp_of((double)w[c]);
            w[c] = (float)e[c];
            e[c] = (double)w[c];
        }
        sum += NAME(block_sum)(e);
        memcpy(p + first, w, (size_t)count * sizeof *p);
    }
    return sum;
}

TARGET static double NAME(sum)(const float *x, int64_t n) {
    double e[TFR_ROW_BLOCK], sum = 0;
    for (int64_t first = 0; first < n; first += TFR_ROW_BLOCK) {
        if (n - first < TFR_ROW_BLOCK) {
            for (int c = 0; c < TFR_ROW_BLOCK; c++) {
                e[c] = first + c < n ? (double)x[first + c] : 0;
            }
        } else {
            for (int c = 0; c < TFR_ROW_BLOCK; c++) {
                e[c] = (double)x[first + c];
            }
        }
        sum += NAME(block_sum)(e);
    }
    return sum;
}

TARGET static void NAME(larger)(float *restrict most, const float *restrict x, int64_t n) {
    int64_t i = 0;
    for (; i + 2 * TFR_ROW_LANES <= n; i += 2 * TFR_ROW_LANES) {
        for (int j = 0; j < 2 * TFR_ROW_LANES; j++) {
            most[i + j] = x[i + j] > most[i + j] ? x[i + j] : most[i + j];
        }
    }
    for (; i < n; i++) {
        most[i] = x[i] > most[i] ? x[i] : most[i];
    }
}

static const struct tfr_row_loops NAME(loops) = {.name = LABEL,
                                                 .largest = NAME(largest),
                                                 .exp_sum = NAME(exp_sum),
                                                 .weights = NAME(weights),
                                                 .sum = NAME(sum),
                                                 .is_below = NAME(is_below),
                                                 .larger = NAME(larger)};

#undef NAME
#undef TARGET
#undef LABEL
