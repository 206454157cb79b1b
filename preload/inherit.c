/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/inherit.h"

#include "preload/calls.h"
#include "preload/client.h"
#include "preload/epoll.h"
#include "preload/share.h"
#include "preload/stdio.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define TOKEN_BYTES 16
#define FDS_MAX     4096 /* that are looked at */

static struct inherit_surroundings surroundings = {
    .kept = {{.name = "LD_PRELOAD"}, {.name = "DMM_POD_DIR"}, {.name = "DMM_ON_FAILURE"}}};

const struct inherit_surroundings *inherit_surroundings(void)
{
    return &surroundings;
}

static void keep(void)
{
    for (size_t i = 0; i < INHERIT_KEPT; i++) {
        const char *value = getenv(surroundings.kept[i].name);
        size_t len = value ? strlen(value) : 0;
        if (len && len < sizeof(surroundings.kept[i].value))
            memcpy(surroundings.kept[i].value, value, len + 1);
    }
}

/* ---- what was left ---- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decimal, up to the end or a full stop, behind which *text is then; or -1. (strtol() has another
 * name in each C library.) */
static long number(const char **text)
{
    const char *at = *text;
    long n = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (n > 100000000)
            return -1;
        n = n * 10 + (*at - '0');
    }
    if (at == *text || (*at && *at != '.'))
        return -1;
    *text = *at ? at + 1 : at;
    return n;
}

/* What exec.h says. False: it is not that. */
static bool parse(const char *text, uint8_t token[TOKEN_BYTES], long *n, long *sets)
{
    for (size_t i = 0; i < TOKEN_BYTES; i++) {
        int high = digit(text[2 * i]);
        int low = high < 0 ? -1 : digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        token[i] = (uint8_t)(high << 4 | low);
    }
    text += 2 * (size_t)TOKEN_BYTES;
    if (*text++ != '.')
        return false;
    *n = number(&text);
    *sets = *text ? number(&text) : -1;
    return *n >= 0;
}

/* The open fds. opendir() would allocate, and nothing of the program's has run yet. */
static size_t list_fds(int fds[FDS_MAX])
{
    _Alignas(struct dirent64) char buf[4096];
    size_t n = 0;
    int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        for (int fd = 0; fd < FDS_MAX; fd++) {
            if (REAL(fcntl)(fd, F_GETFD) >= 0)
                fds[n++] = fd;
        }
        return n;
    }
    long got;
    while ((got = REAL(syscall)(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
        for (long at = 0; at < got;) {
            const struct dirent64 *entry = (const struct dirent64 *)(buf + at);
            const char *name = entry->d_name;
            int fd = (int)number(&name);
            if (fd >= 0 && fd != dir && n < FDS_MAX)
                fds[n++] = fd;
            at += entry->d_reclen;
        }
    }
    REAL(close)(dir);
    return n;
}

static void find_sockets(void)
{
    int fds[FDS_MAX];
    struct share_file files[FDS_MAX];
    size_t n = list_fds(fds);
    for (size_t i = 0; i < n; i++)
        files[i] = (struct share_file){.fd = fds[i], .cookie = share_cookie(fds[i])};
    share_claim_inherited(files, n);
    for (int fd = 0; fd <= 2; fd++)
        stdio_take_over(fd);
}

__attribute__((constructor)) static void begin(void)
{
    uint8_t token[TOKEN_BYTES];
    keep();
    const char *left = getenv(INHERIT_VARIABLE);
    if (!left)
        return;
    int saved = errno;
    long n, sets;
    bool whole = parse(left, token, &n, &sets);
    unsetenv(INHERIT_VARIABLE);
    if (whole)
        client_set_family(token);
    if (whole && n > 0)
        find_sockets();
    if (whole && sets >= 0)
        epoll_restore((int)sets);
    errno = saved;
}
