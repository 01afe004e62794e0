/* complaints.h - a list of problems that is raised as one text: everything wrong is said at once, in file
 * order.
 *
 * Used by config (file:line:column: ...) and by model (one line per tensor). Adding never fails: a line that
 * no memory is left for is counted instead. Thread rule: one list, one thread.
 */
#ifndef TFR_CONFIG_COMPLAINTS_H
#define TFR_CONFIG_COMPLAINTS_H

#include <tfrun/types.h>

struct tfr_complaint {
    enum tfr_status status;
    int line, column; /* sort key; equal keys keep the order of adding */
    size_t serial;
    char *text;
};

struct tfr_complaints {
    struct tfr_complaint *items;
    size_t n, capacity, n_lost;
};

/* Lines of problems that have no place in the file: they come last, in this order. */
#define TFR_COMPLAINT_GENERATION_LINE 0x7ffffffd /* in generation_config.json */
#define TFR_COMPLAINT_TOGETHER_LINE   0x7ffffffe /* of settings that do not go together, from wherever they are */
#define TFR_COMPLAINT_LAST_LINE       0x7fffffff /* on the command line */

void tfr_complaints_add(struct tfr_complaints *complaints, enum tfr_status status, int line, int column, const char *format, ...)
    TFR_PRINTF(5, 6);
/* The same for a text that was raised before: it may be of several lines. */
void tfr_complaints_add_lines(struct tfr_complaints *complaints, enum tfr_status status, int line, int column, const char *text);
/* Raises up to `limit` lines and empties the list; TFR_OK if there are none. The status is TFR_UNSUPPORTED if
 * every problem is, otherwise that of the first problem of another kind. */
enum tfr_status tfr_complaints_raise(struct tfr_complaints *complaints, size_t limit);
void tfr_complaints_clear(struct tfr_complaints *complaints);

#endif
