/* harness.h - what the fuzz targets share: the rule that is held, files made of an input, a small model.
 *
 * A target takes any bytes. Whatever it gives them to must end well or with a refusal: a status, and a sentence that a terminal can
 * show. It is deterministic and keeps nothing from one input to the next. Thread rule: one thread.
 */
#ifndef TFR_FUZZ_HARNESS_H
#define TFR_FUZZ_HARNESS_H

#include <tfrun/tfrun.h>

/* tfr_fuzz_NAME of every target in targets.def. */
#define TFR_FUZZ(name, what, sources) int tfr_fuzz_##name(const uint8_t *data, size_t size);
#include "targets.def"
#undef TFR_FUZZ

/* Before the first input: no diagnostics, a folder of this process. */
void tfr_fuzz_start(void);

/* What a command says on stderr goes nowhere from now on, unless TFR_FUZZ_VERBOSE is set. */
void tfr_fuzz_hush(void);

/* Ends the process, with what was broken and the last failure's text on stderr. */
void tfr_fuzz_require(bool holds, const char *law);
/* A failure has a status of the list and a sentence: not empty, UTF-8, no control characters but line ends and tabs. */
void tfr_fuzz_check_refusal(enum tfr_status status);
void tfr_fuzz_check_sentence(const char *text);
/* TFR_OK, or a refusal as it should be. Returns whether it is TFR_OK. */
bool tfr_fuzz_accepted(enum tfr_status status);

/* In the process's folder, on a file system in memory where there is one; borrowed until the next call. The folder goes at exit. */
const char *tfr_fuzz_path(const char *name);
const char *tfr_fuzz_write(const char *name, const void *data, size_t size);

/* An input that stands for several files: each begins with a line "=== NAME", NAME of names[n]; others are left out, and so is what
 * stands before the first. The files alone are in the folder afterwards, which is returned: borrowed, made anew by the next call.
 */
const char *tfr_fuzz_unpack(const char *const *names, size_t n, const uint8_t *data, size_t size);
/* The part of that name, without writing anything; NULL: there is none. */
const uint8_t *tfr_fuzz_part(const char *name, const uint8_t *data, size_t size, size_t *part_size);

/* Bytes as a C string that is exactly as long, so that a read beyond it is found; a NUL ends it. free() it. */
char *tfr_fuzz_text(const uint8_t *data, size_t size);

/* A folder with a model of one block, 16 wide, 32 positions, with random weights, made at the first call, and a tokenizer of bytes
 * and a few merges. `kind` is lm, cross (with cross-attention), double, seq, token or span (with that head), or prefix (lm, its
 * engine with one). Borrowed for good. */
const char *tfr_fuzz_model(const char *kind);
/* An engine of it, on one thread; opened at the first call for each kind and kept. */
struct tfr_engine *tfr_fuzz_engine(const char *kind);

#endif
