/* mapfile.h - a file mapped read-only, and small files read whole or written atomically.
 *
 * Errors name the path and the system's reason. A mapping stays valid until closed; a file that
 * another process truncates while mapped is outside what can be checked (docs/architecture.md).
 * Thread rule: open and close on one thread; the bytes may be read by any.
 */
#ifndef TFR_BASE_MAPFILE_H
#define TFR_BASE_MAPFILE_H

#include <tfrun/types.h>

struct tfr_mapfile {
    const uint8_t *data;
    size_t size;
    char *path;
    struct tfr_file_facts { /* of the file that is mapped, whatever has its name by now */
        int64_t bytes, inode, written_s, written_ns, changed_s, changed_ns;
        uint32_t owner, mode;
    } facts;
};
bool tfr_file_facts(const char *path, struct tfr_file_facts *facts); /* of a file by name; false where it can't be examined */

enum tfr_status tfr_mapfile_open(struct tfr_mapfile *file, const char *path);
void tfr_mapfile_close(struct tfr_mapfile *file);
/* Tells the kernel that [offset, offset + size) will not be read again soon: drops resident pages. */
void tfr_mapfile_drop(const struct tfr_mapfile *file, size_t offset, size_t size);

/* Whole file as NUL-terminated bytes (the NUL is not counted); free with tfr_free. Refuses files
 * larger than `limit`. */
enum tfr_status tfr_file_read(const char *path, size_t limit, char **text, size_t *size);

/* A file that appears complete or not at all: written without a name or under a temporary one, renamed by commit. */
struct tfr_outfile {
    void *stream; /* FILE * */
    char *path, *temporary;
    bool is_nameless; /* until commit */
};
enum tfr_status tfr_outfile_open(struct tfr_outfile *out, const char *path);
/* With a temporary from the start, as on a file system without files that have no name. */
enum tfr_status tfr_outfile_open_named(struct tfr_outfile *out, const char *path);
/* For a name of our own in a folder that may be a stranger's: a link of that name is replaced and not followed, and what is no
 * regular file is refused. */
enum tfr_status tfr_outfile_open_in_place(struct tfr_outfile *out, const char *path);
enum tfr_status tfr_outfile_write(struct tfr_outfile *out, const void *data, size_t size);
enum tfr_status tfr_outfile_commit(struct tfr_outfile *out); /* flush, fsync, rename; closes */
/* Removes every temporary that there is; a signal handler may call it before it ends the process. tfrun.h offers it too. */
TFR_API void tfr_abandon_files(void);
void tfr_outfile_abandon(struct tfr_outfile *out); /* removes the temporary; NULL-safe */

bool tfr_path_is_directory(const char *path);
/* Also where the system can't say so (no access, an error of the disk): whoever opens it then tells why, instead of taking it for
 * absent. */
bool tfr_path_exists(const char *path);
/* The same of `name` in the folder. Like the next two it needs no memory, the lack of which must not look like no file. */
bool tfr_path_holds(const char *directory, const char *name);
/* The same; *error is the system's errno where it can't say so, else 0 or that of an absent one. */
bool tfr_path_look(const char *directory, const char *name, int *error);
/* Puts the path into `path` of PATH_MAX bytes; false where it is longer than any path may be. */
bool tfr_path_put(char *path, const char *directory, const char *name);
bool tfr_path_is_same(const char *a, const char *b); /* one file or folder, under two names or one */
bool tfr_path_is_plain(const char *path);            /* a regular file or a folder, at the end of all links */
/* `path` is `folder` or below it when all links and ".." are followed; it need not be there yet. In doubt false. */
bool tfr_path_is_within(const char *path, const char *folder);
/* "dir/name" unless name is absolute; the directory of a path ("." if none). Free with tfr_free. */
char *tfr_path_join(const char *directory, const char *name);
char *tfr_path_directory(const char *path);
/* The folder and those above it, where they are not there yet. */
enum tfr_status tfr_path_make_folders(const char *directory);

#endif
