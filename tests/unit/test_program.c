/* test_program.c - programs that draw: what they get and give, and that none of them holds anybody up. */
#include "tfr_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/program.h"
#include "base/status.h"

enum { LONG_S = 1000 }; /* for what does not come to that */

static enum tfr_status run(const char *const *arguments, double limit_s, const char *input, char **output) {
    const struct tfr_program program = {
        .arguments = arguments, .missing = "it is not there: install it", .failed = "it failed", .limit_s = limit_s};
    size_t size = 0;
    const enum tfr_status status = tfr_program_run(&program, input, output, &size);
    assert_int_equal(status == TFR_OK, *output != NULL);
    if (status == TFR_OK) {
        assert_int_equal(strlen(*output), size);
    }
    return status;
}

TFR_TEST(it_gets_the_input_and_gives_its_output) {
    TFR_UNUSED_STATE;
    static const char *const cat[] = {"cat", NULL};
    char *output;
    assert_ok(run(cat, LONG_S, "a picture\n", &output));
    assert_string_equal(output, "a picture\n");
    tfr_free(output);
}

TFR_TEST(what_fails_or_is_missing_says_so) {
    TFR_UNUSED_STATE;
    static const char *const missing[] = {"no-such-program-as-this", NULL}, *const fails[] = {"sh", "-c", "echo x; exit 3", NULL},
                             *const silent[] = {"true", NULL}, *const killed[] = {"sh", "-c", "echo x; kill -9 $$", NULL};
    char *output;
    assert_refused(run(missing, LONG_S, "", &output), TFR_RESOURCE, "install it");
    assert_refused(run(fails, LONG_S, "", &output), TFR_RUNTIME, "it failed");
    assert_refused(run(killed, LONG_S, "", &output), TFR_RUNTIME, "it failed");
    assert_refused(run(silent, LONG_S, "", &output), TFR_RUNTIME, "wrote nothing");
}

/* Nor does the system say whether there is one where it may not look into a folder of PATH. */
TFR_TEST(what_may_not_be_started_is_named_with_the_fix) {
    TFR_UNUSED_STATE;
    static const char *const refused[] = {"no-such-program-as-this", NULL};
    char folder[] = "/tmp/test_program-XXXXXX", path[64], *output, *before = strdup(getenv("PATH"));
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/%s", folder, refused[0]);
    fclose(fopen(path, "w")); /* not executable, for root neither */
    setenv("PATH", folder, 1);
    assert_refused(run(refused, LONG_S, "", &output), TFR_RESOURCE, "install it");
    assert_refused(run(refused, LONG_S, "", &output), TFR_RESOURCE, "each folder of PATH");
    setenv("PATH", before, 1);
    free(before);
    unlink(path);
    rmdir(folder);
}

/* Also with a child of its own that goes on, and holds its output. */
TFR_TEST(what_takes_too_long_is_killed) {
    TFR_UNUSED_STATE;
    static const char *const sleeps[] = {"sleep", "1000", NULL}, *const shares[] = {"sh", "-c", "sleep 2 & sleep 2", NULL};
    char *output;
    assert_refused(run(sleeps, 0.05, "", &output), TFR_RUNTIME, "took longer than 0.05 s and was ended");
    assert_refused(run(shares, 0.05, "", &output), TFR_RUNTIME, "took longer");
}

/* Of a server, which blocks and ignores some: neither mask comes with the program. */
TFR_TEST(its_signals_are_those_of_a_terminal) {
    TFR_UNUSED_STATE;
    static const char *const looks[] = {"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL};
    sigset_t some, before;
    char *output;
    sigemptyset(&some);
    sigaddset(&some, SIGTERM);
    sigaddset(&some, SIGINT);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &some, &before), 0);
    void (*was)(int) = signal(SIGPIPE, SIG_IGN);
    const enum tfr_status status = run(looks, LONG_S, "", &output);
    signal(SIGPIPE, was);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_ok(status);
    unsigned long long blocked, ignored;
    assert_int_equal(sscanf(output, "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    assert_int_equal(blocked, 0);
    assert_int_equal(ignored >> (SIGPIPE - 1) & 1, 0);
    tfr_free(output);
}

static void *end_soon(void *user) {
    (void)user;
    tfr_programs_end();
    return NULL;
}

/* The last case: from here on none runs. */
TFR_TEST(the_end_of_the_process_waits_for_none) {
    TFR_UNUSED_STATE;
    static const char *const sleeps[] = {"sleep", "1000", NULL};
    pthread_t thread;
    char *output;
    assert_int_equal(pthread_create(&thread, NULL, end_soon, NULL), 0);
    assert_refused(run(sleeps, LONG_S, "", &output), TFR_RUNTIME, "sleep was ended");
    pthread_join(thread, NULL);
}

TFR_TEST_MAIN(TFR_CASE(it_gets_the_input_and_gives_its_output), TFR_CASE(what_fails_or_is_missing_says_so),
              TFR_CASE(what_may_not_be_started_is_named_with_the_fix), TFR_CASE(what_takes_too_long_is_killed),
              TFR_CASE(its_signals_are_those_of_a_terminal), TFR_CASE(the_end_of_the_process_waits_for_none))
