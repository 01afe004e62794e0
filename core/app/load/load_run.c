/* load_run.c - see load_run.h. In a closed loop each client sends its next request when the last one has ended; in an open one
 * requests start when they are due, whatever became of those before, and latencies count from then: what waits because the server
 * (or this program) is slow is not forgiven. */
#include "app/load/load_run.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"

static const uint64_t never = UINT64_MAX;
/* The victim alone, before the first prompt arrives beside it; the length of its own prompt. */
enum { GAPS_ALONE = 100, VICTIM_PROMPT = 16 };

struct client {
    uint64_t ready_ns; /* never: it waits for an answer */
};

struct tfr_load_run {
    const struct tfr_load_plan *plan;
    const struct tfr_load_workload *workload;
    struct tfr_load_target *target;
    struct tfr_load_result *result;
    struct client *clients; /* of a closed loop */
    int n_clients;
    uint64_t start_ns, begin_ns, end_ns, last_ns; /* of the window: begin, end; of the last request that ended */
    uint64_t due_ns;                              /* of an open loop: the next arrival */
    double stretch;                               /* of its gaps */
    int64_t n_started, n_ended, n_under_way;
    struct tfr_load_request *under_way;
    /* VICTIM */
    struct tfr_load_request *victim;
    int64_t n_gaps_alone, n_prompts; /* prompts under way */
    bool had_prompts;                /* at some time of the gap */
};

/* ---- what is due ---------------------------------------------------------------------------------------------- */

static bool is_closed(const struct tfr_load_run *run) {
    return run->plan->kind == TFR_LOAD_CLOSED || run->plan->kind == TFR_LOAD_VICTIM;
}

static bool is_over(const struct tfr_load_run *run, uint64_t at_ns) {
    const struct tfr_load_plan *plan = run->plan;
    if (plan->kind == TFR_LOAD_REPLAY) {
        return run->n_started >= plan->trace->n;
    }
    if (plan->requests > 0 && run->n_started >= plan->warmup + plan->requests) {
        return true;
    }
    return plan->seconds > 0 && run->begin_ns > 0 && at_ns >= run->begin_ns + (uint64_t)(plan->seconds * 1e9);
}

static int next_client(const struct tfr_load_run *run) {
    int next = 0;
    for (int i = 1; i < run->n_clients; i++) {
        next = run->clients[i].ready_ns < run->clients[next].ready_ns ? i : next;
    }
    return next;
}

static bool needs_victim(const struct tfr_load_run *run) {
    return run->plan->kind == TFR_LOAD_VICTIM && run->victim == NULL;
}

/* When the next request starts; never where there is none before something else happens. */
static uint64_t next_due(const struct tfr_load_run *run, uint64_t now_ns) {
    if (!is_closed(run)) {
        return is_over(run, run->due_ns) ? never : run->due_ns;
    }
    if (is_over(run, now_ns)) {
        return never;
    }
    return needs_victim(run) ? now_ns : run->clients[next_client(run)].ready_ns;
}

static void schedule_next(struct tfr_load_run *run) {
    const struct tfr_load_plan *plan = run->plan;
    if (plan->kind == TFR_LOAD_REPLAY) {
        run->due_ns =
            run->n_started < plan->trace->n ? run->start_ns + (uint64_t)(plan->trace->arrivals[run->n_started].at_s * 1e9) : never;
    } else {
        const double gap = tfr_load_gap(run->workload->seed, run->n_started, plan->rate, plan->kind == TFR_LOAD_POISSON);
        run->due_ns += (uint64_t)(gap * run->stretch * 1e9);
    }
}

/* ---- a request starts ----------------------------------------------------------------------------------------- */

static struct tfr_load_request *new_request(struct tfr_load_run *run, uint64_t scheduled_ns) {
    struct tfr_load_request *request = calloc(1, sizeof *request);
    if (request == NULL) {
        run->result->has_no_memory = true;
        return NULL;
    }
    request->scheduled_ns = scheduled_ns;
    request->next = run->under_way;
    if (request->next != NULL) {
        request->next->previous = request;
    }
    run->under_way = request;
    run->n_under_way++;
    return request;
}

static void launch(struct tfr_load_run *run, struct tfr_load_request *request) {
    request->sent_ns = tfr_clock_ns();
    run->target->start(run->target, request);
}

/* Neither counted nor limited: it is there as long as prompts come. */
static void start_victim(struct tfr_load_run *run, uint64_t now_ns) {
    struct tfr_load_request *request = new_request(run, now_ns);
    if (request != NULL) {
        request->number = (INT64_C(1) << 40) + run->n_ended; /* a prompt that no other has */
        request->n_prompt = VICTIM_PROMPT;
        request->n_output = run->plan->victim_tokens;
        request->leave_after = -1;
        request->client = -1;
        run->victim = request;
        launch(run, request);
    }
}

static void start_next(struct tfr_load_run *run, uint64_t due_ns) {
    struct tfr_load_request *request = new_request(run, due_ns);
    if (request == NULL) {
        return;
    }
    request->number = run->n_started;
    request->client = is_closed(run) ? next_client(run) : -1;
    request->counts = run->n_started >= run->plan->warmup;
    tfr_load_shape(run->workload, run->plan->kind == TFR_LOAD_REPLAY ? &run->plan->trace->arrivals[run->n_started] : NULL, request);
    if (request->client >= 0) {
        run->clients[request->client].ready_ns = never;
    }
    run->n_started++;
    if (run->n_started > run->plan->warmup) {
        run->begin_ns = run->begin_ns == 0 ? due_ns : run->begin_ns;
        run->end_ns = due_ns;
    }
    if (run->plan->kind == TFR_LOAD_VICTIM) {
        run->n_prompts++;
        run->had_prompts = true;
    }
    if (!is_closed(run)) {
        schedule_next(run);
    }
    launch(run, request);
}

/* ---- what targets tell ---------------------------------------------------------------------------------------- */

static void take_gap(struct tfr_load_run *run, struct tfr_load_request *request, uint64_t gap_ns) {
    request->n_late += run->plan->slo.itl > 0 && gap_ns > run->plan->slo.itl;
    if (run->plan->kind != TFR_LOAD_VICTIM) {
        if (request->counts) {
            tfr_histogram_add(&run->result->itl, gap_ns);
        }
        return;
    }
    if (request != run->victim) {
        return;
    }
    tfr_histogram_add(run->had_prompts ? &run->result->itl : &run->result->itl_alone, gap_ns);
    run->had_prompts = run->n_prompts > 0;
    if (++run->n_gaps_alone == GAPS_ALONE) {
        for (int i = 0; i < run->n_clients; i++) {
            run->clients[i].ready_ns = tfr_clock_ns();
        }
    }
}

void tfr_load_run_tokens(struct tfr_load_run *run, struct tfr_load_request *request, uint64_t ns, int64_t n_tokens) {
    if (request->n_events == 0) {
        request->first_ns = ns;
        tfr_load_result_add(run->result, &run->result->prompt, ns, request->n_prompt);
    } else {
        take_gap(run, request, ns - request->last_ns);
    }
    tfr_load_result_add(run->result, &run->result->output, ns, n_tokens);
    request->last_ns = ns;
    request->n_events++;
}

/* A client that was refused comes back when it was told to, within a second. */
static void free_client(struct tfr_load_run *run, const struct tfr_load_request *request) {
    const uint64_t most_ns = 1000000000, pause_ns = request->retry_s > 0 ? most_ns : most_ns / 10;
    if (request->client >= 0) {
        run->clients[request->client].ready_ns = request->end_ns + (request->outcome == TFR_LOAD_REFUSED ? pause_ns : 0);
    }
}

/* Without a victim there is nothing to measure: that it is refused is a failure, after which no other one is tried. */
static void end_victim(struct tfr_load_run *run, struct tfr_load_request *request) {
    if (request->outcome == TFR_LOAD_REFUSED) {
        request->outcome = TFR_LOAD_FAILED;
        snprintf(request->error, sizeof request->error, "the victim, which has to run beside the prompts, was refused");
    }
    if (request->outcome == TFR_LOAD_FAILED) {
        request->counts = true;
        tfr_load_result_take(run->result, request, &run->plan->slo);
    }
}

void tfr_load_run_end(struct tfr_load_run *run, struct tfr_load_request *request, enum tfr_load_outcome outcome, uint64_t ns) {
    request->outcome = outcome;
    request->end_ns = ns;
    run->last_ns = ns > run->last_ns ? ns : run->last_ns;
    *(request->previous != NULL ? &request->previous->next : &run->under_way) = request->next;
    if (request->next != NULL) {
        request->next->previous = request->previous;
    }
    run->n_under_way--;
    if (request == run->victim) {
        run->victim = NULL;
        end_victim(run, request);
    } else {
        run->n_prompts -= run->plan->kind == TFR_LOAD_VICTIM;
        run->n_ended++;
        tfr_load_result_take(run->result, request, &run->plan->slo);
        free_client(run, request);
    }
    free(request);
}

void tfr_load_run_fail(struct tfr_load_run *run, struct tfr_load_request *request, uint64_t ns, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(request->error, sizeof request->error, format, arguments);
    va_end(arguments);
    tfr_load_run_end(run, request, TFR_LOAD_FAILED, ns);
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

/* When a request is to leave, as far as that is a time. */
static uint64_t leave_time(const struct tfr_load_request *request) {
    if (request->leave_after < 0 || request->n_events < request->leave_after) {
        return never;
    }
    return request->leave_after == 0 ? request->sent_ns + request->leave_ns : 0;
}

/* What has to end now does: those that leave, and those that no answer comes to. The time of the next one. */
static uint64_t end_due(struct tfr_load_run *run, uint64_t now_ns) {
    const uint64_t limit_ns = (uint64_t)(run->plan->timeout_s * 1e9);
    uint64_t next_ns = never;
    struct tfr_load_request *request = run->under_way;
    while (request != NULL) {
        struct tfr_load_request *next = request->next;
        const uint64_t leave_ns = leave_time(request), late_ns = request->sent_ns + limit_ns;
        const uint64_t at_ns = leave_ns < late_ns ? leave_ns : late_ns;
        if (at_ns > now_ns) {
            next_ns = at_ns < next_ns ? at_ns : next_ns;
        } else {
            run->target->leave(run->target, request);
            if (leave_ns <= now_ns) {
                tfr_load_run_end(run, request, TFR_LOAD_LEFT, now_ns);
            } else {
                tfr_load_run_fail(run, request, now_ns, "no end within %.3g s, which --timeout gives", run->plan->timeout_s);
            }
        }
        request = next;
    }
    return next_ns;
}

static void start_due(struct tfr_load_run *run, uint64_t now_ns) {
    uint64_t due_ns;
    while (!run->result->has_no_memory && (due_ns = next_due(run, now_ns)) <= now_ns) {
        if (needs_victim(run)) {
            start_victim(run, now_ns);
            if (run->victim == NULL) {
                return; /* it has ended at once: not a second time in this turn */
            }
        } else {
            start_next(run, due_ns);
        }
    }
}

static bool goes_on(struct tfr_load_run *run, uint64_t now_ns) {
    if (run->victim != NULL && run->n_under_way == 1 && is_over(run, now_ns)) {
        struct tfr_load_request *victim = run->victim;
        run->target->leave(run->target, victim);
        tfr_load_run_end(run, victim, TFR_LOAD_LEFT, now_ns);
    }
    const bool failed_early = run->plan->kind == TFR_LOAD_VICTIM && run->victim == NULL && run->result->n_failed > 0;
    return !failed_early && !run->result->has_no_memory && (run->n_under_way > 0 || next_due(run, now_ns) != never);
}

static void drive(struct tfr_load_run *run, tfr_load_tell_fn tell, void *user) {
    const uint64_t period_ns = 100000000;
    const int64_t n_all = run->plan->kind == TFR_LOAD_REPLAY ? run->plan->trace->n
                          : run->plan->requests > 0          ? run->plan->warmup + run->plan->requests
                                                             : 0;
    for (uint64_t now_ns = tfr_clock_ns(); goes_on(run, now_ns); now_ns = tfr_clock_ns()) {
        start_due(run, now_ns);
        const uint64_t end_ns = end_due(run, now_ns), due_ns = next_due(run, now_ns);
        uint64_t until_ns = now_ns + period_ns;
        until_ns = end_ns < until_ns ? end_ns : until_ns;
        until_ns = due_ns < until_ns ? due_ns : until_ns;
        run->target->wait(run->target, until_ns);
        if (tell != NULL) {
            tell(user, run->n_ended, n_all, tfr_clock_ns() - run->start_ns);
        }
    }
    while (run->under_way != NULL) { /* without memory */
        struct tfr_load_request *request = run->under_way;
        run->target->leave(run->target, request);
        tfr_load_run_end(run, request, TFR_LOAD_LEFT, tfr_clock_ns());
    }
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* The mean of some hundred random gaps is some per cent beside the rate that was asked for, and so would be the load: all gaps are
 * stretched alike until it is not. What is left is a Poisson process of which it is known how many arrivals it has. */
static double find_stretch(const struct tfr_load_run *run) {
    const struct tfr_load_plan *plan = run->plan;
    const double n_timed = plan->seconds > 0 ? ceil(plan->seconds * plan->rate) : 0;
    const int64_t n = plan->warmup + (plan->requests > 0 ? plan->requests : (int64_t)n_timed);
    double sum = 0;
    for (int64_t i = 0; i < n && plan->kind == TFR_LOAD_POISSON; i++) {
        sum += tfr_load_gap(run->workload->seed, i, plan->rate, true);
    }
    return sum > 0 ? (double)n / plan->rate / sum : 1;
}

static bool open_clients(struct tfr_load_run *run) {
    run->n_clients = is_closed(run) ? run->plan->clients : 0;
    run->clients = calloc((size_t)run->n_clients + 1, sizeof *run->clients);
    for (int i = 0; i < run->n_clients && run->clients != NULL; i++) {
        run->clients[i].ready_ns = run->plan->kind == TFR_LOAD_VICTIM ? never : run->start_ns;
    }
    return run->clients != NULL;
}

/* Of a run by time the time; else, or where the number was reached before, the start of the last request. */
static uint64_t window_end(const struct tfr_load_run *run) {
    const struct tfr_load_plan *plan = run->plan;
    const bool by_number = plan->requests > 0 && run->n_started >= plan->warmup + plan->requests;
    return plan->seconds > 0 && run->begin_ns > 0 && !by_number ? run->begin_ns + (uint64_t)(plan->seconds * 1e9) : run->end_ns;
}

struct tfr_load_result *tfr_load_run(const struct tfr_load_plan *plan, const struct tfr_load_workload *workload,
                                     struct tfr_load_target *target, tfr_load_tell_fn tell, void *user) {
    struct tfr_load_result *result = tfr_load_result_new();
    struct tfr_load_run run = {.plan = plan, .workload = workload, .target = target, .result = result, .start_ns = tfr_clock_ns()};
    const double cpu_s = cpu_seconds();
    if (result == NULL || !open_clients(&run)) {
        tfr_load_result_free(result);
        return NULL;
    }
    result->kind = plan->kind;
    result->clients = run.n_clients;
    result->rate = is_closed(&run) ? 0 : plan->rate;
    result->percent = plan->percent;
    target->run = &run;
    run.due_ns = run.start_ns;
    run.stretch = find_stretch(&run);
    if (!is_closed(&run)) {
        schedule_next(&run);
    }
    drive(&run, tell, user);
    target->run = NULL;
    free(run.clients);
    result->seconds = (double)(tfr_clock_ns() - run.start_ns) / 1e9;
    result->cpu_share = result->seconds > 0 ? (cpu_seconds() - cpu_s) / result->seconds : 0;
    tfr_load_result_settle(result, run.begin_ns, window_end(&run), run.last_ns);
    if (result->has_no_memory) {
        tfr_load_result_free(result);
        return NULL;
    }
    return result;
}
