/* status.h - one text per failure, kept per thread and carried up with the status.
 *
 * Use: `return tfr_raise(TFR_MODEL, "%s: tensor %s has shape ...", file, name);` where a failure is
 * found, and TFR_TRY(call) everywhere above it. The first raise wins the text: a caller that can add
 * where it happened uses tfr_raise_prefix. Thread rule: any thread; the text belongs to the thread.
 */
#ifndef TFR_BASE_STATUS_H
#define TFR_BASE_STATUS_H

#include <tfrun/types.h>

/* Stores the text (at most 4 KiB, cut on a UTF-8 boundary) and returns `status`. */
enum tfr_status tfr_raise(enum tfr_status status, const char *format, ...) TFR_PRINTF(2, 3);

/* The same for a text of several lines, each of which was fit for a message already. tfr_raise makes one line of whatever it is
 * given: names from files may hold line ends that would forge a second message. */
enum tfr_status tfr_raise_lines(enum tfr_status status, const char *text);

/* Control characters of `text` become '?', so that no terminal obeys a name that came from a file: escape sequences, line ends,
 * bytes of 0x80 to 0x9F that are no part of a character; tabs stay. U+0080 to U+009F become a space, and what would turn the
 * direction of the text U+FFFD. It is as long as before. */
void tfr_defuse(char *text);
/* The same of the first character of `text`, which goes to `to` with a NUL; returns its bytes in `text`, at least 1. `text` is not
 * "". */
enum { TFR_CHARACTER_BYTES = 5 };
size_t tfr_defuse_one(const char *text, char to[TFR_CHARACTER_BYTES]);
/* Whether tfr_defuse would leave the text as it is, and no tab is in it: texts of files that go into tables are held to this. */
bool tfr_is_plain(const char *text);

/* Puts "prefix: " before the stored text and returns `status`. */
enum tfr_status tfr_raise_prefix(enum tfr_status status, const char *format, ...) TFR_PRINTF(2, 3);

/* Text of the last failure of this thread; "" if none. Valid until the next raise of this thread. */
const char *tfr_failure_text(void);

const char *tfr_status_name(enum tfr_status status); /* "MODEL" */
const char *tfr_status_text(enum tfr_status status); /* one line in words */
int tfr_status_exit_code(enum tfr_status status);

/* Nearest of `n` names to `word` by edit distance (at most a third of its length), or NULL. For
 * "did you mean" lines; tfrun.h offers it too. */
TFR_API const char *tfr_nearest_name(const char *word, const char *const *names, size_t n);

#define TFR_TRY(call)                                                                                                              \
    do {                                                                                                                           \
        enum tfr_status tfr_try_status_ = (call);                                                                                  \
        if (tfr_try_status_ != TFR_OK) {                                                                                           \
            return tfr_try_status_;                                                                                                \
        }                                                                                                                          \
    } while (0)

#define TFR_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
