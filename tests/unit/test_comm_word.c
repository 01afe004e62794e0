/* test_comm_word.c - who hears of a word before the ranks know each other: those of the same job, and nobody beside them.
 *
 * The test is the launcher; a shell with a trap for the signal stands for a rank, or for a stranger that would mind. */
#include "tfr_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/named.h"
#include "mpi/comm_internal.h"

enum { QUIET = 0, TOLD = 7 };

struct listener {
    pid_t process;
    int end; /* until this is closed it listens */
};

static void make_pipe(int ends[2]) {
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
}

/* Once it listens. `entry`: of its environment. */
static struct listener start_shell(const char *entry) {
    int up[2], hold[2];
    char letter = 0;
    make_pipe(up);
    make_pipe(hold);
    const pid_t process = fork();
    if (process == 0) {
        dup2(hold[0], STDIN_FILENO);
        dup2(up[1], STDOUT_FILENO);
        execl("/usr/bin/env", "env", entry, "sh", "-c", "trap 'exit 7' URG; echo; read x; exit 0", (char *)NULL);
        _exit(1);
    }
    close(hold[0]);
    close(up[1]);
    assert_int_equal(read(up[0], &letter, 1), 1);
    close(up[0]);
    return (struct listener){process, hold[1]};
}

/* A rank that runs the same program as the one that speaks. */
static struct listener start_same(void) {
    int hold[2];
    char letter;
    sigset_t kept, before;
    sigemptyset(&kept);
    sigaddset(&kept, TFR_SIGNAL_NAMED);
    make_pipe(hold);
    sigprocmask(SIG_BLOCK, &kept, &before);
    const pid_t process = fork();
    if (process == 0) {
        close(hold[1]);
        _exit(read(hold[0], &letter, 1) == 0 && tfr_is_named() ? TOLD : QUIET);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(hold[0]);
    return (struct listener){process, hold[1]};
}

static int wait_for(pid_t process) {
    int status;
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int end_of(struct listener listener) {
    close(listener.end);
    return wait_for(listener.process);
}

/* A kernel may be built without what tells of them. */
static void need_children(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    if (access(path, R_OK) != 0) {
        skip();
    }
}

/* As a rank of `job`, NULL: without a name for it. */
static void speak(const char *job) {
    const pid_t process = fork();
    if (process == 0) {
        (void)(job != NULL ? setenv("PMIX_NAMESPACE", job, 1) : unsetenv("PMIX_NAMESPACE"));
        tfr_word_tell_beside();
        _exit(0);
    }
    assert_int_equal(wait_for(process), 0);
}

TFR_TEST(ranks_of_the_job_are_told_and_strangers_are_not) {
    TFR_UNUSED_STATE;
    need_children();
    const struct listener same = start_same(), ours = start_shell("PMIX_NAMESPACE=job-7"),
                          longer = start_shell("PMIX_NAMESPACE=job-77"), shorter = start_shell("PMIX_NAMESPACE=job-"),
                          other = start_shell("XPMIX_NAMESPACE=job-7");
    speak("job-7");
    assert_int_equal(end_of(ours), TOLD);
    assert_int_equal(end_of(longer), QUIET);
    assert_int_equal(end_of(shorter), QUIET);
    assert_int_equal(end_of(other), QUIET);
    assert_int_equal(end_of(same), QUIET);
}

TFR_TEST(without_a_name_of_the_job_its_program_tells_who_is_of_it) {
    TFR_UNUSED_STATE;
    need_children();
    const struct listener same = start_same(), other = start_shell("A=b");
    speak(NULL);
    assert_int_equal(end_of(same), TOLD);
    assert_int_equal(end_of(other), QUIET);
}

TFR_TEST_MAIN(TFR_CASE(ranks_of_the_job_are_told_and_strangers_are_not),
              TFR_CASE(without_a_name_of_the_job_its_program_tells_who_is_of_it))
