/* choices.h - the values of CHOICE options: the words of config.def in its order, as numbers.
 *
 * tests/unit/test_config_tfrun.c holds each against the table.
 */
#ifndef TFR_CONFIG_CHOICES_H
#define TFR_CONFIG_CHOICES_H

/* X(key, choices as in config.def, enum members...) */
#define TFR_CHOICES(X)                                                                                                             \
    X("model.adapter_beside", "merge|ignore", TFR_BESIDE_MERGE, TFR_BESIDE_IGNORE)                                                 \
    X("input.truncate", "error|left|right", TFR_TRUNCATE_ERROR, TFR_TRUNCATE_LEFT, TFR_TRUNCATE_RIGHT)                             \
    X("sampling.do_sample", "auto|true|false", TFR_SAMPLE_AUTO, TFR_SAMPLE_TRUE, TFR_SAMPLE_FALSE)                                 \
    X("sampling.early_stopping", "false|true|never", TFR_EARLY_FALSE, TFR_EARLY_TRUE, TFR_EARLY_NEVER)                             \
    X("runtime.dtype", "f32|bf16|int8|int8w|int4", TFR_PACK_F32, TFR_PACK_BF16, TFR_PACK_INT8, TFR_PACK_INT8W, TFR_PACK_INT4)      \
    X("runtime.int4_group", "32|64", TFR_GROUP_32, TFR_GROUP_64)                                                                   \
    X("runtime.isa", "auto|plain|avx2|avx512|avx512_bf16|amx|neon", TFR_LIMIT_AUTO, TFR_LIMIT_PLAIN, TFR_LIMIT_AVX2,               \
      TFR_LIMIT_AVX512, TFR_LIMIT_AVX512_BF16, TFR_LIMIT_AMX, TFR_LIMIT_NEON)                                                      \
    X("runtime.kv_dtype", "auto|f32|bf16|f16|int8", TFR_KV_AUTO, TFR_KV_F32, TFR_KV_BF16, TFR_KV_F16, TFR_KV_INT8)                 \
    X("runtime.kv_cache", "growing|static", TFR_KV_GROWING, TFR_KV_STATIC)                                                         \
    X("runtime.sums", "plain|by-head", TFR_SUMS_PLAIN, TFR_SUMS_BY_HEAD)                                                           \
    X("serve.chat", "off|plain", TFR_CHAT_OFF, TFR_CHAT_PLAIN)                                                                     \
    X("serve.metrics_compat", "none|vllm", TFR_METRICS_OWN, TFR_METRICS_VLLM)                                                      \
    X("serve.access_format", "text|json|off", TFR_ACCESS_TEXT, TFR_ACCESS_JSON, TFR_ACCESS_OFF)                                    \
    X("parallel.split", "balanced|hf|decode|prefill|mixed|auto", TFR_SPLIT_BALANCED, TFR_SPLIT_HF, TFR_SPLIT_DECODE,               \
      TFR_SPLIT_PREFILL, TFR_SPLIT_MIXED, TFR_SPLIT_AUTO)                                                                          \
    X("parallel.goal", "latency|throughput", TFR_AIM_LATENCY, TFR_AIM_THROUGHPUT)                                                  \
    X("parallel.memory", "auto|local|interleave|none", TFR_HOME_AUTO, TFR_HOME_LOCAL, TFR_HOME_INTERLEAVE, TFR_HOME_NONE)          \
    X("parallel.wait", "auto|spin|sleep", TFR_WAIT_AUTO, TFR_WAIT_SPIN, TFR_WAIT_SLEEP)                                            \
    X("parallel.head", "first|last|split", TFR_HEAD_AT_FIRST, TFR_HEAD_AT_LAST, TFR_HEAD_AT_SPLIT)                                 \
    X("serve.share_prefix", "key|all", TFR_SHARE_KEY, TFR_SHARE_ALL)                                                               \
    X("output.format", "text|json", TFR_FORMAT_TEXT, TFR_FORMAT_JSON)                                                              \
    X("output.stats", "auto|on|off", TFR_STATS_AUTO, TFR_STATS_ON, TFR_STATS_OFF)                                                  \
    X("observe.log", "error|warn|info|debug|trace", TFR_SAY_ERROR, TFR_SAY_WARN, TFR_SAY_INFO, TFR_SAY_DEBUG, TFR_SAY_TRACE)

#define TFR_CHOICE_ENUM(key, choices, ...) enum { __VA_ARGS__ };
TFR_CHOICES(TFR_CHOICE_ENUM)
#undef TFR_CHOICE_ENUM

#endif
