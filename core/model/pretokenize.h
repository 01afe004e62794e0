/* pretokenize.h - cuts text into the pieces inside which BPE merges.
 *
 * The pieces are those of GPT-2's pattern, first rule that fits wins: a contraction ('s 't 're 've 'm 'll 'd,
 * lower case); letters, numbers or other characters, each with one space (U+0020) in front if there is one; a
 * run of blanks, which leaves its last one to what follows. No look-behind: a piece depends on the text from
 * its start on. Invalid UTF-8 is "other", byte by byte. Linear time, no memory. Thread rule: any thread.
 */
#ifndef TFR_MODEL_PRETOKENIZE_H
#define TFR_MODEL_PRETOKENIZE_H

#include <stddef.h>
#include <stdint.h>

/* Size of the blank character at `text`; 0 if there is none. */
size_t tfr_pretokenize_blank(const uint8_t *text, size_t size);

/* Size of the first piece of `text`; at least 1 where size > 0, and never more than size. */
size_t tfr_pretokenize_next(const uint8_t *text, size_t size);

#endif
