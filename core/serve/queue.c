/* queue.c - see queue.h: the only locks between threads of a caller and the engine's. */
#include "serve/queue.h"

#include <time.h>

#include "base/arena.h"
#include "base/status.h"

enum tfr_status tfr_queue_open(struct tfr_queue **queue) {
    struct tfr_queue *made = *queue = tfr_alloc(1, sizeof *made);
    pthread_condattr_t monotonic;
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&made->mutex, NULL); /* on Linux these have nothing that could fail */
    pthread_cond_init(&made->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return TFR_OK;
}

void tfr_queue_close(struct tfr_queue *queue) {
    if (queue != NULL) {
        pthread_cond_destroy(&queue->wake);
        pthread_mutex_destroy(&queue->mutex);
        tfr_free(queue);
    }
}

void tfr_queue_put(struct tfr_queue *queue, struct tfr_request *request) {
    pthread_mutex_lock(&queue->mutex);
    request->next = NULL;
    *(queue->last != NULL ? &queue->last->next : &queue->first) = request;
    queue->last = request;
    pthread_cond_signal(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
}

void tfr_queue_poke(struct tfr_queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    queue->poked = true;
    pthread_cond_signal(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
}

struct tfr_event_node *tfr_queue_next(struct tfr_request *request) {
    pthread_mutex_lock(&request->queue->mutex);
    struct tfr_event_node *node = request->first;
    if (node != NULL) {
        request->first = node->next;
        request->last = request->first != NULL ? request->last : NULL;
    }
    pthread_mutex_unlock(&request->queue->mutex);
    return node;
}

static void free_node(struct tfr_request *request, struct tfr_event_node *node) {
    if (node != &request->end) {
        tfr_free(node);
    }
}

void tfr_queue_release(struct tfr_request *request) {
    pthread_mutex_lock(&request->queue->mutex);
    const bool is_last = --request->owners == 0;
    pthread_mutex_unlock(&request->queue->mutex);
    if (!is_last) {
        return;
    }
    while (request->first != NULL) {
        struct tfr_event_node *next = request->first->next;
        free_node(request, request->first);
        request->first = next;
    }
    free_node(request, request->current);
    tfr_continuation_free(&request->continuation);
    tfr_free(request);
}

void tfr_queue_set_notify(struct tfr_queue *queue, void (*notify)(void *user), void *user) {
    pthread_mutex_lock(&queue->mutex);
    queue->notify = notify;
    queue->notify_user = user;
    pthread_mutex_unlock(&queue->mutex);
}

struct tfr_request *tfr_queue_take(struct tfr_queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    struct tfr_request *first = queue->first;
    queue->first = queue->last = NULL;
    queue->poked = false;
    pthread_mutex_unlock(&queue->mutex);
    return first;
}

void tfr_queue_tell(struct tfr_request *request, struct tfr_event_node *node) {
    pthread_mutex_lock(&request->queue->mutex);
    node->next = NULL;
    *(request->last != NULL ? &request->last->next : &request->first) = node;
    request->last = node;
    pthread_mutex_unlock(&request->queue->mutex);
}

void tfr_queue_notify(struct tfr_queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    void (*notify)(void *user) = queue->notify;
    void *user = queue->notify_user;
    pthread_mutex_unlock(&queue->mutex);
    if (notify != NULL) {
        notify(user);
    }
}

bool tfr_queue_wait(struct tfr_queue *queue, double seconds) {
    static const double longest = 1e9; /* 31 years: what is longer, INFINITY too, fits no clock */
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const double whole = seconds > longest ? longest : seconds > 0 ? seconds : 0;
    until.tv_sec += (time_t)whole;
    until.tv_nsec += (long)((whole - (double)(time_t)whole) * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&queue->mutex);
    int waited = 0;
    while (queue->first == NULL && !queue->poked && waited == 0) {
        waited = pthread_cond_timedwait(&queue->wake, &queue->mutex, &until);
    }
    const bool has_work = queue->first != NULL || queue->poked;
    pthread_mutex_unlock(&queue->mutex);
    return has_work;
}
