/* wire.c - a network cable between two network namespaces, as long and as narrow as wanted: wire PID_A PID_B DELAY_US GBIT_S
 *
 * For kernels without netem. A tap device eth0 in the namespace of each process; a frame leaves the other one when its bytes have
 * passed at GBIT_S (0: at once) and DELAY_US after. Its own cost is some 50 us a frame. Prints "ready", ends with a signal.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { FRAMES = 2048, FRAME_BYTES = 9216 };

struct frame {
    uint64_t due_ns;
    ssize_t size;
    char bytes[FRAME_BYTES];
};

struct direction {
    int from, to;
    uint64_t free_ns; /* when the last frame has passed */
    unsigned head, tail;
    struct frame *frames; /* [FRAMES] a ring */
};

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int open_end(const char *process) {
    char path[64];
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(path, sizeof path, "/proc/%s/ns/net", process);
    const int space = open(path, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) != 0) {
        return -1;
    }
    close(space);
    const int end = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    memcpy(request.ifr_name, "eth0", 5);
    return end >= 0 && ioctl(end, TUNSETIFF, &request) == 0 ? end : -1;
}

/* Takes what has come; false if nothing had. */
static bool take(struct direction *direction, uint64_t delay_ns, double ns_per_byte) {
    bool any = false;
    while (direction->tail - direction->head < FRAMES) {
        struct frame *frame = &direction->frames[direction->tail % FRAMES];
        frame->size = read(direction->from, frame->bytes, sizeof frame->bytes);
        if (frame->size <= 0) {
            break;
        }
        const uint64_t now = now_ns();
        direction->free_ns = (direction->free_ns > now ? direction->free_ns : now) + (uint64_t)((double)frame->size * ns_per_byte);
        frame->due_ns = direction->free_ns + delay_ns;
        direction->tail++;
        any = true;
    }
    return any;
}

static bool give(struct direction *direction) {
    bool any = false;
    while (direction->head != direction->tail) {
        const struct frame *frame = &direction->frames[direction->head % FRAMES];
        if (frame->due_ns > now_ns() || write(direction->to, frame->bytes, (size_t)frame->size) < 0) {
            break;
        }
        direction->head++;
        any = true;
    }
    return any;
}

static void rest(const struct direction *ways) {
    uint64_t until = UINT64_MAX;
    struct pollfd ends[2] = {{.fd = ways[0].from, .events = POLLIN}, {.fd = ways[1].from, .events = POLLIN}};
    for (int i = 0; i < 2; i++) {
        const struct frame *first = &ways[i].frames[ways[i].head % FRAMES];
        until = ways[i].head != ways[i].tail && first->due_ns < until ? first->due_ns : until;
    }
    const uint64_t now = now_ns(), ns = until == UINT64_MAX ? 1000000000u : until > now ? until - now : 0;
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    ppoll(ends, 2, &time, NULL);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: wire PID_A PID_B DELAY_US GBIT_S\n");
        return 2;
    }
    const int a = open_end(argv[1]), b = open_end(argv[2]);
    const uint64_t delay_ns = (uint64_t)(strtod(argv[3], NULL) * 1000);
    const double gbit_s = strtod(argv[4], NULL), ns_per_byte = gbit_s > 0 ? 8 / gbit_s : 0;
    struct direction ways[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
    ways[0].frames = malloc(FRAMES * sizeof(struct frame));
    ways[1].frames = malloc(FRAMES * sizeof(struct frame));
    if (a < 0 || b < 0 || ways[0].frames == NULL || ways[1].frames == NULL) {
        perror("wire");
        return 1;
    }
    prctl(PR_SET_TIMERSLACK, 1); /* naps of microseconds */
    puts("ready");
    fflush(stdout);
    for (;;) {
        const bool took = take(&ways[0], delay_ns, ns_per_byte) | take(&ways[1], delay_ns, ns_per_byte);
        const bool gave = give(&ways[0]) | give(&ways[1]);
        if (!took && !gave) {
            rest(ways);
        }
    }
}
