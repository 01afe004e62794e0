/* findings.c - see findings.h. */
#include "config/findings.h"

#include "base/arena.h"
#include "base/status.h"

static bool reserve(struct tfr_findings *findings) {
    if (findings->n < findings->capacity) {
        return true;
    }
    const size_t capacity = findings->capacity == 0 ? 128 : 2 * findings->capacity;
    struct tfr_finding *items = tfr_realloc(findings->items, capacity, sizeof(*items));
    if (items == NULL) {
        return false;
    }
    findings->items = items;
    findings->capacity = capacity;
    return true;
}

static const char *copy(struct tfr_findings *findings, const char *text) {
    char *copied = text != NULL ? tfr_strdup(text) : NULL;
    findings->failed |= text != NULL && copied == NULL;
    if (copied != NULL) {
        tfr_defuse(copied); /* keys and names of a stranger's files */
    }
    return copied;
}

void tfr_findings_add(struct tfr_findings *findings, const struct tfr_finding *finding) {
    if (findings->failed || !reserve(findings)) {
        findings->failed = true;
        return;
    }
    struct tfr_finding *added = &findings->items[findings->n++];
    *added = *finding;
    added->name = copy(findings, finding->name);
    added->value = copy(findings, finding->value);
    added->source = copy(findings, finding->source);
    added->dtype = copy(findings, finding->dtype);
    added->reason = copy(findings, finding->reason);
}

size_t tfr_findings_count(const struct tfr_findings *findings, enum tfr_verdict verdict) {
    size_t n = 0;
    for (size_t i = 0; i < findings->n; i++) {
        n += findings->items[i].verdict == verdict;
    }
    return n;
}

enum tfr_status tfr_findings_status(const struct tfr_findings *findings) {
    enum tfr_status status = TFR_OK;
    for (size_t i = 0; i < findings->n; i++) {
        const struct tfr_finding *finding = &findings->items[i];
        if (finding->verdict == TFR_VERDICT_REFUSED && (status == TFR_OK || finding->status == TFR_CONFIG)) {
            status = finding->status;
        }
    }
    return status;
}

void tfr_findings_clear(struct tfr_findings *findings) {
    for (size_t i = 0; i < findings->n; i++) {
        const struct tfr_finding *finding = &findings->items[i];
        const char *strings[] = {finding->name, finding->value, finding->source, finding->dtype, finding->reason};
        for (size_t s = 0; s < sizeof(strings) / sizeof(strings[0]); s++) {
            tfr_free((char *)strings[s]);
        }
    }
    tfr_free(findings->items);
    *findings = (struct tfr_findings){0};
}
