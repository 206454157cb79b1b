/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/stdio.h"

#include "preload/calls.h"
#include "preload/entry.h"
#include "preload/lock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

/* The cookie is the fd itself. */
static int fd_of(void *cookie)
{
    return (int)(intptr_t)cookie;
}

static ssize_t read_socket(void *cookie, char *buf, size_t len)
{
    return read(fd_of(cookie), buf, len);
}

/* A FILE goes on until all is written. fopencookie(3): 0 is an error, and nothing negative may be
 * returned; musl takes only that for one. */
static ssize_t write_socket(void *cookie, const char *buf, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(fd_of(cookie), buf + done, len - done);
        if (n < 0)
            break;
        done += (size_t)n;
    }
#ifndef __GLIBC__
    if (!done && len)
        return -1;
#endif
    return (ssize_t)done;
}

static int seek_socket(void *cookie, off64_t *offset, int whence)
{
    (void)cookie;
    (void)offset;
    (void)whence;
    errno = ESPIPE;
    return -1;
}

static int close_socket(void *cookie)
{
    return close(fd_of(cookie));
}

#ifdef __GLIBC__
/* fileno(3) is told by the FILE itself; else a cookie's has none. */
static bool remember(FILE *file, int fd)
{
    file->_fileno = fd;
    return true;
}

int stdio_remembered(const FILE *file)
{
    (void)file;
    return -1;
}

void stdio_forget(const FILE *file)
{
    (void)file;
}
#else
#define FILES_MAX 1024
/* Slots of FILEs that are open; file: rel/acq. */
static struct {
    FILE *_Atomic file;
    int fd;
} slots[FILES_MAX];
static lock_word slots_lock; /* taking and freeing slots */

static bool remember(FILE *file, int fd)
{
    bool found = false;
    lock_take(&slots_lock, LOCK_PRIVATE);
    for (size_t i = 0; i < FILES_MAX && !found; i++) {
        if (atomic_load_explicit(&slots[i].file, memory_order_relaxed))
            continue;
        slots[i].fd = fd;
        atomic_store_explicit(&slots[i].file, file, memory_order_release);
        found = true;
    }
    lock_drop(&slots_lock);
    return found;
}

int stdio_remembered(const FILE *file)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (atomic_load_explicit(&slots[i].file, memory_order_acquire) == file)
            return slots[i].fd;
    }
    return -1;
}

void stdio_forget(const FILE *file)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (atomic_load_explicit(&slots[i].file, memory_order_acquire) == file)
            atomic_store_explicit(&slots[i].file, (FILE *)NULL, memory_order_release);
    }
}
#endif

FILE *stdio_open(int fd, const char *mode)
{
    static const cookie_io_functions_t functions = {
        .read = read_socket, .write = write_socket, .seek = seek_socket, .close = close_socket};
    if (!mode || !strchr("rwa", mode[0]) || !mode[0]) {
        errno = EINVAL;
        return NULL;
    }
    if (strchr(mode, 'e'))
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    FILE *file = fopencookie((void *)(intptr_t)fd, mode, functions);
    if (file && !remember(file, fd)) {
        /* Its end must not be the socket's. */
        int keep = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        REAL(fclose)(file);
        dup2(keep, fd);
        close(keep);
        errno = ENOMEM;
        return NULL;
    }
    return file;
}

int stdio_fileno(FILE *file)
{
    int saved = errno;
    int fd = fileno(file);
    errno = saved;
    return fd;
}

void stdio_take_over(int fd)
{
#ifdef __GLIBC__
    static const char *const modes[] = {"r", "w", "w"};
    FILE **const files[] = {&stdin, &stdout, &stderr};
    struct entry *entry = fd < 0 || fd > 2 ? NULL : entry_get_socket(fd);
    if (!entry)
        return;
    entry_put(entry);
    FILE *file = stdio_open(fd, modes[fd]);
    if (!file)
        return;
    if (fd == 2)
        setvbuf(file, NULL, _IONBF, 0);
    *files[fd] = file;
#else
    (void)fd; /* their FILEs are constants */
#endif
}
