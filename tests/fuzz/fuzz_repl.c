/* fuzz_repl.c - lines of `tfrun repl` as they are typed, on a small model. Lines that name another folder are left out: /save
 * writes. */
#include "app/repl/cmd_repl.c"

#include <fcntl.h>
#include <stdlib.h>

#include "harness.h"

/* Paths with a slash could be anybody's files. */
static bool names_a_folder(const char *line) {
    return line[0] == '/' && strchr(line + 1 + (line[1] == '/'), '/') != NULL;
}

int tfr_fuzz_repl(const uint8_t *data, size_t size) {
    static struct tfr_vocabulary *vocabulary;
    struct tfr_repl repl = {.engine = tfr_fuzz_engine("lm")};
    char *text = tfr_fuzz_text(data, size);
    tfr_fuzz_hush();
    if (vocabulary == NULL) {
        tfr_fuzz_require(tfr_vocabulary_of(&vocabulary, repl.engine) == TFR_OK && chdir(tfr_fuzz_path("")) == 0,
                         "a text can begin");
        const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (getenv("TFR_FUZZ_VERBOSE") == NULL) {
            dup2(nowhere, STDOUT_FILENO);
        }
        tfr_results_open();
    }
    repl.vocabulary = vocabulary;
    tfr_fuzz_require(tfr_repl_open_text(&repl) == 0, "a text begins");
    int n = 0;
    for (char *rest = text, *line; n < 16 && !repl.has_quit && (line = strsep(&rest, "\n")) != NULL; n++) {
        if (!names_a_folder(line)) {
            (void)run_line(&repl, line);
        }
    }
    (void)tfr_cli_flush();
    tfr_repl_close_text(&repl);
    tfr_repl_forget_settings(&repl);
    free(text);
    return 0;
}
