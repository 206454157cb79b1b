/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/share.h"

#include "preload/calls.h"
#include "preload/replace.h"
#include "preload/report.h"
#include "preload/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

_Static_assert(sizeof(struct dmm_export_option) == sizeof(struct record_option),
               "a record goes into an export as it is");

/* ---- leaving ---- */

static bool kernel_stands(const struct entry *entry)
{
    return entry->phase == PHASE_MULTI && entry->kernel;
}

static uint32_t first_index(struct entry *entry)
{
    return socket_parts(entry) ? socket_part(entry, 0)->index : DMM_NONE;
}

static bool wants_signals(struct entry *entry)
{
    return atomic_load_explicit(socket_status(entry), memory_order_relaxed) & STATUS_SIGNALS;
}

static bool up_to_date(struct entry *entry)
{
    return entry->shared.client == entry->client && entry->shared.phase == entry->phase &&
           entry->shared.index == first_index(entry) &&
           entry->shared.signals == wants_signals(entry) &&
           (!kernel_stands(entry) ||
            atomic_load_explicit(&entry->companion, memory_order_relaxed) >= 0);
}

static void describe(struct entry *entry, struct dmm_export *what)
{
    memset(what, 0, sizeof(*what));
    what->family = entry->family;
    what->type = entry->type;
    what->protocol = entry->protocol;
    what->flags = (kernel_stands(entry) ? DMM_EXPORT_KERNEL : 0) |
                  (wants_signals(entry) ? DMM_EXPORT_SIGNALS : 0);
    what->status = atomic_load_explicit(&entry->status, memory_order_relaxed);
    what->n_parts = socket_parts(entry);
    for (uint32_t i = 0; i < what->n_parts; i++)
        what->parts[i].index = socket_part(entry, i)->index;
    what->backlog = -1;
    if (!entry->late)
        return;
    what->backlog = entry->late->backlog;
    what->bound = entry->late->bound;
    what->n_options = entry->late->record.n;
    memcpy(what->options, entry->late->record.options, sizeof(what->options));
}

/* Under the entry's lock. */
static int export_entry(int fd, struct entry *entry, char text[128])
{
    struct dmm_export what;
    bool kernel = kernel_stands(entry);
    describe(entry, &what);
    int placeholder = client_export(entry->client, &what, kernel ? fd : -1, text);
    if (placeholder < 0)
        return placeholder;
    int r;
    if (kernel) {
        entry_close_protected(&entry->companion);
        r = entry_protect(placeholder, &entry->companion);
    } else {
        r = REAL(fcntl)(placeholder, F_SETFL, O_NONBLOCK | O_RDWR);
        r = r < 0 ? r : replace_fd(fd, entry, placeholder);
    }
    if (r < 0)
        return r;
    entry->shared.client = entry->client;
    entry->shared.phase = entry->phase;
    entry->shared.index = first_index(entry);
    entry->shared.signals = what.flags & DMM_EXPORT_SIGNALS;
    return 0;
}

int share_export_locked(int fd, struct entry *entry)
{
    char text[128] = "it was reset";
    int r = -ECONNRESET;
    if (entry->phase == PHASE_NATIVE || (entry->phase == PHASE_UNDECIDED && entry->kernel))
        r = 0;
    else if (entry->client && !client_is_dead(entry->client))
        r = up_to_date(entry) ? 0 : export_entry(fd, entry, text);
    if (r < 0)
        report(REPORT_SHARE, "a socket cannot be handed to another program: %s", text);
    return r;
}

int share_export(int fd, struct entry *entry)
{
    if (entry->kind != ENTRY_SOCKET)
        return 0;
    lock_take(&entry->lock, LOCK_PRIVATE);
    int r = share_export_locked(fd, entry);
    lock_drop(&entry->lock);
    return r;
}

/* ---- coming ---- */

static bool whole(const struct client *client, const struct dmm_export *what)
{
    bool stream = what->type == SOCK_STREAM && what->protocol == IPPROTO_TCP;
    bool datagram = what->type == SOCK_DGRAM && what->protocol == IPPROTO_UDP;
    if ((what->family != AF_INET && what->family != AF_INET6) || !(stream || datagram) ||
        what->n_parts > DMM_MAPPING_INSTANCES || what->n_options > DMM_EXPORT_OPTIONS ||
        (what->bound.family && !dmm_addr_valid(&what->bound)))
        return false;
    for (uint32_t i = 0; i < what->n_parts; i++) {
        if (what->parts[i].index >= client->region->n_sockets ||
            what->parts[i].instance >= DMM_MAPPING_INSTANCES)
            return false;
    }
    for (uint32_t i = 0; i < what->n_options; i++) {
        if (what->options[i].len > DMM_EXPORT_VALUE)
            return false;
    }
    return true;
}

static struct part make_part(struct client *client, const struct dmm_export *what, uint32_t i)
{
    return (struct part){.sock = dmm_region_socket(client->region, what->parts[i].index),
                         .index = what->parts[i].index,
                         .instance = what->parts[i].instance,
                         .family = what->parts[i].family};
}

static int fill_late(struct entry *entry, struct client *client, const struct dmm_export *what)
{
    int r = entry_need_late(entry);
    if (r < 0)
        return r;
    struct late *late = entry->late;
    late->backlog = what->backlog;
    late->bound = what->bound;
    late->record.n = what->n_options;
    memcpy(late->record.options, what->options, sizeof(late->record.options));
    if (entry->phase != PHASE_MULTI)
        return 0;
    for (uint32_t i = 0; i < what->n_parts; i++)
        late->parts[i] = make_part(client, what, i);
    atomic_store_explicit(&late->n_parts, what->n_parts, memory_order_release);
    return 0;
}

/* An entry for what a claim has given; NULL: it makes no sense, or there is no memory. */
static struct entry *make_entry(struct client *client, const struct dmm_export *what)
{
    bool kernel = what->flags & DMM_EXPORT_KERNEL;
    struct entry *entry = whole(client, what) ? entry_new(ENTRY_SOCKET) : NULL;
    if (!entry)
        return NULL;
    entry->family = what->family;
    entry->type = what->type;
    entry->protocol = what->protocol;
    entry->kernel = kernel;
    entry->client = client;
    atomic_store_explicit(&entry->status, what->status, memory_order_relaxed);
    uint8_t phase = what->n_parts == 0              ? PHASE_UNDECIDED
                    : what->n_parts == 1 && !kernel ? PHASE_STACK
                                                    : PHASE_MULTI;
    if (phase == PHASE_STACK)
        entry->part = make_part(client, what, 0);
    atomic_store_explicit(&entry->phase, phase, memory_order_release);
    bool plain = phase == PHASE_STACK && what->backlog < 0 && !what->bound.family;
    if (!plain && fill_late(entry, client, what) < 0) {
        socket_disown(entry);
        entry_put(entry);
        return NULL;
    }
    entry->shared.client = client;
    entry->shared.phase = phase;
    entry->shared.index = first_index(entry);
    entry->shared.signals = what->flags & DMM_EXPORT_SIGNALS;
    return entry;
}

struct looking {
    const struct client *client;
    uint32_t index;
    struct entry *found;
};

static void compare(int fd, struct entry *entry, void *arg)
{
    struct looking *looking = arg;
    (void)fd;
    if (looking->found || entry->kind != ENTRY_SOCKET || entry->client != looking->client ||
        first_index(entry) != looking->index)
        return;
    atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    looking->found = entry;
}

/* The entry, with a reference of the caller's, of what has been claimed; NULL as make_entry(). */
static struct entry *entry_for(struct client *client, const struct dmm_export *what)
{
    struct looking looking = {.client = client, .index = what->parts[0].index};
    if (what->flags & DMM_EXPORT_HELD && what->n_parts)
        entry_each(compare, &looking);
    return looking.found ? looking.found : make_entry(client, what);
}

/* The fd stays what it is, but the shim answers for it: it was reset. */
static struct entry *dead_entry(void)
{
    struct entry *entry = entry_new(ENTRY_SOCKET);
    if (!entry)
        return NULL;
    entry->family = AF_INET;
    entry->type = SOCK_STREAM;
    entry->protocol = IPPROTO_TCP;
    socket_disown(entry);
    return entry;
}

static int claim(int fd, struct dmm_export *what, struct entry **entry)
{
    char text[128];
    struct client *client;
    *entry = NULL;
    int r = client_claim(fd, &client, what, text);
    if (r == 0 && !(*entry = entry_for(client, what)))
        r = -EPROTO;
    if (r < 0 && r != -ENOENT)
        report(REPORT_SHARE, "a socket that came from another program is dead: %s",
               r == -EPROTO ? "what came with it makes no sense" : text);
    return r;
}

uint64_t share_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof(cookie);
    return REAL(getsockopt)(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

static bool is_placeholder(int fd)
{
    struct sockaddr_un name = {.sun_family = AF_UNSPEC};
    socklen_t len = sizeof(name);
    const size_t prefix = sizeof(DMM_PLACEHOLDER_NAME) - 1;
    return REAL(getsockname)(fd, (struct sockaddr *)&name, &len) == 0 &&
           name.sun_family == AF_UNIX &&
           len > (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + prefix) &&
           name.sun_path[0] == '\0' && memcmp(name.sun_path + 1, DMM_PLACEHOLDER_NAME, prefix) == 0;
}

/* A kernel socket that stacks may have a share in: a listener, or a bound datagram socket. */
static bool may_be_shared(int fd)
{
    int value = 0;
    socklen_t len = sizeof(value);
    if (REAL(getsockopt)(fd, SOL_SOCKET, SO_DOMAIN, &value, &len) < 0 ||
        (value != AF_INET && value != AF_INET6))
        return false;
    len = sizeof(value);
    if (REAL(getsockopt)(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && value)
        return true;
    len = sizeof(value);
    return REAL(getsockopt)(fd, SOL_SOCKET, SO_TYPE, &value, &len) == 0 && value == SOCK_DGRAM;
}

static void install(int fd, struct entry *entry)
{
    if (entry && entry_install(fd, entry) < 0)
        report(REPORT_SHARE, "a socket that came from another program is dead: fd %d is too high",
               fd);
}

void share_received(int fd)
{
    struct dmm_export what;
    struct entry *entry;
    int saved = errno;
    bool placeholder = is_placeholder(fd);
    if (placeholder || (may_be_shared(fd) && client_sidecar_there())) {
        int r = claim(fd, &what, &entry);
        if (r < 0 && placeholder)
            entry = dead_entry();
        install(fd, entry);
        if (entry)
            entry_put(entry);
    }
    errno = saved;
}

/* ---- inherited over exec ---- */

/* Installs what the placeholder `fd` was claimed to be (entry NULL: nothing) at each of the `n` fds
 * that is the same file, or, if the kernel has the socket, that kernel socket. */
static void take_in(const struct share_file *placeholder, struct entry *entry,
                    const struct dmm_export *what, const struct share_file *files, size_t n)
{
    bool kernel = entry && what->flags & DMM_EXPORT_KERNEL;
    /* The same file has the same cookie, and no other has. */
    uint64_t wanted = kernel ? what->cookie : placeholder->cookie;
    bool used = false;
    if (!entry)
        entry = dead_entry();
    for (size_t i = 0; i < n && entry; i++) {
        if (!wanted || files[i].cookie != wanted)
            continue;
        install(files[i].fd, entry);
        used = true;
    }
    /* A companion is nobody's number; without its listener it is of no use. */
    if (kernel && used)
        entry_protect(placeholder->fd, &entry->companion);
    else if (kernel)
        REAL(close)(placeholder->fd);
    if (entry)
        entry_put(entry);
}

static void claim_some(const struct share_file *placeholders, uint32_t n,
                       const struct share_file *files, size_t n_files)
{
    struct dmm_export whats[CLIENT_CLAIMS];
    struct client *client;
    int numbers[CLIENT_CLAIMS] = {0};
    int results[CLIENT_CLAIMS];
    for (uint32_t i = 0; i < n; i++) {
        numbers[i] = placeholders[i].fd;
        results[i] = -ECONNRESET;
    }
    bool all = client_claim_some(numbers, n, &client, whats, results) == 0;
    for (uint32_t i = 0; i < n; i++) {
        struct entry *entry = NULL;
        if (all && results[i] == 0)
            entry = entry_for(client, &whats[i]);
        else
            claim(numbers[i], &whats[i], &entry); /* tries longer, and says what is wrong */
        take_in(&placeholders[i], entry, &whats[i], files, n_files);
    }
}

static bool seen_before(const struct share_file *files, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (files[i].cookie == files[at].cookie)
            return true;
    }
    return false;
}

void share_claim_inherited(const struct share_file *files, size_t n)
{
    struct share_file placeholders[CLIENT_CLAIMS];
    uint32_t held = 0;
    for (size_t i = 0; i < n; i++) {
        if (!files[i].cookie || !is_placeholder(files[i].fd) || seen_before(files, i))
            continue;
        placeholders[held++] = files[i];
        if (held == CLIENT_CLAIMS) {
            claim_some(placeholders, held, files, n);
            held = 0;
        }
    }
    if (held)
        claim_some(placeholders, held, files, n);
}

/* ---- messages ---- */

/* Calls `fn` for each fd of the SCM_RIGHTS in what came or goes. */
static void each_fd(const struct msghdr *msg, void (*fn)(int fd))
{
    if (!msg->msg_control || msg->msg_controllen < sizeof(struct cmsghdr))
        return;
    struct msghdr copy = *msg;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c; c = CMSG_NXTHDR(&copy, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
            c->cmsg_len < CMSG_LEN(sizeof(int)))
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            fn(fd);
        }
    }
}

static void send_one(int fd)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return;
    share_export(fd, entry);
    entry_put(entry);
}

void share_sent_message(const struct msghdr *msg)
{
    int saved = errno;
    if (atomic_load_explicit(&entry_limit, memory_order_acquire))
        each_fd(msg, send_one);
    errno = saved;
}

void share_received_message(struct msghdr *msg)
{
    each_fd(msg, share_received);
}
