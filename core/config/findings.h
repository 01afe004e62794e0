/* findings.h - what `tfrun check` says: one line for each field, option and tensor, refused or not.
 *
 * Adding never fails aloud: without memory `failed` is set, to be looked at once at the end.
 */
#ifndef TFR_CONFIG_FINDINGS_H
#define TFR_CONFIG_FINDINGS_H

#include <tfrun/types.h>

enum tfr_finding_about {
    TFR_ABOUT_FIELD,
    TFR_ABOUT_OPTION,
    TFR_ABOUT_TENSOR,
    TFR_ABOUT_TOKENIZER,
    TFR_ABOUT_OTHER,
    TFR_ABOUT_COUNT
};
enum tfr_verdict { TFR_VERDICT_HONOURED, TFR_VERDICT_NO_EFFECT, TFR_VERDICT_REFUSED, TFR_VERDICT_COUNT };

struct tfr_finding {
    enum tfr_finding_about about;
    enum tfr_verdict verdict;
    enum tfr_status status; /* of a refusal */
    const char *name;
    const char *value; /* JSON; the shape of a tensor; NULL where there is none */
    /* "file", "default", "generation" (generation_config.json), "task params", the flag; of a tensor:
     * "parameter", ...; of a tokenizer: its file */
    const char *source;
    const char *dtype; /* of a tensor in the file; NULL otherwise */
    const char *reason;
};

struct tfr_findings {
    struct tfr_finding *items; /* strings owned */
    size_t n, capacity;
    bool failed;
};

/* Copies the strings. */
void tfr_findings_add(struct tfr_findings *findings, const struct tfr_finding *finding);
size_t tfr_findings_count(const struct tfr_findings *findings, enum tfr_verdict verdict);
/* TFR_OK if nothing is refused; TFR_CONFIG if the file is wrong, otherwise the status of the first refusal. */
enum tfr_status tfr_findings_status(const struct tfr_findings *findings);
void tfr_findings_clear(struct tfr_findings *findings);

#endif
