/* repl.h - what the parts of `tfrun repl` share: the text with its past, the settings, and the engine that goes on with it.
 *
 * The text is kept as token ids: what was typed, tokenized piece by piece, and what was generated, as it came. So going back is
 * exact, and the engine finds what it has computed. Thread rule: main thread. */
#ifndef TFR_APP_REPL_REPL_H
#define TFR_APP_REPL_REPL_H

#include "app/cli/cli.h"

struct tfr_repl_ids {
    int32_t *ids;
    size_t n;
};

enum { TFR_REPL_MOST_SETTINGS = 64, TFR_REPL_MOST_ALTERNATIVES = 16 };

struct tfr_repl {
    struct tfr_engine *engine;
    struct tfr_vocabulary *vocabulary;
    bool is_interactive, has_quit, overwrites; /* of /save! */
    struct tfr_repl_ids *states;               /* [n_states] every text that was, the present one at `now` */
    size_t n_states, room, now;
    struct tfr_override settings[TFR_REPL_MOST_SETTINGS]; /* key and value are owned */
    size_t n_settings;
    struct tfr_repl_ids alternatives[TFR_REPL_MOST_ALTERNATIVES]; /* what would be added to the text */
    size_t n_alternatives;
    size_t n_read, n_cached; /* tokens of the last request's prompt, and those that an earlier one had computed */
};

/* All of these return 0 or an exit code after a message; the text is what it was then. */

/* repl_text.c */
int tfr_repl_open_text(struct tfr_repl *repl);
void tfr_repl_close_text(struct tfr_repl *repl);
const struct tfr_repl_ids *tfr_repl_text(const struct tfr_repl *repl);
/* The text with more behind it becomes the present one, and what was undone is forgotten; `replace`: instead of the text. */
int tfr_repl_push(struct tfr_repl *repl, const int32_t *ids, size_t n, bool replace);
/* Bytes as tokens behind the text, or in its place. */
int tfr_repl_type(struct tfr_repl *repl, const char *text, size_t size, bool replace);
void tfr_repl_forget_alternatives(struct tfr_repl *repl);
int tfr_repl_undo(struct tfr_repl *repl, char **operands);
int tfr_repl_redo(struct tfr_repl *repl, char **operands);
int tfr_repl_save(struct tfr_repl *repl, char **operands);
int tfr_repl_load(struct tfr_repl *repl, char **operands);

/* repl_run.c */
int tfr_repl_go_on(struct tfr_repl *repl, char **operands);
int tfr_repl_alternatives(struct tfr_repl *repl, char **operands);
int tfr_repl_choose(struct tfr_repl *repl, char **operands);
int tfr_repl_top(struct tfr_repl *repl, char **operands);

/* repl_show.c */
int tfr_repl_set(struct tfr_repl *repl, char **operands);
int tfr_repl_show(struct tfr_repl *repl, char **operands);
int tfr_repl_tokens(struct tfr_repl *repl, char **operands);
int tfr_repl_score(struct tfr_repl *repl, char **operands);
void tfr_repl_forget_settings(struct tfr_repl *repl);

/* cmd_repl.c */
int tfr_repl_help(struct tfr_repl *repl, char **operands);
int tfr_repl_quit(struct tfr_repl *repl, char **operands);

/* The first operand as a whole number, `value` where there is none; false after a message. */
bool tfr_repl_number(char **operands, const char *word, int64_t min, int64_t max, int64_t *value);

#endif
