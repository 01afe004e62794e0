/* inject.c - preloaded into a program (LD_PRELOAD), makes one request fail: of the kind TFR_INJECT_KIND the one with number
 * TFR_INJECT_AT, and all after it with TFR_INJECT_REST=1. At the end it writes to the file TFR_INJECT_COUNT how many requests of
 * the kind there were, and what the program still held. Of ranks that with the number TFR_INJECT_RANK, where it is given, has the
 * faults.
 *
 * Kinds: memory (malloc and its relatives), map (mmap), thread (pthread_create), vendor (calls of oneDNN, hwloc and libzip,
 * inject_vendors.c), message (calls of MPI, inject_messages.c). System calls have a tool of their own, inject_calls.c, which
 * preloads this one for what it says about the end.
 *
 * Counting begins at the first file that the program itself opens, /dev/null: what the loader and the libraries do before main is
 * not ours to mend. Requests of the vendors' libraries for memory, whose failure ends in their own words or an abort, are not
 * counted. With TFR_INJECT_TRACE=N it tells on stderr who made request N; of another tool's kind, the N-th for memory. With
 * TFR_INJECT_WAYS=FILE it writes there by which ways requests of the kind are made (inject_ways.c). */
#include "inject.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject_ways.h"

void *memalign(size_t alignment, size_t size);
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *old);

enum { PLACES = 1 << 20, MOST_SHOWN = 12, DEPTH = 24 };

static atomic_bool counting;
static atomic_long counts[INJECT_KINDS];
static enum inject_kind kind;
static long fail_at, trace_at;
static bool fail_rest, wants_ways, is_bystander; /* another rank fails and reports */
static _Thread_local bool inside;                /* of our own look-ups */
static _Thread_local bool
    is_onednn; /* the plugin, which keeps its primitives as long as the process lives, made the last request */

static atomic_llong mapped_bytes;

/* Blocks that the program holds, by address, each with the number of its request; open addressing, no deletion marks. */
static struct held {
    uintptr_t address; /* 0: free */
    long number;
    bool is_kept;
} held[PLACES];
static atomic_flag holding = ATOMIC_FLAG_INIT;

static void lock_held(void) {
    while (atomic_flag_test_and_set_explicit(&holding, memory_order_acquire)) {
    }
}

static void unlock_held(void) {
    atomic_flag_clear_explicit(&holding, memory_order_release);
}

static size_t place_of(uintptr_t address) {
    return (size_t)((address >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 44) % PLACES;
}

static void keep(struct held block) {
    if (block.address == 0 || block.number == 0) {
        return;
    }
    lock_held();
    size_t i = place_of(block.address);
    while (held[i].address != 0) {
        i = (i + 1) % PLACES;
    }
    held[i] = block;
    unlock_held();
}

static void hold(const void *memory, long number) {
    keep((struct held){(uintptr_t)memory, number, is_onednn});
}

/* The block as it was held; all 0 where it was not. */
static struct held let_go(const void *memory) {
    const uintptr_t address = (uintptr_t)memory;
    if (address == 0 || !atomic_load(&counting)) {
        return (struct held){0};
    }
    lock_held();
    size_t i = place_of(address);
    while (held[i].address != 0 && held[i].address != address) {
        i = (i + 1) % PLACES;
    }
    const struct held block = held[i];
    for (size_t next = i; held[i].address != 0;) { /* those behind it that could stand here move up */
        next = (next + 1) % PLACES;
        const size_t home = place_of(held[next].address);
        if (held[next].address == 0) {
            held[i].address = 0;
        } else if ((next - home) % PLACES >= (next - i) % PLACES) {
            held[i] = held[next];
            i = next;
        }
    }
    unlock_held();
    return block;
}

static bool is_vendors(const char *object) {
    static const char *const names[] = {"libdnnl", "libstdc++", "libgomp", "libhwloc",     "libmpi",   "ld-linux",
                                        "libdl",   "libgcc",    "libudev", "libpciaccess", "libOpenCL"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strstr(object, names[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* Under MPI, whose libraries ask for memory through the C library too, only what is certainly tfrun's. */
static bool is_tfruns(const char *object) {
    return strstr(object, "tfrun") != NULL || strstr(object, "tfr_") != NULL || strstr(object, "comm_mpi") != NULL;
}

bool inject_is_ours(const char *object) {
    return getenv("TFR_INJECT_RANK") != NULL ? is_tfruns(object) : !is_vendors(object);
}

static const char *object_of(const void *code) {
    Dl_info info;
    return dladdr(code, &info) != 0 ? info.dli_fname : NULL;
}

static bool is_between(const char *object) {
    return object != NULL && (strstr(object, "libc.so") != NULL || strstr(object, "inject.so") != NULL);
}

/* The file whose code asks: of what the C library asks for, whoever called it. NULL: not known. */
static const char *who_asks(const void *caller) {
    void *frames[DEPTH];
    const char *object = object_of(caller);
    const int n = is_between(object) ? backtrace(frames, DEPTH) : 0;
    for (int i = 0; i < n && is_between(object); i++) {
        object = object_of(frames[i]);
    }
    return object;
}

static bool is_counted(const void *caller) {
    if (!atomic_load(&counting) || inside) {
        return false;
    }
    inside = true;
    const char *asker = who_asks(caller);
    const bool ours = asker == NULL || inject_is_ours(asker);
    is_onednn = asker != NULL && strstr(asker, "tfr_onednn") != NULL;
    inside = false;
    return ours;
}

static void tell_trace(void) {
    void *frames[DEPTH];
    inside = true;
    backtrace_symbols_fd(frames, backtrace(frames, DEPTH), STDERR_FILENO);
    inside = false;
}

static void note_way(long number) {
    void *frames[DEPTH];
    inside = true;
    inject_note_way(inject_way_of(0, (const uintptr_t *)frames, (size_t)backtrace(frames, DEPTH)), number);
    inside = false;
}

bool inject_must_fail(enum inject_kind asked, const void *caller, long *number) {
    *number = 0;
    if (!is_counted(caller) &&
        (asked != INJECT_THREAD || !atomic_load(&counting))) { /* threads are also what OpenMP makes for us */
        return false;
    }
    *number = atomic_fetch_add(&counts[asked], 1) + 1;
    if (*number == trace_at && asked == (kind < INJECT_KINDS ? kind : INJECT_MEMORY)) {
        tell_trace();
    }
    if (wants_ways && asked == kind) {
        note_way(*number);
    }
    return asked == kind && fail_at > 0 && (*number == fail_at || (fail_rest && *number > fail_at));
}

/* An allocation: `made` is evaluated only where it is not refused. */
#define ALLOCATE(made)                                                                                                             \
    long number;                                                                                                                   \
    if (inject_must_fail(INJECT_MEMORY, __builtin_return_address(0), &number)) {                                                   \
        errno = ENOMEM;                                                                                                            \
        return NULL;                                                                                                               \
    }                                                                                                                              \
    void *memory = made;                                                                                                           \
    hold(memory, number);                                                                                                          \
    return memory

void *malloc(size_t size) {
    ALLOCATE(__libc_malloc(size));
}

void *calloc(size_t n, size_t size) {
    ALLOCATE(__libc_calloc(n, size));
}

void *aligned_alloc(size_t alignment, size_t size) {
    ALLOCATE(__libc_memalign(alignment, size));
}

void *memalign(size_t alignment, size_t size) {
    ALLOCATE(__libc_memalign(alignment, size));
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    long number;
    if (inject_must_fail(INJECT_MEMORY, __builtin_return_address(0), &number)) {
        return ENOMEM;
    }
    void *made = __libc_memalign(alignment, size);
    hold(made, number);
    *memory = made != NULL ? made : *memory;
    return made != NULL ? 0 : ENOMEM;
}

void *realloc(void *old, size_t size) {
    long number;
    if (inject_must_fail(INJECT_MEMORY, __builtin_return_address(0), &number)) {
        errno = ENOMEM;
        return NULL;
    }
    const struct held before = let_go(old); /* before another thread gets its address */
    void *memory = __libc_realloc(old, size);
    if (memory == NULL && size > 0) {
        keep(before);
    }
    hold(memory, number);
    return memory;
}

void free(void *old) {
    let_go(old);
    __libc_free(old);
}

static long long whole_pages(size_t size) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (long long)((size + page - 1) / page * page);
}

void *mmap(void *place, size_t size, int protection, int flags, int fd, off_t offset) {
    long number;
    if (inject_must_fail(INJECT_MAP, __builtin_return_address(0), &number)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *start = (void *)syscall(SYS_mmap, place, size, protection, flags, fd, offset);
    atomic_fetch_add(&mapped_bytes, number > 0 && start != MAP_FAILED ? whole_pages(size) : 0);
    return start;
}

int munmap(void *place, size_t size) {
    const int failed = (int)syscall(SYS_munmap, place, size);
    atomic_fetch_sub(&mapped_bytes, failed == 0 && is_counted(__builtin_return_address(0)) ? whole_pages(size) : 0);
    return failed;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    long number;
    if (create == NULL) {
        *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    }
    return inject_must_fail(INJECT_THREAD, __builtin_return_address(0), &number) ? EAGAIN
                                                                                 : create(thread, attributes, run, argument);
}

static void *(*load)(const char *, int);
static char *(*tell)(void);

static void find_loader(void) { /* both at once: dlsym forgets the last error */
    *(void **)&tell = dlsym(RTLD_NEXT, "dlerror");
    *(void **)&load = dlsym(RTLD_NEXT, "dlopen");
}

/* What the loader keeps of a load that failed, its words, is its own. */
void *dlopen(const char *path, int mode) {
    if (load == NULL) {
        find_loader();
    }
    const bool was_inside = inside;
    inside = true;
    void *object = load(path, mode);
    inside = was_inside;
    return object;
}

char *dlerror(void) {
    if (tell == NULL) {
        find_loader();
    }
    const bool was_inside = inside;
    inside = true;
    char *text = tell();
    inside = was_inside;
    return text;
}

static long number_in(const char *name) {
    const char *text = getenv(name);
    return text != NULL ? atol(text) : 0;
}

static bool is_another_rank(void) {
    const char *wanted = getenv("TFR_INJECT_RANK"), *open_mpi = getenv("OMPI_COMM_WORLD_RANK"), *hydra = getenv("PMI_RANK");
    const char *rank = open_mpi != NULL ? open_mpi : hydra;
    return wanted != NULL && rank != NULL && strcmp(wanted, rank) != 0;
}

static void begin(void) {
    static const char *const names[INJECT_KINDS] = {"memory", "map", "thread", "vendor", "message"};
    const char *wanted = getenv("TFR_INJECT_KIND");
    void *frame;
    kind = INJECT_KINDS;
    for (int i = 0; i < INJECT_KINDS; i++) {
        kind = wanted != NULL && strcmp(wanted, names[i]) == 0 ? (enum inject_kind)i : kind;
    }
    fail_at = number_in("TFR_INJECT_AT");
    trace_at = number_in("TFR_INJECT_TRACE");
    wants_ways = getenv("TFR_INJECT_WAYS") != NULL;
    backtrace(&frame, 1); /* loads what it needs */
    fail_rest = number_in("TFR_INJECT_REST") == 1;
    is_bystander = is_another_rank();
    atomic_store(&counting, !is_bystander);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const int mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, int) : 0;
    va_end(arguments);
    if (!atomic_load(&counting) && !is_bystander && strcmp(path, "/dev/null") == 0) {
        begin();
    }
    return inject_opened(syscall(SYS_openat, AT_FDCWD, path, flags, mode), __builtin_return_address(0));
}

/* What is still there: blocks, those that oneDNN's plugin keeps apart; bytes of mappings; files; then the numbers of the first
 * requests whose blocks these are. */
static int tell_held(char *text, size_t size) {
    long blocks = 0, kept = 0;
    char numbers[MOST_SHOWN * 24] = "", names[1024] = "";
    const int files = inject_count_files(names, sizeof names);
    for (size_t i = 0; i < PLACES; i++) {
        const size_t used = strlen(numbers);
        kept += held[i].address != 0 && held[i].is_kept;
        if (held[i].address != 0 && !held[i].is_kept && blocks++ < MOST_SHOWN) {
            snprintf(numbers + used, sizeof numbers - used, " %ld", held[i].number);
        }
    }
    const long asked = kind < INJECT_KINDS ? atomic_load(&counts[kind]) : 0;
    return snprintf(text, size, "requests %ld\nblocks %ld\nkept %ld\nmapped %lld\nfiles %d\nheld%s\nnames%s\n", asked, blocks, kept,
                    atomic_load(&mapped_bytes), files, numbers, names);
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("TFR_INJECT_COUNT");
    static char text[4096];
    if (!atomic_exchange(&counting, false) || path == NULL) {
        return;
    }
    const int size = tell_held(text, sizeof text), fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, text, (size_t)size) < 0 || (kind < INJECT_KINDS && inject_tell_ways() != 0)) {
        _exit(99);
    }
}
