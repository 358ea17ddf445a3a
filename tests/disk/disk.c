/* A disk with a mind of its own, between a program and the C library: LD_PRELOAD it. What it does is in the environment.
 *
 * DISK_SYNC_MICROSECONDS  how much longer every fsync and fdatasync takes
 * DISK_SHADOW             a directory that gets a copy of every file when it is synchronised: what a power loss leaves
 * DISK_FULL               while there is a file of this path, nothing more can be written to files named *.db*
 * DISK_BROKEN             while there is a file of this path, they cannot be synchronised
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

typedef int sync_function(int);
typedef ssize_t pwrite_function(int, const void *, size_t, off_t);

static const char *path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

static int is_database(int fd) {
    char path[PATH_MAX];
    const char *name = strrchr(path_of(fd, path), '/');
    return name != NULL && strstr(name, ".db") != NULL;
}

static int happens(const char *name) {
    const char *path = getenv(name);
    return path != NULL && access(path, F_OK) == 0;
}

static int shadow(int fd) {
    static pwrite_function *write_through;
    if (write_through == NULL) write_through = (pwrite_function *)dlsym(RTLD_NEXT, "pwrite");
    const char *directory = getenv("DISK_SHADOW");
    if (directory == NULL || !is_database(fd)) return 0;
    char path[PATH_MAX], copy[PATH_MAX], unfinished[PATH_MAX], buffer[1 << 16];
    const char *name = strrchr(path_of(fd, path), '/') + 1;
    if (snprintf(copy, sizeof copy, "%s/%s", directory, name) >= PATH_MAX) return -1;
    if (snprintf(unfinished, sizeof unfinished, "%s/unfinished-%s", directory, name) >= PATH_MAX) return -1;
    int out = open(unfinished, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (out < 0) return -1;
    off_t at = 0;
    ssize_t length;
    while ((length = pread(fd, buffer, sizeof buffer, at)) > 0) {
        if (write_through(out, buffer, length, at) != length) return -1;
        at += length;
    }
    close(out);
    return length < 0 ? -1 : rename(unfinished, copy);
}

static int synchronise(const char *function, int fd) {
    if (is_database(fd) && happens("DISK_BROKEN")) {
        errno = EIO;
        return -1;
    }
    const char *delay = getenv("DISK_SYNC_MICROSECONDS");
    if (delay != NULL) usleep(atoi(delay));
    int result = ((sync_function *)dlsym(RTLD_NEXT, function))(fd);
    if (result == 0 && shadow(fd) != 0) abort();
    return result;
}

int fsync(int fd) { return synchronise("fsync", fd); }

int fdatasync(int fd) { return synchronise("fdatasync", fd); }

static ssize_t put(const char *function, int fd, const void *data, size_t size, off_t at) {
    if (is_database(fd) && happens("DISK_FULL")) {
        errno = ENOSPC;
        return -1;
    }
    return ((pwrite_function *)dlsym(RTLD_NEXT, function))(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return put("pwrite", fd, data, size, at); }

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return put("pwrite64", fd, data, size, at); }
