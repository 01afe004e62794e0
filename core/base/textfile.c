/* textfile.c - see textfile.h. */
#include "base/textfile.h"

#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"

static bool starts_with(const void *bytes, size_t size, const char *start, size_t start_size) {
    return size >= start_size && memcmp(bytes, start, start_size) == 0;
}

enum tfr_status tfr_refuse_pointer(const char *path, const void *bytes, size_t size, enum tfr_status status) {
    static const char first_line[] = "version https://git-lfs.github.com/spec/";
    if (!starts_with(bytes, size, first_line, sizeof first_line - 1)) {
        return TFR_OK;
    }
    return tfr_raise(status, "%s: a git-lfs pointer stands in the place of the file; fetch the file itself with \"git lfs pull\"",
                     path);
}

static enum tfr_status refuse_utf16(const char *path, const char *text, size_t size, enum tfr_status status) {
    if (starts_with(text, size, "\xff\xfe", 2) || starts_with(text, size, "\xfe\xff", 2)) {
        return tfr_raise(status, "%s: the text is UTF-16; save it as UTF-8", path);
    }
    return TFR_OK;
}

enum tfr_status tfr_textfile_read(const char *path, size_t limit, enum tfr_status status, char **text, size_t *size) {
    TFR_TRY(tfr_file_read(path, limit, text, size));
    enum tfr_status result = tfr_refuse_pointer(path, *text, *size, status);
    if (result == TFR_OK) {
        result = refuse_utf16(path, *text, *size, status);
    }
    if (result != TFR_OK) {
        tfr_free(*text);
        *text = NULL;
        *size = 0;
        return result;
    }
    if (starts_with(*text, *size, "\xef\xbb\xbf", 3)) {
        *size -= 3;
        memmove(*text, *text + 3, *size + 1);
    }
    return TFR_OK;
}
