/* info_routes.c - what this server is: version, limits, what the engine is doing. Answered from memory. */
#include "app/http/reply.h"
#include "app/http/route.h"
#include "base/status.h"

void tfr_route_version(struct tfr_server *server, struct tfr_exchange *x) {
    struct tfr_json_out out = {0};
    (void)server;
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "version", tfr_version());
    tfr_json_end(&out, '}');
    tfr_reply_json(x, 200, &out);
}

/* Browsers ask for it; the page has its picture inside. */
void tfr_route_favicon(struct tfr_server *server, struct tfr_exchange *x) {
    static const struct tfr_http_header kept = {"Cache-Control", "max-age=86400"};
    (void)server;
    tfr_reply(x, 204, NULL, NULL, 0, &kept, 1);
}

static void put_id(struct tfr_json_out *out, const char *key, int32_t id) {
    if (id >= 0) {
        tfr_json_put_int(out, key, id);
    } else {
        tfr_json_put_null(out, key);
    }
}

static void put_limits(struct tfr_json_out *out, const struct tfr_settings *settings) {
    static const struct {
        const char *name, *key;
    } limits[] = {
        {"max_batch", "runtime.max_batch"}, {"max_logprobs", "serve.max_logprobs"}, {"max_n", "serve.max_n"},
        {"max_queue", "serve.max_queue"},   {"max_body", "serve.max_body"},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(limits); i++) {
        tfr_json_put_int(out, limits[i].name, tfr_settings_int(settings, limits[i].key));
    }
}

/* The snapshot of the engine, all of it. */
static void put_serving(struct tfr_json_out *out, const struct tfr_serving *s) {
    tfr_json_begin(out, "serving", '{');
    tfr_json_put_int(out, "running", (int64_t)s->running);
    tfr_json_put_int(out, "waiting", (int64_t)s->waiting);
    tfr_json_put_int(out, "slots_used", (int64_t)s->slots_used);
    tfr_json_put_int(out, "slots_total", (int64_t)s->slots_total);
    tfr_json_put_int(out, "prefix_slots", (int64_t)s->prefix_slots);
    tfr_json_put_int(out, "waiting_prompt_tokens", s->waiting_prompt_tokens);
    tfr_json_put_number(out, "estimated_wait_s", s->estimated_wait_s);
    tfr_json_put_number(out, "last_step_age_s", s->last_step_age_s);
    tfr_json_put_int(out, "steps", (int64_t)s->n_steps);
    tfr_json_put_int(out, "batch_rows", (int64_t)s->n_batch_rows);
    tfr_json_put_int(out, "prompt_tokens", (int64_t)s->prompt_tokens);
    tfr_json_put_int(out, "cached_tokens", (int64_t)s->cached_tokens);
    tfr_json_put_int(out, "generation_tokens", (int64_t)s->generation_tokens);
    tfr_json_put_int(out, "prefix_queries_tokens", (int64_t)s->prefix_queries_tokens);
    tfr_json_put_int(out, "prefix_hit_tokens", (int64_t)s->prefix_hit_tokens);
    tfr_json_put_int(out, "cancelled_steps_max", (int64_t)s->cancelled_steps_max);
    tfr_json_put_number(out, "itl_target_s", s->itl_target_s);
    tfr_json_put_number(out, "prefill_rate", s->prefill_rate);
    tfr_json_begin(out, "decode_cost_s", '[');
    for (size_t i = 0; i < TFR_SERVING_COSTS; i++) {
        tfr_json_put_number(out, NULL, s->decode_cost_s[i]);
    }
    tfr_json_end(out, ']');
    tfr_json_put_int(out, "last_budget_rows", s->last_budget_rows);
    tfr_json_end(out, '}');
}

void tfr_route_info(struct tfr_server *server, struct tfr_exchange *x) {
    const struct tfr_settings *settings = server->settings;
    struct tfr_json_out out = {0};
    struct tfr_serving serving;
    tfr_engine_serving(server->engine, &serving);
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "version", tfr_version());
    tfr_json_put_text(&out, "model", server->model);
    tfr_json_put_text(&out, "class", tfr_engine_class(server->engine));
    tfr_json_put_text(&out, "fingerprint", server->fingerprint);
    tfr_json_put_text(&out, "dtype", tfr_settings_text(settings, "runtime.dtype"));
    tfr_json_put_text(&out, "isa", tfr_engine_isa(server->engine));
    tfr_json_put_int(&out, "threads", tfr_engine_threads(server->engine));
    tfr_json_put_int(&out, "ranks", tfr_engine_size(server->engine));
    tfr_json_put_int(&out, "n_positions", server->n_positions);
    tfr_json_put_int(&out, "vocab_size", server->vocab_size);
    tfr_json_put_int(&out, "max_slots", (int64_t)serving.slots_total);
    put_limits(&out, settings);
    tfr_json_put_text(&out, "chat", tfr_settings_text(settings, "serve.chat"));
    tfr_json_put_bool(&out, "profile", tfr_settings_bool(settings, "serve.profile"));
    tfr_json_put_bool(&out, "tokenizer", server->vocabulary != NULL);
    put_id(&out, "bos_token_id", tfr_settings_bos(settings));
    put_id(&out, "eos_token_id", tfr_settings_eos(settings));
    put_serving(&out, &serving);
    tfr_json_end(&out, '}');
    tfr_reply_json(x, 200, &out);
}
