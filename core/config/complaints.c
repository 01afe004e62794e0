/* complaints.c - collects problems, sorts them by place, raises them as one text. Formats nothing itself but
 * the last line ("and 12 more"). */
#include "config/complaints.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

static bool reserve(struct tfr_complaints *complaints) {
    if (complaints->n < complaints->capacity) {
        return true;
    }
    const size_t capacity = complaints->capacity == 0 ? 16 : 2 * complaints->capacity;
    struct tfr_complaint *items = tfr_realloc(complaints->items, capacity, sizeof(*items));
    if (items == NULL) {
        return false;
    }
    complaints->items = items;
    complaints->capacity = capacity;
    return true;
}

static int by_place(const void *left, const void *right) {
    const struct tfr_complaint *a = left, *b = right;
    if (a->line != b->line) {
        return a->line < b->line ? -1 : 1;
    }
    if (a->column != b->column) {
        return a->column < b->column ? -1 : 1;
    }
    return a->serial < b->serial ? -1 : a->serial > b->serial;
}

static enum tfr_status worst_status(const struct tfr_complaints *complaints) {
    for (size_t i = 0; i < complaints->n; i++) {
        if (complaints->items[i].status != TFR_UNSUPPORTED) {
            return complaints->items[i].status;
        }
    }
    return complaints->n > 0 ? TFR_UNSUPPORTED : TFR_RESOURCE;
}

/* The lines joined; NULL when there is no memory for them. */
static char *join_lines(const struct tfr_complaints *complaints, size_t n) {
    size_t size = 1;
    for (size_t i = 0; i < n; i++) {
        size += strlen(complaints->items[i].text) + 1;
    }
    char *text = tfr_alloc(size, 1);
    if (text == NULL) {
        return NULL;
    }
    char *end = text;
    for (size_t i = 0; i < n; i++) {
        const size_t length = strlen(complaints->items[i].text);
        if (i > 0) {
            *end++ = '\n';
        }
        memcpy(end, complaints->items[i].text, length);
        end += length;
    }
    return text;
}

void tfr_complaints_add(struct tfr_complaints *complaints, enum tfr_status status, int line, int column, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    tfr_defuse(text);
    tfr_complaints_add_lines(complaints, status, line, column, text);
}

void tfr_complaints_add_lines(struct tfr_complaints *complaints, enum tfr_status status, int line, int column, const char *text) {
    char *copy = reserve(complaints) ? tfr_strdup(text) : NULL;
    if (copy == NULL) {
        complaints->n_lost++;
        return;
    }
    complaints->items[complaints->n] =
        (struct tfr_complaint){.status = status, .line = line, .column = column, .serial = complaints->n, .text = copy};
    complaints->n++;
}

enum tfr_status tfr_complaints_raise(struct tfr_complaints *complaints, size_t limit) {
    if (complaints->n == 0 && complaints->n_lost == 0) {
        return TFR_OK;
    }
    if (complaints->n > 0) {
        qsort(complaints->items, complaints->n, sizeof(complaints->items[0]), by_place);
    }
    const enum tfr_status status = worst_status(complaints);
    const size_t n = complaints->n < limit ? complaints->n : limit;
    const size_t n_more = complaints->n - n + complaints->n_lost;
    char *text = join_lines(complaints, n);
    if (text == NULL || n == 0) {
        tfr_raise(status, "%zu problems, and no memory left to list them", complaints->n + complaints->n_lost);
    } else if (n_more > 0) {
        char last[64];
        snprintf(last, sizeof(last), "\nand %zu more", n_more);
        char *longer = tfr_format("%s%s", text, last);
        tfr_raise_lines(status, longer != NULL ? longer : text);
        tfr_free(longer);
    } else {
        tfr_raise_lines(status, text);
    }
    tfr_free(text);
    tfr_complaints_clear(complaints);
    return status;
}

void tfr_complaints_clear(struct tfr_complaints *complaints) {
    for (size_t i = 0; i < complaints->n; i++) {
        tfr_free(complaints->items[i].text);
    }
    tfr_free(complaints->items);
    *complaints = (struct tfr_complaints){0};
}
