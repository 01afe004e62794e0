/* cmd_serve.c - `tfrun serve CONFIG`: the engine's thread of a server. It opens the model while the network thread already says
 * "loading", then makes one step after the other as long as there is something to do. Ranks other than 0 follow. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/cli/measure.h"
#include "app/http/gallery.h"
#include "app/http/server.h"

static const struct tfr_flag flags[] = {
    {"quiet", NULL, "only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics; -v -v for still more", 'v'},
};

static const int signals[] = {SIGTERM, SIGINT};

/* One server from the command line to its end. */
struct job {
    const struct tfr_args *args;
    struct tfr_settings *settings;
    struct tfr_server server;
    pthread_t network;
    bool running; /* the network thread is */
    char network_error[512];
    atomic_bool ended; /* nothing more is to be done */
};

/* A sentence of this program's own. */
static int fail_with(enum tfr_status status, const char *text) {
    tfr_server_tell("%s", text);
    return tfr_exit_code(status);
}

/* "HOST:PORT", "[HOST]:PORT" for an address of version 6, or the socket of serve.listen. */
static void address_text(const struct tfr_settings *settings, char *text, size_t size) {
    const char *listen = tfr_settings_text(settings, "serve.listen"), *given = tfr_settings_text(settings, "serve.host");
    const char *host = given != NULL ? given : "127.0.0.1";
    if (listen != NULL) {
        snprintf(text, size, "%s", listen);
        return;
    }
    const bool is_v6 = strchr(host, ':') != NULL && host[0] != '[';
    snprintf(text, size, "%s%s%s:%lld", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
             (long long)tfr_settings_int(settings, "serve.port"));
}

static int listen_at(struct job *job) {
    struct tfr_http_limits limits;
    char address[256], error[512];
    char *const *hosts;
    const struct tfr_http_app app = tfr_server_app(&job->server);
    tfr_http_limits_default(&limits);
    limits.max_body = (size_t)tfr_settings_int(job->settings, "serve.max_body");
    limits.n_hosts = tfr_settings_list(job->settings, "serve.allow_hosts", &hosts);
    limits.hosts = (const char *const *)hosts;
    /* the engine's own deadline comes first */
    const double seconds = tfr_settings_real(job->settings, "serve.request_s");
    limits.request_s = seconds > 0 ? seconds + 30 : 0;
    address_text(job->settings, address, sizeof address);
    if (tfr_http_open(&job->server.http, address, &limits, &app, error, sizeof error) != 0) {
        return fail_with(TFR_RESOURCE, error);
    }
    if (!tfr_http_is_local(job->server.http) && tfr_keys_count(job->server.keys) == 0 &&
        !tfr_settings_bool(job->settings, "serve.open")) {
        snprintf(
            error, sizeof error,
            "serve.host = %s can be reached from outside and there is no API key: give --api-key-file FILE (or TFRUN_API_KEYS), or "
            "--open to serve anybody",
            tfr_settings_text(job->settings, "serve.host"));
        return fail_with(TFR_USAGE, error);
    }
    return 0;
}

/* Everything that can be refused before the model is read. */
static int prepare(struct job *job) {
    struct tfr_server *server = &job->server;
    char error[512];
    *server = (struct tfr_server){.settings = job->settings, .model = tfr_settings_model_name(job->settings)};
    server->created = (int64_t)time(NULL);
    server->metrics.created = server->created;
    server->is_rank_gone = tfr_cli_is_sibling_gone;
    atomic_init(&server->state, TFR_SERVER_LOADING);
    atomic_init(&server->is_lost, false);
    tfr_server_set_log(server);
    server->keys = tfr_keys_open(tfr_settings_text(job->settings, "serve.api_key_file"), error, sizeof error);
    if (server->keys == NULL) {
        return fail_with(TFR_RESOURCE, error);
    }
    if (!tfr_access_log_open(&server->log, tfr_settings_text(job->settings, "serve.access_log"),
                             tfr_settings_text(job->settings, "serve.access_format"), error, sizeof error)) {
        return fail_with(TFR_RESOURCE, error);
    }
    const int code = listen_at(job);
    server->gallery = code == 0 ? tfr_gallery_open(server->http) : NULL;
    return code != 0 || server->gallery != NULL ? code : fail_with(TFR_RESOURCE, "there is no memory for the server");
}

static void wake_up(struct tfr_engine *engine, void *user) {
    (void)engine;
    (void)user;
}

/* When the network has nothing more to do, neither has the engine. The call is to wake it; without memory for one, or while the
 * model is being loaded, it sees by itself that all has ended. */
static void *run_network(void *user) {
    struct job *job = user;
    struct tfr_server *server = &job->server;
    if (tfr_http_run(server->http, job->network_error, sizeof job->network_error) == 0) {
        job->network_error[0] = '\0';
    }
    atomic_store(&job->ended, true);
    if (atomic_load(&server->state) != TFR_SERVER_LOADING) {
        tfr_engine_call(server->engine, wake_up, NULL);
    }
    return NULL;
}

static void wake_network(void *user) {
    tfr_http_wake(user);
}

/* What the logits of one step are: of the weights, their type and the kernels. */
static enum tfr_status take_fingerprint(struct tfr_server *server) {
    const int32_t id = tfr_settings_eos(server->settings) >= 0 ? tfr_settings_eos(server->settings) : 0;
    const struct tfr_prompt prompt = {.ids = &id, .n_ids = 1};
    static const struct tfr_override one = {"sampling.max_tokens", "1", "the start"};
    struct tfr_params *params;
    struct tfr_request *request = NULL;
    struct tfr_event event = {.kind = TFR_EVENT_PROMPT};
    enum tfr_status status = tfr_params_parse(server->engine, &one, 1, &params);
    if (status != TFR_OK) {
        return status;
    }
    status = tfr_request_submit(server->engine, &prompt, params, &request);
    while (status == TFR_OK && event.kind != TFR_EVENT_END) {
        struct tfr_step_info info;
        status = tfr_engine_step(server->engine, &info);
        while (status == TFR_OK && event.kind != TFR_EVENT_END && tfr_request_poll(request, &event)) {
        }
    }
    /* a model that answers nothing but NaN is served all the same: requests say so */
    snprintf(server->fingerprint, sizeof server->fingerprint, "tfrun-%s-%016llx", tfr_version(),
             status == TFR_OK ? (unsigned long long)event.stats.logits_digest : 0ull);
    tfr_engine_set_digest(server->engine, false); /* no answer tells it */
    tfr_request_close(request);
    tfr_params_free(params);
    return status;
}

static enum tfr_status open_model(struct job *job) {
    struct tfr_server *server = &job->server;
    enum tfr_status status = tfr_engine_open(&server->engine, job->args->operands[0], job->args->overrides, job->args->n_overrides);
    if (status == TFR_OK) {
        server->n_positions = tfr_engine_n_positions(server->engine);
        server->vocab_size = tfr_engine_vocab_size(server->engine);
        status = tfr_vocabulary_of(&server->vocabulary, server->engine);
    }
    if (status == TFR_OK) {
        tfr_server_measure_texts(server);
        const struct tfr_args *args = job->args;
        tfr_gallery_plan(server->gallery, args->operands[0], args->overrides, args->n_overrides, server->engine);
        status = tfr_engine_warm(server->engine, tfr_server_say, NULL);
    }
    return status == TFR_OK ? take_fingerprint(server) : status;
}

static const char *scheme(const struct job *job) {
    return tfr_settings_text(job->settings, "serve.listen") != NULL ? "" : "http://";
}

static void tell_start(const struct job *job) {
    const struct tfr_server *server = &job->server;
    const int64_t n = tfr_settings_int(job->settings, "runtime.max_batch");
    const size_t n_keys = tfr_keys_count(server->keys);
    char keys[32] = "no keys", ranks[32] = "";
    if (n_keys > 0) {
        snprintf(keys, sizeof keys, "%zu key%s", n_keys, n_keys > 1 ? "s" : "");
    }
    if (tfr_engine_size(server->engine) > 1) {
        snprintf(ranks, sizeof ranks, " on each of %d ranks", tfr_engine_size(server->engine));
    }
    tfr_server_tell("serving %s at %s%s: %lld slot%s x %lld positions, %.2f GiB, %d thread%s%s, %s, prefix cache %s", server->model,
                    scheme(job), tfr_http_address(server->http), (long long)n, n > 1 ? "s" : "", (long long)server->n_positions,
                    (double)(n * tfr_engine_slot_bytes(server->engine)) / (double)(1 << 30), tfr_engine_threads(server->engine),
                    tfr_engine_threads(server->engine) > 1 ? "s" : "", ranks, keys,
                    tfr_settings_bool(job->settings, "serve.prefix_cache") ? "on" : "off");
}

/* Without a request and without a call: whether the network is still there. */
static const double longest_sleep_s = 1;

/* Steps as long as there are requests, else sleep. */
static enum tfr_status drive(struct job *job) {
    enum tfr_status status = TFR_OK;
    while (status == TFR_OK && !atomic_load(&job->ended)) {
        struct tfr_step_info info;
        status = tfr_engine_step(job->server.engine, &info);
        if (status == TFR_OK && info.rows > 0) {
            tfr_metrics_step(&job->server.metrics, info.rows);
        }
        if (status == TFR_OK && !atomic_load(&job->ended) && info.running == 0 && info.waiting == 0) {
            tfr_engine_wait(job->server.engine, longest_sleep_s);
        }
    }
    return status;
}

static int end_network(struct job *job) {
    if (!job->running) {
        return 0;
    }
    tfr_http_stop(job->server.http);
    pthread_join(job->network, NULL);
    job->running = false;
    return job->network_error[0] == '\0' ? 0 : fail_with(TFR_RUNTIME, job->network_error);
}

/* Back where the server is ready; not where a signal has ended it while it loaded, as the network thread says: to say more would
 * contradict that. */
static void be_ready(struct tfr_server *server) {
    int state = TFR_SERVER_LOADING;
    if (!atomic_compare_exchange_strong(&server->state, &state, TFR_SERVER_READY)) {
        for (;;) {
            pause();
        }
    }
}

static int serve(struct job *job) {
    struct tfr_server *server = &job->server;
    /* before the thread, which may be told to end the process at once */
    tfr_server_tell("listening at %s%s, loading %s", scheme(job), tfr_http_address(server->http), server->model);
    if (pthread_create(&job->network, NULL, run_network, job) != 0) {
        return fail_with(TFR_RESOURCE, "the network thread can't be started");
    }
    job->running = true;
    enum tfr_status status = open_model(job);
    if (status != TFR_OK) {
        const int code = tfr_cli_fail(status);
        end_network(job);
        return code;
    }
    tfr_cli_ranks_have_met();
    tfr_engine_notify(server->engine, wake_network, server->http);
    be_ready(server);
    tell_start(job);
    status = drive(job);
    if (status == TFR_CANCELLED) { /* another rank is lost, as was said; the replies come first */
        atomic_store(&server->is_lost, true);
        tfr_http_wake(server->http);
        pthread_join(job->network, NULL);
        job->running = false;
        return tfr_exit_code(status);
    }
    const int code = status != TFR_OK ? tfr_cli_fail(status) : 0, lost = end_network(job);
    return code != 0 ? code : lost;
}

/* The gallery first, which wakes the network, and the network before the engine: its exchanges hold requests. */
static void close_all(struct job *job) {
    struct tfr_server *server = &job->server;
    tfr_gallery_close(server->gallery);
    tfr_http_close(server->http);
    server->http = NULL;
    tfr_access_log_close(&server->log);
    tfr_keys_close(server->keys);
    tfr_vocabulary_close(server->vocabulary);
    tfr_engine_close(server->engine);
    tfr_settings_close(job->settings);
}

static int follow(const struct tfr_args *args) {
    struct tfr_engine *engine;
    enum tfr_status status = tfr_engine_open(&engine, args->operands[0], args->overrides, args->n_overrides);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    status = tfr_engine_follow(engine);
    tfr_engine_close(engine);
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

/* A server runs more sequences at a time than a command does, where nobody says how many. */
static enum tfr_status open_settings(struct tfr_settings **settings, struct tfr_args *args) {
    static const char key[] = "runtime.max_batch";
    enum tfr_status status = tfr_settings_open(settings, args->operands[0], args->overrides, args->n_overrides);
    if (status == TFR_OK && !tfr_settings_is_given(*settings, key)) {
        tfr_settings_close(*settings);
        tfr_args_add(args, key, "32", "tfrun serve");
        status = tfr_settings_open(settings, args->operands[0], args->overrides, args->n_overrides);
    }
    return status;
}

/* What is said on stderr never waits for a reader: a pipe that nobody empties would stop the network thread. The pipe or terminal
 * is opened anew for that, or other programs that share it would find theirs changed. */
static void free_stderr(void) {
    struct stat facts;
    const bool known = fstat(STDERR_FILENO, &facts) == 0;
    if (known && S_ISSOCK(facts.st_mode)) { /* can't be opened anew */
        fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
    } else if (known && (S_ISFIFO(facts.st_mode) || S_ISCHR(facts.st_mode))) {
        const int file = open("/dev/stderr", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (file >= 0) {
            dup2(file, STDERR_FILENO);
            close(file);
        }
    }
}

/* Rank 0 alone decides when it is over, and a terminal that is closed ends no server. */
static void take_signals(void) {
    tfr_http_block_signals(signals, sizeof signals / sizeof signals[0]);
    signal(SIGHUP, SIG_IGN);
}

static int run(struct tfr_args *args) {
    struct job job = {.args = args};
    tfr_measure_apply_flags(args);
    if (tfr_cli_operand(args, "a config") == NULL) {
        return tfr_exit_code(TFR_USAGE);
    }
    take_signals();
    const enum tfr_status status = open_settings(&job.settings, args);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    if (tfr_launched_rank() != 0) {
        tfr_settings_close(job.settings);
        return follow(args);
    }
    free_stderr();
    int code = prepare(&job);
    code = code == 0 ? serve(&job) : code;
    close_all(&job);
    return code;
}

/* Log-probabilities are asked for by requests. */
static const char *const reads[] = {"trust",     "version",        "model.",   "!sampling.logprobs", "!sampling.prompt_logprobs",
                                    "sampling.", "input.truncate", "runtime.", "parallel.",          "plugins",
                                    "observe.",  "serve.",         NULL};

const struct tfr_command tfr_cmd_serve = {
    .name = "serve",
    .operands = "CONFIG",
    .help = "an HTTP server: OpenAI's completions (docs/serving.md)",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};
