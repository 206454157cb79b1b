/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/exec.h"

#include "preload/calls.h"
#include "preload/client.h"
#include "preload/entry.h"
#include "preload/epoll.h"
#include "preload/inherit.h"
#include "preload/share.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* ---- the sockets ---- */

static void set_cloexec(int fd, bool on)
{
    int flags = fd < 0 ? -1 : REAL(fcntl)(fd, F_GETFD);
    if (flags >= 0)
        REAL(fcntl)(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
}

static void leave(int fd, struct entry *entry, void *arg)
{
    uint32_t *n = arg;
    if (entry->kind != ENTRY_SOCKET || entry->phase == PHASE_NATIVE)
        return;
    int flags = REAL(fcntl)(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) || share_export(fd, entry) < 0)
        return;
    set_cloexec(atomic_load_explicit(&entry->companion, memory_order_relaxed), false);
    ++*n;
}

/* cppcheck-suppress constParameter ; entry_each() takes functions of one type */
static void stay(int fd, struct entry *entry, void *arg)
{
    (void)fd;
    (void)arg;
    if (entry->kind == ENTRY_SOCKET)
        set_cloexec(atomic_load_explicit(&entry->companion, memory_order_relaxed), true);
}

/* ---- the environment ---- */

static bool names(const char *text, const char *name)
{
    size_t len = strlen(name);
    return strncmp(text, name, len) == 0 && text[len] == '=';
}

static bool has(char *const envp[], const char *name)
{
    for (size_t i = 0; envp && envp[i]; i++) {
        if (names(envp[i], name))
            return true;
    }
    return false;
}

/* "NAME=VALUE" at *room, which moves on; the text, or NULL if there is no such value. */
static char *put(char **room, const char *name, const char *value)
{
    char *text = *room;
    if (!value || !*value)
        return NULL;
    *room += (size_t)sprintf(text, "%s=%s", name, value) + 1;
    return text;
}

static void put_client(char text[80], const struct client *client, uint32_t n, int sets)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof(client->token); i++) {
        text[2 * i] = hex[client->token[i] >> 4];
        text[2 * i + 1] = hex[client->token[i] & 15];
    }
    size_t at = 2 * sizeof(client->token);
    at += (size_t)sprintf(text + at, ".%u", n);
    if (sets >= 0)
        sprintf(text + at, ".%d", sets);
}

static void extend(struct exec_plan *plan, char *const envp[], const struct client *client,
                   uint32_t n)
{
    const struct inherit_surroundings *at_start = inherit_surroundings();
    size_t count = 0;
    while (envp && envp[count])
        count++;
    plan->size = (count + 8) * sizeof(char *) + sizeof(*at_start) + 512;
    void *map = mmap(NULL, plan->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return;
    char **env = map;
    char *room = (char *)(env + count + 8);
    char text[80];
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (!names(envp[i], INHERIT_VARIABLE))
            env[at++] = envp[i];
    }
    put_client(text, client, n, plan->sets);
    env[at++] = put(&room, INHERIT_VARIABLE, text);
    for (size_t i = 0; n && i < INHERIT_KEPT; i++) {
        char *more = has(envp, at_start->kept[i].name)
                         ? NULL
                         : put(&room, at_start->kept[i].name, at_start->kept[i].value);
        if (more)
            env[at++] = more;
    }
    plan->map = map;
    plan->env = env;
}

void exec_prepare(struct exec_plan *plan, char *const envp[])
{
    int saved = errno;
    uint32_t n = 0;
    *plan = (struct exec_plan){.env = (char **)(size_t)envp, .sets = -1};
    const struct client *client = client_latest();
    if (client && !client_is_dead(client) && client_alive_here()) {
        entry_each(leave, &n);
        plan->sets = n ? epoll_leave() : -1;
        if (n || has(envp, "LD_PRELOAD"))
            extend(plan, envp, client, n);
    }
    errno = saved;
}

void exec_undo(struct exec_plan *plan)
{
    int saved = errno;
    if (plan->sets >= 0)
        REAL(close)(plan->sets);
    if (plan->map) {
        munmap(plan->map, plan->size);
        entry_each(stay, NULL);
    }
    errno = saved;
}
