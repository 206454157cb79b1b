/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/stdio.h"

#include "preload/calls.h"
#include "preload/entry.h"

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

/* fopencookie(3): 0 is an error, -1 is not. A FILE goes on until all is written. */
static ssize_t write_socket(void *cookie, const char *buf, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(fd_of(cookie), buf + done, len - done);
        if (n < 0)
            break;
        done += (size_t)n;
    }
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
#ifdef __GLIBC__
    if (file)
        file->_fileno = fd; /* for fileno(3); else a cookie's FILE has none */
#endif
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
