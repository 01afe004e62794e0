/* tokenizer_merges.c - merges.txt, with any line ends. Where the releases of transformers disagree the newer
 * ones are followed: a first line that is no "#version" is a merge, and so is a last line that does not end.
 * Both are worth a warning. */
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "base/textfile.h"
#include "model/tokenizer_internal.h"

#define MERGES_MAX_BYTES ((size_t)1 << 28)

struct line {
    const char *text;
    size_t size, number;
};

/* The line after `line`, of the text that ends at `end`; false at the end. Ends are "\n", "\r\n" or "\r". */
static bool next_line(struct line *line, const char *end) {
    const char *at = line->text + line->size;
    if (line->number > 0 && at < end) {
        at += *at == '\r' && at + 1 < end && at[1] == '\n' ? 2 : 1;
    }
    if (at == end) {
        return false;
    }
    line->text = at;
    line->number++;
    while (at < end && *at != '\n' && *at != '\r') {
        at++;
    }
    line->size = (size_t)(at - line->text);
    return true;
}

static enum tfr_status read_merge(struct tfr_tokenizer *tokenizer, const char *line, size_t size) {
    const char *space = memchr(line, ' ', size);
    const size_t left = space == NULL ? 0 : (size_t)(space - line);
    if (left == 0 || left + 1 == size || memchr(space + 1, ' ', size - left - 1) != NULL) {
        return tfr_raise(TFR_MODEL, "a merge is two tokens with one space between them, this is \"%.*s\"",
                         (int)(size < 80 ? size : 80), line);
    }
    return tfr_tokenizer_add_merge(tokenizer, line, left, space + 1, size - left - 1);
}

static bool is_header(const struct line *line) {
    static const char header[] = "#version";
    return line->size >= sizeof header - 1 && memcmp(line->text, header, sizeof header - 1) == 0;
}

static void warn(struct tfr_tokenizer *tokenizer, const char *path, const char *what, const char *reason) {
    tfr_log(TFR_LOG_WARN, "tokenizer", "%s: %s: %s", path, what, reason);
    if (tokenizer->notes != NULL) {
        tfr_findings_add(tokenizer->notes, &(struct tfr_finding){.about = TFR_ABOUT_TOKENIZER,
                                                                 .verdict = TFR_VERDICT_HONOURED,
                                                                 .name = what,
                                                                 .source = "merges.txt",
                                                                 .reason = reason});
    }
}

static enum tfr_status parse(struct tfr_tokenizer *tokenizer, const char *path, const char *text, size_t size) {
    const char *end = text + size;
    size_t n = 0;
    for (struct line line = {.text = text}; next_line(&line, end);) {
        n++;
    }
    TFR_TRY(tfr_bpe_open(&tokenizer->bpe, n));
    for (struct line line = {.text = text}; next_line(&line, end);) {
        if (line.number == 1 && is_header(&line)) {
            continue;
        }
        if (line.number == 1) {
            warn(tokenizer, path, "no #version line", "the first line is a merge, as for transformers 5; transformers 4 skips it");
        }
        const enum tfr_status status = read_merge(tokenizer, line.text, line.size);
        if (status != TFR_OK) {
            return tfr_raise_prefix(status, "%s:%zu", path, line.number);
        }
    }
    if (size > 0 && end[-1] != '\n' && end[-1] != '\r') {
        warn(tokenizer, path, "the last line does not end", "it is a merge, as for transformers 5; is the file cut short?");
    }
    return TFR_OK;
}

enum tfr_status tfr_tokenizer_read_merges(struct tfr_tokenizer *tokenizer, const char *path) {
    char *text;
    size_t size;
    TFR_TRY(tfr_textfile_read(path, MERGES_MAX_BYTES, TFR_MODEL, &text, &size));
    const enum tfr_status status = parse(tokenizer, path, text, size);
    tfr_free(text);
    return status;
}
