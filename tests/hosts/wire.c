/* wire.c - cables between network namespaces, as long and as narrow as wanted: wire DELAY_US GBIT_S PID PID...
 *
 * For kernels without netem. A tap device eth0 in the namespace of each process, all joined by a switch: a frame comes out where
 * its address was seen before, else everywhere, when its bytes have passed the sender's cable at GBIT_S (0: at once) and DELAY_US
 * after. Its own cost is some 50 us a frame. Prints "ready", ends with a signal.
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

enum { FRAMES = 2048, FRAME_BYTES = 9216, MOST_ENDS = 16, ADDRESS = 6, EVERYWHERE = -1 };

struct frame {
    uint64_t due_ns;
    ssize_t size;
    int to; /* an end or EVERYWHERE */
    char bytes[FRAME_BYTES];
};

struct end {
    int tap;
    char address[ADDRESS]; /* of the frames that came in here */
    uint64_t free_ns;      /* when the last of them has passed */
    unsigned head, tail;
    struct frame *frames; /* [FRAMES] a ring */
};

static struct end ends[MOST_ENDS];
static int n_ends;

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

/* Ethernet: the address of who is to have it, then that of who sent it. */
static int find(const char *address) {
    for (int i = 0; i < n_ends; i++) {
        if (memcmp(ends[i].address, address, ADDRESS) == 0) {
            return i;
        }
    }
    return EVERYWHERE;
}

/* Takes what has come; false if nothing had. */
static bool take(struct end *end, uint64_t delay_ns, double ns_per_byte) {
    bool any = false;
    while (end->tail - end->head < FRAMES) {
        struct frame *frame = &end->frames[end->tail % FRAMES];
        frame->size = read(end->tap, frame->bytes, sizeof frame->bytes);
        if (frame->size < 2 * ADDRESS) {
            break;
        }
        const uint64_t now = now_ns();
        memcpy(end->address, frame->bytes + ADDRESS, ADDRESS);
        end->free_ns = (end->free_ns > now ? end->free_ns : now) + (uint64_t)((double)frame->size * ns_per_byte);
        frame->due_ns = end->free_ns + delay_ns;
        frame->to = find(frame->bytes);
        end->tail++;
        any = true;
    }
    return any;
}

/* A receiver that takes nothing loses the frame, as on a real network. */
static bool give(struct end *end) {
    bool any = false;
    while (end->head != end->tail && end->frames[end->head % FRAMES].due_ns <= now_ns()) {
        const struct frame *frame = &end->frames[end->head++ % FRAMES];
        for (int i = 0; i < n_ends; i++) {
            if (&ends[i] != end && (frame->to == EVERYWHERE || frame->to == i)) {
                any = write(ends[i].tap, frame->bytes, (size_t)frame->size) > 0 || any;
            }
        }
    }
    return any;
}

static void rest(void) {
    uint64_t until = UINT64_MAX;
    struct pollfd taps[MOST_ENDS];
    for (int i = 0; i < n_ends; i++) {
        const struct frame *first = &ends[i].frames[ends[i].head % FRAMES];
        until = ends[i].head != ends[i].tail && first->due_ns < until ? first->due_ns : until;
        taps[i] = (struct pollfd){.fd = ends[i].tap, .events = POLLIN};
    }
    const uint64_t now = now_ns(), ns = until == UINT64_MAX ? 1000000000u : until > now ? until - now : 0;
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    ppoll(taps, (nfds_t)n_ends, &time, NULL);
}

int main(int argc, char **argv) {
    if (argc < 5 || argc > 3 + MOST_ENDS) {
        fprintf(stderr, "usage: wire DELAY_US GBIT_S PID PID..., up to %d\n", MOST_ENDS);
        return 2;
    }
    const uint64_t delay_ns = (uint64_t)(strtod(argv[1], NULL) * 1000);
    const double gbit_s = strtod(argv[2], NULL), ns_per_byte = gbit_s > 0 ? 8 / gbit_s : 0;
    for (n_ends = 0; n_ends < argc - 3; n_ends++) {
        ends[n_ends] = (struct end){.tap = open_end(argv[3 + n_ends]), .frames = malloc(FRAMES * sizeof(struct frame))};
        if (ends[n_ends].tap < 0 || ends[n_ends].frames == NULL) {
            perror("wire");
            return 1;
        }
    }
    prctl(PR_SET_TIMERSLACK, 1); /* naps of microseconds */
    puts("ready");
    fflush(stdout);
    for (;;) {
        bool any = false;
        for (int i = 0; i < n_ends; i++) {
            any = take(&ends[i], delay_ns, ns_per_byte) || any;
            any = give(&ends[i]) || any;
        }
        if (!any) {
            rest();
        }
    }
}
