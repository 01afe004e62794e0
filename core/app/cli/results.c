/* results.c - see results.h. The buffer is static, so that a result is not lost for want of memory. */
#include "app/cli/results.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 16, PRINT_BYTES = 4096 };

static struct {
    char bytes[BUFFER_BYTES];
    size_t used;
    int fd, error, absence; /* absence: why there is no fd */
    bool terminal;
    char last; /* byte that went before */
} results = {.fd = -1, .absence = EBADF};

/* A standard stream that is closed would be taken by the next file that is opened. */
static void fill_standard_streams(void) {
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

void tfr_results_open(void) {
    results.fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    results.absence = results.fd < 0 ? errno : 0;
    results.terminal = isatty(results.fd) == 1;
    fill_standard_streams();
    dup2(STDERR_FILENO, STDOUT_FILENO);
}

void tfr_results_give_back(void) {
    dup2(results.fd, STDOUT_FILENO);
}

bool tfr_results_are_unread(void) {
    int left = 0;
    return ioctl(results.fd, FIONREAD, &left) == 0 && left > 0;
}

/* U+0080 to U+009F are control characters too; as bytes 0xC2 and one of 0x80 to 0x9F, which become U+00A0, a space. */
static void defuse(void) {
    for (size_t i = 0; i < results.used; i++) {
        const unsigned char byte = (unsigned char)results.bytes[i];
        if ((byte < 0x20 && byte != '\t' && byte != '\n') || byte == 0x7F) {
            results.bytes[i] = '?';
        } else if (byte >= 0x80 && byte < 0xA0 && results.last == '\xC2') {
            results.bytes[i] = '\xA0';
        }
        results.last = results.bytes[i];
    }
}

/* A stdout that is closed is missed where something is to go there, not before. */
int tfr_results_flush(void) {
    if (results.terminal) {
        defuse();
    }
    if (results.fd < 0 && results.used > 0 && results.error == 0) {
        results.error = results.absence;
    }
    for (size_t done = 0; done < results.used && results.error == 0;) {
        const ssize_t n = write(results.fd, results.bytes + done, results.used - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            results.error = errno;
        }
    }
    results.used = 0;
    return results.error;
}

void tfr_results_put(const char *bytes, size_t size) {
    while (size > 0) {
        if (results.used == BUFFER_BYTES) {
            tfr_results_flush();
        }
        const size_t room = BUFFER_BYTES - results.used, n = size < room ? size : room;
        memcpy(results.bytes + results.used, bytes, n);
        results.used += n;
        bytes += n;
        size -= n;
    }
}

/* Of more than PRINT_BYTES, as a path may have. */
static void put_long(const char *format, va_list arguments, size_t size) {
    char *text = malloc(size + 1);
    if (text == NULL) {
        results.error = results.error == 0 ? ENOMEM : results.error; /* tfr_cli_flush tells it */
        return;
    }
    vsnprintf(text, size + 1, format, arguments);
    tfr_results_put(text, size);
    free(text);
}

void tfr_results_print(const char *format, ...) {
    char text[PRINT_BYTES];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    const int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size < (int)sizeof text) {
        tfr_results_put(text, strlen(text));
    } else {
        put_long(format, again, (size_t)size);
    }
    va_end(again);
}

void tfr_results_put_piece(const char *bytes, size_t size) {
    tfr_results_put("\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte == '"' || byte == '\\') {
            tfr_results_print("\\%c", byte);
        } else if (byte >= 0x20 && byte < 0x7f) {
            tfr_results_put(&bytes[i], 1);
        } else {
            tfr_results_print("\\x%02x", byte);
        }
    }
    tfr_results_put("\"", 1);
}

void tfr_kept_put(struct tfr_kept *kept, const char *bytes, size_t size) {
    if (kept->failed || size == 0) {
        return;
    }
    if (size > kept->capacity - kept->size) {
        size_t capacity = kept->capacity > 0 ? 2 * kept->capacity : PRINT_BYTES;
        while (capacity - kept->size < size) {
            capacity *= 2;
        }
        char *text = realloc(kept->text, capacity);
        if (text == NULL) {
            kept->failed = true;
            return;
        }
        kept->text = text;
        kept->capacity = capacity;
    }
    memcpy(kept->text + kept->size, bytes, size);
    kept->size += size;
}
