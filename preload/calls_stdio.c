/* SPDX-License-Identifier: Apache-2.0 */
/* The intercepted calls of stdio: those that know of an fd. */
#include "preload/calls.h"
#include "preload/entry.h"
#include "preload/result.h"
#include "preload/stdio.h"

#include <stdarg.h>
#include <stdlib.h>

#define LINE 1024

static bool is_ours(int fd)
{
    struct entry *entry = entry_get_socket(fd);
    if (entry)
        entry_put(entry);
    return entry != NULL;
}

FILE *fdopen(int fd, const char *mode)
{
    return is_ours(fd) ? stdio_open(fd, mode) : REAL(fdopen)(fd, mode);
}

int fclose(FILE *file)
{
    int fd = file ? stdio_fileno(file) : -1;
    if (fd < 0 || (uint32_t)fd >= atomic_load_explicit(&entry_limit, memory_order_acquire))
        return REAL(fclose)(file);
    int r = fflush(file);
    int error = errno;
    entry_remove(fd);
    stdio_forget(file);
    if (REAL(fclose)(file) < 0)
        return EOF;
    errno = r < 0 ? error : errno;
    return r;
}

static int write_all(int fd, const char *text, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(fd, text + done, len - done);
        if (n < 0)
            return -1;
        done += (size_t)n;
    }
    return (int)len;
}

int vdprintf(int fd, const char *format, va_list ap)
{
    char line[LINE];
    va_list again;
    if (!is_ours(fd))
        return REAL(vdprintf)(fd, format, ap);
    va_copy(again, ap);
    int len = vsnprintf(line, sizeof(line), format, again);
    va_end(again);
    if (len < (int)sizeof(line))
        return len < 0 ? len : write_all(fd, line, (size_t)len);
    char *text = malloc((size_t)len + 1); /* as libc's own may */
    if (!text)
        return -1;
    vsnprintf(text, (size_t)len + 1, format, ap);
    int r = write_all(fd, text, (size_t)len);
    free(text);
    return r;
}

int dprintf(int fd, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int r = vdprintf(fd, format, ap);
    va_end(ap);
    return r;
}

#ifdef __GLIBC__
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): libc's name */
int __vdprintf_chk(int fd, int flag, const char *format, va_list ap)
{
    return is_ours(fd) ? vdprintf(fd, format, ap) : REAL(__vdprintf_chk)(fd, flag, format, ap);
}

/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): libc's name */
int __dprintf_chk(int fd, int flag, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int r = __vdprintf_chk(fd, flag, format, ap);
    va_end(ap);
    return r;
}
#else
int fileno(FILE *file)
{
    int fd = stdio_remembered(file);
    return fd >= 0 ? fd : REAL(fileno)(file);
}
#endif
