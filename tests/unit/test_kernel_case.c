/* test_kernel_case.c - files of cases for kernels: what is read, what is refused and in which words, and data that repeat. */
#include "tfr_test.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tfrun/kv.h>

#include "base/arena.h"
#include "base/status.h"
#include "study/kernel_data.h"

static enum tfr_status parse(struct tfr_kernel_cases *cases, const char *text) {
    return tfr_kernel_cases_parse(cases, "cases.txt", text, strlen(text));
}

TFR_TEST(a_line_is_a_case) {
    TFR_UNUSED_STATE;
    struct tfr_kernel_cases cases;
    assert_ok(parse(&cases, "# shapes\n\n  head linear rows=2 k=768\tn=50257 bias=0 transposed=1 dtype=int4_zero64 # why\r\n"
                            "attn attention heads=12 dim=64 seqs=511+1,0+40 kv=bf16 products=bf16 spread=0.5"));
    assert_int_equal(cases.n, 2);
    const struct tfr_kernel_case *head = &cases.items[0], *attn = &cases.items[1];
    assert_string_equal(head->name, "head");
    assert_string_equal(head->text, "linear rows=2 k=768 n=50257 bias=0 transposed=1 dtype=int4_zero64");
    assert_true(head->line == 3 && head->op == TFR_OP_LINEAR && head->rows == 2 && head->max == 5 && head->k == 768);
    assert_true(head->n == 50257 && !head->bias && head->transposed && head->dtype == TFR_DTYPE_I4_ZERO64);
    assert_int_equal(head->x_dtype, TFR_DTYPE_I8);
    assert_true(attn->line == 4 && attn->n_seqs == 2 && attn->rows == 41 && attn->n == 768 && attn->past[0] == 511);
    assert_true(attn->kv == TFR_DTYPE_BF16 && attn->x_dtype == TFR_DTYPE_BF16 && attn->spread == 0.5 && attn->causal);
    tfr_kernel_cases_free(&cases);
}

TFR_TEST(what_is_no_case_is_refused_with_its_place) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *text, *words;
    } wrong[] = {
        {"", "cases.txt: there is no case in it"},
        {"# nothing\n\n", "there is no case in it"},
        {"a", "cases.txt:1: case a names no op"},
        {"\n\na liner rows=1 k=1 n=1", "cases.txt:3: there is no op \"liner\"; did you mean \"linear\"?"},
        {"a zzzzzz", "there is no op \"zzzzzz\"; docs/bench.md lists them"},
        {"a fused rows=1 n=1", "fused is no op of a case"},
        {"a send_hidden rows=1 n=1", "send_hidden is no op of a case"},
        {"a/b copy rows=1 n=1", "\"a/b\" is no name of a case"},
        {"a copy rows=1 n=1\na copy rows=2 n=1", "cases.txt:2: case a stands in line 1 already"},
        {"a copy rows", "\"rows\" is no key=value"},
        {"a copy rows=1 n=1 rows=2", "rows is there twice"},
        {"a copy row=1 n=1", "there is no key \"row\"; did you mean \"rows\"?"},
        {"a copy zzzzzzzzz=1", "there is no key \"zzzzzzzzz\"; docs/bench.md"},
        {"a copy rows=1 n=1 heads=2", "heads means nothing for copy"},
        {"a attention rows=3 heads=1 dim=8 seqs=0+1", "rows means nothing for attention"},
        {"a copy rows=-1 n=1", "rows=-1 is not a whole number in 1..1048576"},
        {"a copy rows=0 n=1", "rows=0 is not a whole number"},
        {"a copy rows=1x n=1", "rows=1x is not a whole number"},
        {"a copy rows= n=1", "rows= is not a whole number"},
        {"a copy rows=99999999999999999999999 n=1", "is not a whole number in 1..1048576"},
        {"a linear rows=1 k=1 n=1 bias=2", "bias=2 is not a whole number in 0..1"},
        {"a copy rows=1 n=1 spread=nan", "spread=nan is not a number in 0..3.4e+38"},
        {"a copy rows=1 n=1 spread=0x1", "spread=0x1 is not a number"},
        {"a copy rows=1 n=1 spread=1e39", "spread=1e39 is not a number"},
        {"a copy rows=1 n=1 spread=-1", "spread=-1 is not a number"},
        {"a linear rows=1 k=1 n=1 act=gelu", "act=gelu: it is one of none, gelu_tanh"},
        {"a linear rows=1 k=1 n=1 dtype=int3", "dtype=int3: it is one of f32, bf16"},
        {"a attention heads=1 dim=8 seqs=5", "\"5\" is not PAST+N"},
        {"a attention heads=1 dim=8 seqs=0+1,", "\"\" is not PAST+N"},
        {"a attention heads=1 dim=8 seqs=0+0", "\"0+0\" is not PAST+N"},
        {"a attention heads=1 dim=8 seqs=-1+1", "\"-1+1\" is not PAST+N"},
        {"a attention heads=1 dim=8 seqs=0+1,0+1,0+1,0+1,0+1,0+1,0+1,0+1,0+1,0+1,0+1,0+1,0+1,0+1,0+1,0+1,0+1",
         "at most 16 sequences"},
        {"a attention heads=1 dim=8", "attention needs heads, dim and seqs"},
        {"a linear rows=1 n=1", "linear needs rows, k and n"},
        {"a copy rows=1", "copy needs rows and n"},
        {"a best_rows rows=1", "best_rows needs rows and k"},
        {"a best_rows rows=1 k=5 n=3", "best_rows gives 2 numbers of a row"},
        {"a copy rows=5 n=1 max=4", "max=4 is less than the 5 rows"},
        {"a attention heads=4 dim=8 seqs=0+2 mask=2", "mask=2: masks are 1 for all heads, or 4"},
        {"a attention heads=1 dim=8 seqs=0+2 causal=1 cross=3",
         "causal=1 has no effect beside cross, where every row sees all keys"},
        {"a attention heads=1 dim=8 seqs=1+2 query_only=1 causal=1", "causal=1 has no effect beside query_only"},
        {"a attention heads=1 dim=8 seqs=1+2 query_only=1 cross=3", "query_only=1 has no effect beside cross"},
        {"a linear rows=1048576 k=16777216 n=16777216", "GB of memory, at most 1000 GB are possible"},
        {"a copy rows=1 n=\x80", "is none of plain ASCII"},
        {"a copy rows=1 \x1b[31mn=1", "is none of plain ASCII"},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(wrong); i++) {
        struct tfr_kernel_cases cases;
        assert_int_equal(parse(&cases, wrong[i].text), TFR_CONFIG);
        if (strstr(tfr_failure_text(), wrong[i].words) == NULL) {
            fail_msg("\"%s\": \"%s\" does not say \"%s\"", wrong[i].text, tfr_failure_text(), wrong[i].words);
        }
        assert_null(cases.items);
    }
}

TFR_TEST(a_long_line_and_too_many_cases_are_refused) {
    TFR_UNUSED_STATE;
    static char text[TFR_CASES_MOST * 32];
    struct tfr_kernel_cases cases;
    memset(text, ' ', TFR_CASE_LINE + 10);
    memcpy(text, "a copy rows=1", 13);
    assert_int_equal(parse(&cases, text), TFR_CONFIG);
    assert_non_null(strstr(tfr_failure_text(), "characters, at most 511 are possible"));
    size_t used = 0;
    for (int i = 0; i <= TFR_CASES_MOST; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "c%d copy rows=1 n=1\n", i);
    }
    assert_int_equal(parse(&cases, text), TFR_CONFIG);
    assert_non_null(strstr(tfr_failure_text(), "at most 4096 cases"));
}

TFR_TEST(factors_are_those_that_are_multiplied) {
    TFR_UNUSED_STATE;
    struct tfr_kernel_cases cases;
    assert_ok(parse(&cases, "a linear rows=1 k=8 n=8\nb linear rows=1 k=8 n=8 dtype=f16\nc linear rows=1 k=8 n=8 dtype=bf16\n"
                            "d linear rows=1 k=8 n=8 dtype=int8w\ne linear rows=1 k=8 n=8 dtype=int8\n"
                            "f linear rows=1 k=8 n=8 dtype=int4_zero64\ng attention heads=1 dim=8 seqs=3+1 kv=int8\n"
                            "h attention heads=1 dim=8 seqs=3+1 kv=bf16 products=bf16\ni embed rows=1 n=8 stored=bf16"));
    static const int factors[] = {TFR_DTYPE_F32, TFR_DTYPE_F32, TFR_DTYPE_BF16, TFR_DTYPE_BF16, TFR_DTYPE_I8,
                                  TFR_DTYPE_I8,  TFR_DTYPE_F32, TFR_DTYPE_BF16, TFR_DTYPE_F32};
    for (size_t i = 0; i < cases.n; i++) {
        assert_int_equal(tfr_kernel_case_factors(&cases.items[i]), factors[i]);
    }
    assert_int_equal(cases.items[6].kv, TFR_DTYPE_I8);
    tfr_kernel_cases_free(&cases);
}

TFR_TEST(costs_are_those_of_the_sequences) {
    TFR_UNUSED_STATE;
    struct tfr_kernel_cases cases;
    assert_ok(parse(&cases, "a attention heads=2 dim=8 seqs=3+1,0+4\nb attention heads=2 dim=8 seqs=3+1,0+4 causal=0\n"
                            "c attention heads=2 dim=8 seqs=3+1,0+4 cross=5\nd attention heads=2 dim=8 seqs=3+2 query_only=1\n"
                            "e kv_append heads=2 dim=8 seqs=3+2 query_only=1"));
    static const double pairs[] = {4 + 10, 4 + 16, 5 + 20, 6, 6}, keys[] = {8, 8, 10, 3, 3}, rows[] = {5, 5, 5, 2, 0};
    for (size_t i = 0; i < cases.n; i++) {
        const struct tfr_op_facts facts = tfr_kernel_case_facts(&cases.items[i]);
        assert_true(facts.pairs == pairs[i] && facts.keys == keys[i] && facts.rows == rows[i]);
    }
    tfr_kernel_cases_free(&cases);
}

static const char *const some_of_all =
    "a embed rows=3 n=5 from=7 stored=f16\nb layer_norm rows=2 n=9\n"
    "c linear rows=4 k=6 n=3 residual=1 stored=bf16\nd kv_append heads=2 dim=6 seqs=5+2,0+3 kv=i8\n"
    "e attention heads=2 dim=6 seqs=5+2,0+3 mask=2 head_mask=1 weights=1\n"
    "f activation rows=3 n=4 act=silu\ng add rows=1 n=1\nh gather_rows rows=2 n=3 from=9\n"
    "i lookup_add rows=2 n=3 from=4 stored=f64\nj copy rows=2 n=2\n"
    "k sum_blocks rows=2 n=3 blocks=4 start=1\nl best_rows rows=3 k=10\n"
    "m attention heads=1 dim=4 seqs=2+2 cross=3 kv=f16\n"
    "n attention heads=2 dim=64 seqs=200+40 mask=2 weights=1\no linear rows=50 k=100 n=90\np embed rows=50 n=90 from=70";

/* Every op, twice: equal inputs, and no more memory than was told before. */
TFR_TEST(data_repeat_and_fit_what_was_told) {
    TFR_UNUSED_STATE;
    struct tfr_kernel_cases cases;
    assert_ok(parse(&cases, some_of_all));
    for (size_t i = 0; i < cases.n; i++) {
        struct tfr_kernel_data one, two;
        assert_ok(tfr_kernel_data_open(&one, &cases.items[i]));
        assert_ok(tfr_kernel_data_open(&two, &cases.items[i]));
        assert_true(one.problem.op == cases.items[i].op && one.problem.n_args == one.n_in + (one.problem.op != TFR_OP_KV_APPEND));
        assert_true(one.in[0] != NULL && (uintptr_t)one.in[0] % 64 == 0);
        const size_t bytes = (size_t)(cases.items[i].op == TFR_OP_EMBED ? 4 : 4 * tfr_kernel_case_width(&cases.items[i]));
        assert_memory_equal(one.in[0], two.in[0], bytes * (size_t)cases.items[i].rows);
        double taken = (double)one.out_bytes_max; /* which its user makes room for */
        for (int b = 0; b < cases.items[i].n_seqs; b++) {
            assert_memory_equal(one.kv_memory[b], two.kv_memory[b], one.kv_bytes[b]);
        }
        for (int o = 0; o < one.n_owned; o++) {
            taken += (double)malloc_usable_size(one.owned[o]);
        }
        assert_true(taken <= tfr_kernel_case_bytes(&cases.items[i]));
        tfr_kernel_data_close(&one);
        tfr_kernel_data_close(&two);
    }
    tfr_kernel_cases_free(&cases);
}

/* Also a factor of 0, and values of a cache that lie where inputs do. */
TFR_TEST(attention_takes_scale_and_offset_as_they_are_given) {
    TFR_UNUSED_STATE;
    struct tfr_kernel_cases cases;
    struct tfr_kernel_data data;
    assert_ok(parse(&cases, "a attention heads=2 dim=16 seqs=4+1 scale=0 offset=-5\nb attention heads=2 dim=16 seqs=4+1"));
    assert_ok(tfr_kernel_data_open(&data, &cases.items[0]));
    assert_true(data.problem.attrs.scale == 0);
    const float *x = data.in[0];
    for (int64_t d = 0; d < 16; d++) {
        for (int64_t s = 0; s < 5; s++) {
            const float key = tfr_kv_key(&data.kv[0], 16, 1, s, d), value = tfr_kv_value(&data.kv[0], 16, 1, s, d);
            assert_true(key >= -6 && key <= -4 && value >= -6 && value <= -4 && x[d] >= -6 && x[d] <= -4);
        }
    }
    tfr_kernel_data_close(&data);
    assert_ok(tfr_kernel_data_open(&data, &cases.items[1]));
    assert_true(data.problem.attrs.scale == 0.25F);
    tfr_kernel_data_close(&data);
    tfr_kernel_cases_free(&cases);
}

/* Each allocation in turn: TFR_RESOURCE, and nothing that a sanitizer would find. */
TFR_TEST(without_memory_nothing_is_left) {
    TFR_UNUSED_STATE;
    struct tfr_kernel_cases cases;
    for (uint64_t n = 1;; n++) {
        tfr_alloc_fail_after(n);
        enum tfr_status status = parse(&cases, some_of_all);
        for (size_t i = 0; status == TFR_OK && i < cases.n; i++) {
            struct tfr_kernel_data data;
            status = tfr_kernel_data_open(&data, &cases.items[i]);
            if (status == TFR_OK) {
                tfr_kernel_data_close(&data);
            }
        }
        tfr_alloc_fail_after(0);
        tfr_kernel_cases_free(&cases);
        if (status == TFR_OK) {
            break;
        }
        assert_int_equal(status, TFR_RESOURCE);
    }
}

TFR_TEST_MAIN(TFR_CASE(a_line_is_a_case), TFR_CASE(what_is_no_case_is_refused_with_its_place),
              TFR_CASE(a_long_line_and_too_many_cases_are_refused), TFR_CASE(factors_are_those_that_are_multiplied),
              TFR_CASE(costs_are_those_of_the_sequences), TFR_CASE(data_repeat_and_fit_what_was_told),
              TFR_CASE(attention_takes_scale_and_offset_as_they_are_given), TFR_CASE(without_memory_nothing_is_left))
