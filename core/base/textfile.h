/* textfile.h - text files as people have them: a byte-order mark at their start, or a git-lfs pointer in
 * their place.
 *
 * Any file of a model folder may be a pointer: readers of other formats ask tfr_refuse_pointer about their
 * first bytes. Thread rule: any thread.
 */
#ifndef TFR_BASE_TEXTFILE_H
#define TFR_BASE_TEXTFILE_H

#include <tfrun/types.h>

/* TFR_OK, or `status` with a sentence that names the cause and the fix, where the bytes are what git-lfs
 * leaves in the place of a file that it did not fetch. The beginning of the file is enough. */
enum tfr_status tfr_refuse_pointer(const char *path, const void *bytes, size_t size, enum tfr_status status);

/* As tfr_file_read; a byte-order mark is taken off, a pointer and UTF-16 are refused with `status`. */
enum tfr_status tfr_textfile_read(const char *path, size_t limit, enum tfr_status status, char **text, size_t *size);

#endif
