/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/decide.h"

#include "preload/ahead.h"
#include "preload/calls.h"
#include "preload/epoll.h"
#include "preload/options.h"
#include "preload/policy.h"
#include "preload/replace.h"
#include "preload/signals.h"
#include "preload/socket.h"
#include "sidecar/stack.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define PORT_TRIES 32 /* for one port that is free everywhere */

/* ---- a new socket ---- */

static int normalise(int type, int protocol, uint8_t *kind, uint8_t *proto)
{
    int plain = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    *kind = (uint8_t)plain;
    if (plain == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP))
        *proto = IPPROTO_TCP;
    else if (plain == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP))
        *proto = IPPROTO_UDP;
    else
        return -EPROTONOSUPPORT;
    return 0;
}

static int new_entry(int fd, const struct entry *like, bool nonblock)
{
    struct entry *entry = entry_new(ENTRY_SOCKET);
    if (!entry)
        return -ENOBUFS;
    entry->family = like->family;
    entry->type = like->type;
    entry->protocol = like->protocol;
    entry->kernel = like->kernel;
    entry->client = like->client;
    atomic_store_explicit(&entry->status, nonblock ? STATUS_NONBLOCK : 0, memory_order_relaxed);
    int r = entry_install(fd, entry);
    entry_put(entry);
    return r;
}

int decide_new(int family, int type, int protocol)
{
    struct entry like = {.family = (uint8_t)family};
    struct client *client;
    /* What is not TCP or UDP, and what the kernel refuses, is the kernel's. */
    if (normalise(type, protocol, &like.type, &like.protocol) < 0) {
        int other = REAL(socket)(family, type, protocol);
        return other < 0 ? -errno : other;
    }
    enum policy_first first = policy_first(like.protocol, &client);
    like.client = client;
    like.kernel = first != POLICY_STACK_FIRST;
    int fd = like.kernel ? REAL(socket)(family, type, protocol)
                         : client_placeholder(client, type & SOCK_CLOEXEC);
    if (fd < 0)
        return like.kernel ? -errno : fd;
    int r = first == POLICY_NATIVE ? 0 : new_entry(fd, &like, type & SOCK_NONBLOCK);
    if (r == 0)
        return fd;
    REAL(close)(fd);
    return r;
}

/* ---- parts ---- */

bool decide_v6only(int fd, const struct entry *entry)
{
    int value = 0;
    socklen_t len = sizeof(value);
    if (entry->kernel)
        return REAL(getsockopt)(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &len) == 0 && value;
    for (uint32_t i = 0; entry->late && i < entry->late->record.n; i++) {
        const struct record_option *option = &entry->late->record.options[i];
        if (option->level == IPPROTO_IPV6 && option->name == IPV6_V6ONLY)
            memcpy(&value, option->value, sizeof(value));
    }
    return value != 0;
}

static bool serves_ipv6(struct client *client, uint32_t instance)
{
    struct dmm_instance_info info = policy_instance(client, instance);
    for (uint32_t i = 0; i < info.n_addresses; i++) {
        if (info.addresses[i].family == AF_INET6)
            return info.capabilities & DMM_STACK_IPV6;
    }
    return false;
}

/* The family to open on an instance for a bind: an IPv6 wildcard also serves IPv4, and on a stack
 * without IPv6 that only. 0: neither. */
static uint16_t bind_family(int fd, const struct entry *entry, struct client *client,
                            uint32_t instance, const struct dmm_addr *local)
{
    if (local->family == AF_INET)
        return AF_INET;
    if (!dmm_addr_is_any(local) || serves_ipv6(client, instance))
        return AF_INET6;
    return decide_v6only(fd, entry) ? 0 : AF_INET;
}

static void set_up_part(struct client *client, const struct entry *entry, const struct part *part)
{
    socket_set_word(part->sock, WORD_STATUS,
                    atomic_load_explicit(&entry->status, memory_order_relaxed));
    if (entry->late)
        options_replay(client, entry, part, &entry->late->record);
}

/* Opens a part and sets the options again. `remote`, if any: it connects at once. */
static int prepare_part(struct client *client, uint32_t instance, uint16_t family,
                        const struct dmm_addr *remote, struct entry *entry, struct part *part)
{
    int r = socket_open_part(client, instance, family, entry, NULL, remote, part);
    if (r == 0)
        set_up_part(client, entry, part);
    return r;
}

static void drop_probe(struct entry *entry)
{
    struct late *late = entry->late;
    if (late && late->n_parts) {
        socket_close_part(entry->client, &late->parts[0]);
        atomic_store_explicit(&late->n_parts, 0, memory_order_release);
    }
}

struct part *decide_probe(struct entry *entry)
{
    if (entry->kernel || !entry->client || client_is_dead(entry->client) ||
        entry_need_late(entry) < 0)
        return NULL;
    struct late *late = entry->late;
    uint32_t instance = policy_default(entry->client);
    if (late->n_parts == 0 && instance != DMM_INSTANCE_KERNEL) {
        if (prepare_part(entry->client, instance, entry->family, NULL, entry, &late->parts[0]) < 0)
            return NULL;
        atomic_store_explicit(&late->n_parts, 1, memory_order_release);
    }
    return late->n_parts ? &late->parts[0] : NULL;
}

/* The probe, if it is what is wanted now; else a new part, and the probe goes. */
static int take_part(struct client *client, uint32_t instance, uint16_t family, struct entry *entry,
                     struct part *part)
{
    struct late *late = entry->late;
    if (late && late->n_parts && entry->client == client && late->parts[0].instance == instance &&
        late->parts[0].family == family) {
        *part = late->parts[0];
        socket_set_word(part->sock, WORD_STATUS,
                        socket_word(part->sock, WORD_STATUS) |
                            atomic_load_explicit(&entry->status, memory_order_relaxed));
        atomic_store_explicit(&late->n_parts, 0, memory_order_release);
        return 0;
    }
    drop_probe(entry);
    return prepare_part(client, instance, family, NULL, entry, part);
}

/* ---- becoming something ---- */

static int become_kernel(int fd, struct entry *entry)
{
    const struct signals_kept kept = signals_keep(fd, entry);
    if (!entry->kernel) {
        int by = replace_make_kernel(
            entry, atomic_load_explicit(&entry->status, memory_order_relaxed) & STATUS_NONBLOCK);
        int r = by < 0 ? by : replace_fd(fd, entry, by);
        if (r < 0)
            return r;
        drop_probe(entry);
        entry->kernel = true;
    }
    atomic_store_explicit(&entry->phase, PHASE_NATIVE, memory_order_release);
    epoll_changed(fd, entry);
    signals_give(fd, entry, &kept);
    return 0;
}

static int become_placeholder(int fd, struct entry *entry, struct client *client)
{
    if (!entry->kernel)
        return 0;
    int by = client_placeholder(client, true);
    if (by < 0)
        return by;
    epoll_leave_kernel(entry);
    int r = replace_fd(fd, entry, by);
    if (r == 0)
        entry->kernel = false;
    return r;
}

static int become_stack(int fd, struct entry *entry, struct client *client, const struct part *part)
{
    const struct signals_kept kept = signals_keep(fd, entry);
    int r = become_placeholder(fd, entry, client);
    if (r < 0)
        return r;
    entry->client = client;
    entry->part = *part;
    atomic_store_explicit(&entry->phase, PHASE_STACK, memory_order_release);
    epoll_changed(fd, entry);
    signals_give(fd, entry, &kept);
    return 0;
}

/* ---- connect ---- */

/* A new part can connect at once: nothing that was set on the socket needs an answer before. */
static bool can_open_connecting(const struct client *client, uint32_t instance,
                                const struct entry *entry)
{
    const struct late *late = entry->late;
    return entry->type == SOCK_STREAM &&
           (!late ||
            (late->n_parts == 0 && options_need_no_answer(client, instance, &late->record)));
}

static int open_connecting(struct client *client, uint32_t instance, const struct dmm_addr *remote,
                           struct entry *entry, struct part *part)
{
    if (ahead_take(client, instance, remote, part)) {
        set_up_part(client, entry, part);
        ahead_connect(client, part, remote);
        atomic_store_explicit(&entry->unnamed, true, memory_order_relaxed);
        return 0;
    }
    int r = prepare_part(client, instance, remote->family, remote, entry, part);
    if (r == 0)
        ahead_note(client, instance, remote);
    return r;
}

static int connect_undecided(int fd, struct entry *entry, const struct dmm_addr *remote,
                             bool *begun)
{
    struct client *client;
    struct part part;
    struct dmm_addr local = {.family = 0};
    int instance = policy_connect(entry->protocol, remote, &local, &client);
    if (instance < 0)
        return instance;
    if (instance == DMM_INSTANCE_KERNEL)
        return become_kernel(fd, entry);
    bool at_once = can_open_connecting(client, (uint32_t)instance, entry);
    int r = at_once ? open_connecting(client, (uint32_t)instance, remote, entry, &part)
                    : take_part(client, (uint32_t)instance, remote->family, entry, &part);
    if (r < 0)
        return r;
    *begun = at_once;
    r = become_stack(fd, entry, client, &part);
    if (r < 0)
        socket_close_part(client, &part);
    return r;
}

/* Among the instances that a wildcard bind took, the remote address chooses one; the others let the
 * port go. */
static int connect_multi(int fd, struct entry *entry, const struct dmm_addr *remote)
{
    struct client *client;
    struct late *late = entry->late;
    struct dmm_addr local = late->bound;
    int instance = policy_connect(entry->protocol, remote, &local, &client);
    if (instance < 0)
        return instance;
    if (client && client != entry->client)
        return -ECONNRESET;
    uint32_t n = late->n_parts;
    uint32_t chosen = n;
    for (uint32_t i = 0; i < n; i++) {
        if (late->parts[i].instance == instance)
            chosen = i;
    }
    if (instance == DMM_INSTANCE_KERNEL ? !entry->kernel : chosen == n)
        return -EADDRNOTAVAIL; /* bound to a port that the chosen instance does not hold */
    bool nonblock = socket_nonblock(entry);
    int r = 0;
    if (instance == DMM_INSTANCE_KERNEL) {
        int flags = REAL(fcntl)(fd, F_GETFL);
        if (!nonblock)
            REAL(fcntl)(fd, F_SETFL, flags & ~O_NONBLOCK);
        r = become_kernel(fd, entry);
    } else {
        struct part part = late->parts[chosen];
        socket_set_word(part.sock, WORD_STATUS, socket_word(late->parts[0].sock, WORD_STATUS));
        r = become_stack(fd, entry, client, &part);
    }
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        if (i != chosen)
            socket_close_part(entry->client, &late->parts[i]);
    }
    return r;
}

int decide_connect(int fd, struct entry *entry, const struct dmm_addr *remote, bool *begun)
{
    int r = 0;
    lock_take(&entry->lock, LOCK_PRIVATE);
    if (entry->phase == PHASE_UNDECIDED)
        r = connect_undecided(fd, entry, remote, begun);
    else if (entry->phase == PHASE_MULTI)
        r = connect_multi(fd, entry, remote);
    lock_drop(&entry->lock);
    return r;
}

/* ---- bind ---- */

static void drop_parts(struct client *client, struct part *parts, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        socket_close_part(client, &parts[i]);
}

/* Opens and binds a part on every stack of the set, at one port: that of *local, or one that the
 * first stack chooses. The number of parts, or a negative errno. */
static int bind_stacks(int fd, struct entry *entry, struct client *client, uint32_t set,
                       bool by_default, struct dmm_addr *local, struct part *parts)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i < DMM_MAPPING_INSTANCES; i++) {
        if (!(set & 1u << i))
            continue;
        uint16_t family = bind_family(fd, entry, client, i, local);
        struct dmm_addr want = *local, bound = want;
        if (family == 0)
            continue;
        if (family == AF_INET && want.family == AF_INET6) {
            memset(want.ip, 0, sizeof(want.ip));
            want.family = AF_INET;
        }
        int r = take_part(client, i, family, entry, &parts[n]);
        if (r < 0 && by_default && r != -ENETDOWN)
            continue; /* it has no such sockets, and nobody asked for it by name */
        if (r == 0) {
            r = socket_bind_part(client, &parts[n], &want, &bound);
            n++;
        }
        if (r < 0) {
            drop_parts(client, parts, n);
            return r;
        }
        local->port = bound.port;
    }
    return (int)n;
}

static int bind_kernel(int fd, const struct dmm_addr *local)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    dmm_addr_to_sockaddr(local, (struct sockaddr *)&sa, &len);
    return REAL(bind)(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

/* The stacks first: unlike the kernel's socket, theirs can be let go and opened again for another
 * port. */
static int bind_everywhere(int fd, int kernel_fd, struct entry *entry, struct client *client,
                           uint32_t set, bool by_default, struct dmm_addr *local,
                           struct part *parts)
{
    struct dmm_addr wanted = *local;
    for (int i = 0; i < PORT_TRIES; i++) {
        *local = wanted;
        int n = bind_stacks(fd, entry, client, set, by_default, local, parts);
        int r = n < 0 ? n : kernel_fd < 0 ? 0 : bind_kernel(kernel_fd, local);
        if (r == 0)
            return n;
        if (n > 0)
            drop_parts(client, parts, (uint32_t)n);
        if (r != -EADDRINUSE || wanted.port != 0)
            return r;
    }
    return -EADDRINUSE;
}

static int become_multi(int fd, struct entry *entry, struct client *client, int kernel_fd,
                        const struct part *parts, uint32_t n)
{
    struct late *late = entry->late;
    int r = 0;
    const struct signals_kept kept = signals_keep(fd, entry);
    if (kernel_fd >= 0) {
        int flags = REAL(fcntl)(kernel_fd, F_GETFL);
        REAL(fcntl)(kernel_fd, F_SETFL, flags | O_NONBLOCK);
        if (kernel_fd != fd)
            r = replace_fd(fd, entry, kernel_fd);
        entry->kernel = entry->kernel || r == 0;
    } else {
        r = become_placeholder(fd, entry, client);
    }
    if (r < 0)
        return r;
    entry->client = client;
    memcpy(late->parts, parts, n * sizeof(*parts));
    atomic_store_explicit(&late->n_parts, n, memory_order_release);
    atomic_store_explicit(&entry->phase, PHASE_MULTI, memory_order_release);
    epoll_changed(fd, entry);
    signals_give(fd, entry, &kept);
    return 0;
}

/* Bound to stacks, or to stacks and the kernel. */
static int bind_shared(int fd, struct entry *entry, struct client *client, uint32_t set,
                       bool by_default, const struct dmm_addr *wanted)
{
    struct part parts[DMM_MAPPING_INSTANCES];
    struct dmm_addr local = *wanted;
    bool with_kernel = set & 1u << DMM_INSTANCE_KERNEL;
    int kernel_fd = -1;
    int r = entry_need_late(entry);
    if (r < 0)
        return r;
    if (with_kernel) {
        kernel_fd = entry->kernel ? fd : replace_make_kernel(entry, true);
        if (kernel_fd < 0)
            return kernel_fd;
    }
    int n = bind_everywhere(fd, kernel_fd, entry, client, set, by_default, &local, parts);
    if (n == 0 && with_kernel) {
        /* No stack can: an ordinary kernel socket, bound already. */
        drop_probe(entry);
        r = kernel_fd == fd ? 0 : replace_fd(fd, entry, kernel_fd);
        entry->kernel = true;
        return r < 0 ? r : become_kernel(fd, entry);
    }
    r = n < 0 ? n : n == 0 ? -EAFNOSUPPORT : 0;
    if (r == 0) {
        entry->late->bound = local;
        entry->late->bound_port = wanted->port != 0;
        r = n == 1 && !with_kernel ? become_stack(fd, entry, client, &parts[0])
                                   : become_multi(fd, entry, client, kernel_fd, parts, (uint32_t)n);
        if (r < 0)
            drop_parts(client, parts, (uint32_t)n);
        else
            kernel_fd = -1; /* used up */
    }
    if (kernel_fd >= 0 && kernel_fd != fd)
        REAL(close)(kernel_fd);
    return r;
}

/* Bound before it takes the placeholder's place: a failure leaves all as it was. */
static int bind_to_kernel(int fd, struct entry *entry, const struct dmm_addr *local)
{
    if (entry->kernel) {
        int r = bind_kernel(fd, local);
        return r < 0 ? r : become_kernel(fd, entry);
    }
    int by = replace_make_kernel(entry, atomic_load_explicit(&entry->status, memory_order_relaxed) &
                                            STATUS_NONBLOCK);
    int r = by < 0 ? by : bind_kernel(by, local);
    if (r < 0) {
        if (by >= 0)
            REAL(close)(by);
        return r;
    }
    r = replace_fd(fd, entry, by);
    if (r < 0)
        return r;
    drop_probe(entry);
    entry->kernel = true;
    return become_kernel(fd, entry);
}

static int bind_undecided(int fd, struct entry *entry, const struct dmm_addr *local)
{
    struct client *client;
    uint32_t set;
    bool by_default;
    int r = policy_listen(entry->protocol, local, &client, &set, &by_default);
    if (r < 0)
        return r;
    if (set == 1u << DMM_INSTANCE_KERNEL)
        return bind_to_kernel(fd, entry, local);
    r = bind_shared(fd, entry, client, set, by_default, local);
    /* Only the kernel knows its own addresses: one that the default stack does not have may be. */
    if (r == -EADDRNOTAVAIL && by_default && !dmm_addr_is_any(local))
        r = bind_to_kernel(fd, entry, local) == 0 ? 0 : r;
    return r;
}

int decide_bind(int fd, struct entry *entry, const struct dmm_addr *local)
{
    lock_take(&entry->lock, LOCK_PRIVATE);
    int r = entry->phase == PHASE_UNDECIDED ? bind_undecided(fd, entry, local) : -EINVAL;
    lock_drop(&entry->lock);
    return r;
}

int decide_unbound(int fd, struct entry *entry)
{
    const struct dmm_addr any = {.family = entry->family};
    int r = 0;
    lock_take(&entry->lock, LOCK_PRIVATE);
    if (entry->phase == PHASE_UNDECIDED)
        r = bind_undecided(fd, entry, &any);
    lock_drop(&entry->lock);
    return r;
}
