/* inject_dups.c - inject_dups: a program that leaves a file below /proc open in five ways and closes another one in five, for
 * test_inject.py: a file that nobody is known to have opened would not be counted there. */
#include <fcntl.h>
#include <unistd.h>

enum { OTHER = 100 };

static int open_five(int files[5], int first) {
    files[0] = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    files[1] = dup(files[0]);
    files[2] = dup2(files[0], first);
    files[3] = dup3(files[0], first + 1, O_CLOEXEC);
    files[4] = fcntl(files[0], F_DUPFD_CLOEXEC, first + 2);
    for (int i = 0; i < 5; i++) {
        if (files[i] < 0) {
            return 1;
        }
    }
    return 0;
}

int main(void) {
    int kept[5], closed[5];
    const int begin = open("/dev/null", O_RDONLY | O_CLOEXEC); /* from here on it is counted */
    close(begin);
    const int code = open_five(kept, OTHER) + open_five(closed, 2 * OTHER);
    for (int i = 0; i < 5; i++) {
        close(closed[i]);
    }
    return code;
}
