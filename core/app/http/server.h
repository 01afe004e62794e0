/* server.h - the server behind the transport: what all routes share, and one request from its head to its reply.
 *
 * Two threads meet here: the engine's (cmd_serve.c), which opens the model and drives the steps, and the network thread, on which
 * everything else of this folder runs. What the first one makes is read by the second once `state` says READY. */
#ifndef TFR_APP_HTTP_SERVER_H
#define TFR_APP_HTTP_SERVER_H

#include <stdatomic.h>

#include <tfrun/tfrun.h>

#include "app/http/access_log.h"
#include "app/http/errors.h"
#include "app/http/keys.h"
#include "app/http/metrics.h"
#include "app/http/transport.h"

enum { TFR_CALL_ASKER = 64 };

/* ENDED: by a signal while it loaded. The network thread ends the process, and the engine's has nothing more to say. */
enum tfr_server_state { TFR_SERVER_LOADING, TFR_SERVER_READY, TFR_SERVER_DRAINING, TFR_SERVER_ENDED };

struct tfr_route;
struct tfr_call;
struct tfr_gallery;
struct tfr_engine_task;

struct tfr_server {
    /* before the network thread runs */
    const struct tfr_settings *settings;
    struct tfr_keys *keys;
    struct tfr_access_log log;
    struct tfr_http *http;
    bool (*is_rank_gone)(void); /* whether a signal is the launcher's, since it has lost another rank; may be NULL */
    const char *model;          /* the name that it is called by */
    int64_t created;            /* unix time */
    /* by the engine's thread while loading */
    struct tfr_engine *engine;
    struct tfr_vocabulary *vocabulary; /* NULL: prompts are ids, and answers */
    uint64_t task_ended_ns, task_ns;   /* when the last task ended, and what it took; of the engine's thread alone */
    int64_t n_positions, vocab_size;
    size_t longest_token; /* bytes */
    size_t most_text;     /* bytes: of more no text fits the context, whatever its tokens are */
    char fingerprint[64]; /* equal ones: equal answers to equal requests */
    atomic_int state;
    atomic_bool is_lost; /* another rank is: no step is made any more, and what was asked for ends */
    /* network thread */
    struct tfr_metrics metrics;    /* `rows` is the engine's thread's */
    struct tfr_gallery *gallery;   /* pictures of the machine, and the last profile */
    uint64_t profile_until_ns;     /* until then it is not measured anew */
    struct tfr_engine_task *tasks; /* that wait for the engine's thread, in order of their turns */
    size_t n_tasks;
    uint64_t task_turn;       /* of the one that went last */
    atomic_bool task_runs;    /* one is posted; its end is told by the engine's thread */
    struct tfr_call *pending; /* calls that wait for the engine */
    size_t n_pending;
    uint64_t drain_until_ns;
    int signal;   /* the first that came, 0: none */
    bool closing; /* the drain is over */
};

/* One request under way; tfr_http_user of its exchange from on_head until its reply has ended or its client is gone. */
struct tfr_call {
    struct tfr_server *server;
    struct tfr_exchange *exchange;
    const struct tfr_route *route; /* NULL: there is none */
    char id[80];                   /* x-request-id */
    int key;                       /* index of the key that was given, -1: none */
    uint64_t begun_ns;
    int status; /* that was replied; 499: the client is gone */
    /* what the access log and the metrics tell of it */
    size_t prompt_tokens, cached_tokens, output_tokens, n_choices;
    const char *finish;                          /* NULL: nothing was generated */
    double queue_s, prefill_s, decode_s, ttft_s; /* negative: there was none */
    char *logged_prompt;                         /* with serve.log_prompts; malloc */
    /* while the engine works for it: in the server's list */
    struct tfr_call *next, *previous;
    void *work;
    void (*poll)(struct tfr_call *call);                  /* the engine has made a step */
    void (*tick)(struct tfr_call *call, uint64_t now_ns); /* a second is over; may be NULL */
    void (*drain)(struct tfr_call *call, bool at_once);   /* no more waiting; at_once: no more of anything. May be NULL */
    void (*abandon)(struct tfr_call *call);               /* its client is gone: let go of the work */
};

/* The callbacks of the transport; `user` is the server. */
struct tfr_http_app tfr_server_app(struct tfr_server *server);

/* The log level of this program, which has a copy of base/ of its own; and a line of the start at level info. */
void tfr_server_set_log(const struct tfr_server *server);
void tfr_server_say(void *user, const char *what);
/* "tfrun: ..." as one line on stderr, whatever is logged: names and paths in it may be a stranger's, and don't steer a terminal. */
void tfr_server_tell(const char *format, ...) TFR_PRINTF(1, 2);

/* Once the vocabulary is there: longest_token and most_text. */
void tfr_server_measure_texts(struct tfr_server *server);
/* tfr_vocabulary_encode, and the metrics count the bytes: every text of a request goes through here. */
enum tfr_status tfr_server_split(struct tfr_server *server, const char *text, size_t size, bool plain, int32_t **ids, size_t *n);

/* Whether requests may call the model by this name. */
bool tfr_server_has_model(const struct tfr_server *server, const char *name);

/* An id that the body of a request gives, where it is short and plain. */
void tfr_call_name(struct tfr_call *call, const char *id);
/* Who asks, as far as turns, shares and cached prefixes go: its key, without keys its host. */
void tfr_call_asker(const struct tfr_call *call, char asker[TFR_CALL_ASKER]);
/* The work of a call goes on after its handler has returned, and is over: then it is the caller's. */
void tfr_call_wait(struct tfr_call *call);
void *tfr_call_stop_waiting(struct tfr_call *call);
/* Metrics and the access log, just before the reply's last bytes: with those the exchange is over. Then the call is freed. */
void tfr_call_settle(struct tfr_call *call);
void tfr_call_free(struct tfr_call *call);
static inline struct tfr_call *tfr_call_of(const struct tfr_exchange *x) {
    return tfr_http_user(x);
}

/* Seconds as milliseconds with three decimals, as answers and logs tell them. */
static inline double tfr_rounded_ms(double seconds) {
    return (double)(int64_t)(seconds * 1e6 + 0.5) / 1e3;
}

#endif
