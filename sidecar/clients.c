/* SPDX-License-Identifier: Apache-2.0 */
/* A client's region, and the tables of its processes, channels and waitsets. */
#include "common/ring.h"
#include "sidecar/client.h"
#include "sidecar/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/futex.h>

#define PUNCH_FROM                                                                                 \
    (256u * 1024) /* blocks from here on give their pages back when they are freed                 \
                   */

/* ---- the region ---- */

static int region_make(struct dmm_client *client, struct dmm_err *err)
{
    struct dmm_region *layout = &client->layout;
    uint64_t size = dmm_region_layout(layout, DMM_CLIENT_CHANNELS, DMM_CLIENT_WAITSETS,
                                      client->limits.max_sockets, client->limits.heap_size);
    layout->magic = DMM_REGION_MAGIC;
    layout->version = DMM_REGION_VERSION;

    client->memfd = memfd_create("dmm-region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (client->memfd < 0)
        return dmm_err_set(err, errno, "memfd_create: %s", strerror(errno));
    if (ftruncate(client->memfd, (off_t)size))
        return dmm_err_set(err, errno, "a region of %llu bytes: %s", (unsigned long long)size,
                           strerror(errno));
    /* Sealed, or the app could shrink it under our feet (SIGBUS). */
    if (fcntl(client->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
        return dmm_err_set(err, errno, "sealing the region: %s", strerror(errno));
    void *at =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, client->memfd, 0);
    if (at == MAP_FAILED)
        return dmm_err_set(err, errno, "mapping a region of %llu bytes: %s",
                           (unsigned long long)size, strerror(errno));
    client->region = at;
    memcpy(client->region, layout, offsetof(struct dmm_region, policy_generation));
    return 0;
}

static int tables_make(struct dmm_client *client, struct dmm_err *err)
{
    client->processes = calloc(DMM_CLIENT_PROCESSES, sizeof(*client->processes));
    client->channels = calloc(DMM_CLIENT_CHANNELS, sizeof(*client->channels));
    client->active_channels = calloc(DMM_CLIENT_CHANNELS, sizeof(*client->active_channels));
    client->waitsets = calloc(DMM_CLIENT_WAITSETS, sizeof(*client->waitsets));
    client->sockets = calloc(client->limits.max_sockets, sizeof(*client->sockets));
    client->freed = calloc(client->limits.max_sockets, sizeof(*client->freed));
    client->generations = calloc(client->limits.max_sockets, sizeof(*client->generations));
    if (!client->processes || !client->channels || !client->active_channels || !client->waitsets ||
        !client->sockets || !client->freed || !client->generations ||
        dmm_heap_init(&client->heap, client->limits.heap_size))
        return dmm_err_set(err, ENOMEM, "out of memory for a client");
    return 0;
}

int dmm_client_new(struct dmm_client **out, const struct dmm_limits *limits, struct dmm_err *err)
{
    struct dmm_client *client = calloc(1, sizeof(*client));
    if (!client)
        return dmm_err_set(err, ENOMEM, "out of memory for a client");
    client->limits = *limits;
    client->memfd = -1;
    client->first_dirty = DMM_WATCH_OFF;
    client->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = client->doorbell < 0 ? dmm_err_set(err, errno, "eventfd: %s", strerror(errno)) : 0;
    if (!rc)
        rc = region_make(client, err);
    if (!rc)
        rc = tables_make(client, err);
    if (rc) {
        dmm_client_delete(client);
        return rc;
    }
    *out = client;
    return 0;
}

void dmm_client_delete(struct dmm_client *client)
{
    if (!client)
        return;
    for (uint32_t i = 0; i < client->waitsets_top; i++)
        if (client->waitsets[i].used || client->waitsets[i].lingers)
            close(client->waitsets[i].fd);
    if (client->region)
        munmap(client->region, client->layout.size);
    if (client->memfd >= 0)
        close(client->memfd);
    if (client->doorbell >= 0)
        close(client->doorbell);
    dmm_heap_destroy(&client->heap);
    free(client->processes);
    free(client->channels);
    free(client->active_channels);
    free(client->waitsets);
    free(client->sockets);
    free(client->freed);
    free(client->generations);
    free(client);
}

uint64_t dmm_client_block(struct dmm_client *client, uint64_t bytes, uint32_t *size)
{
    uint64_t at = dmm_heap_alloc(&client->heap, bytes, size);
    return at == DMM_HEAP_NONE ? 0 : client->layout.heap + at;
}

void dmm_client_block_free(struct dmm_client *client, uint64_t offset, uint32_t size)
{
    if (!offset)
        return;
    dmm_heap_free(&client->heap, offset - client->layout.heap);
    if (size >= PUNCH_FROM)
        fallocate(client->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, size);
}

void dmm_client_set_policy(struct dmm_client *client, const struct dmm_policy *policy)
{
    struct dmm_policy *slots = (struct dmm_policy *)dmm_client_at(client, client->layout.policy);
    uint32_t next = client->policy_generation + 1;
    memcpy(&slots[next & 1], policy, sizeof(*policy));
    client->policy_generation = next;
    atomic_store_explicit(&client->region->policy_generation, next, memory_order_release);
}

/* ---- processes ---- */

static void set_comm(struct dmm_process *process, const char *comm)
{
    snprintf(process->comm, sizeof(process->comm), "%.15s", comm ? comm : "");
}

int dmm_client_add_process(struct dmm_client *client, uint32_t pid, const char *comm,
                           struct dmm_err *err)
{
    for (uint32_t i = 0; i < DMM_CLIENT_PROCESSES; i++) {
        struct dmm_process *process = &client->processes[i];
        if (process->used)
            continue;
        process->used = true;
        process->pid = pid;
        set_comm(process, comm);
        client->n_processes++;
        return (int)i;
    }
    return dmm_err_set(err, EAGAIN, "a client may have %u processes at a time",
                       DMM_CLIENT_PROCESSES);
}

void dmm_client_drain_process(struct dmm_client *client, uint32_t process)
{
    for (uint32_t i = 0; i < client->n_channels; i++) {
        uint32_t id = client->active_channels[i];
        struct dmm_channel_private *channel = &client->channels[id];
        if (channel->process != process)
            continue;
        struct dmm_command command;
        /* Bounded: others of the client can write there too. */
        for (int n = 0;
             n < 2 * DMM_CHANNEL_COMMANDS && !client->ended && !client->violation[0] &&
             dmm_command_take(dmm_client_channel(client, id), &channel->position, &command);
             n++)
            dmm_command_run(client, id, &command);
    }
}

int dmm_client_fork_process(struct dmm_client *client, uint32_t parent, struct dmm_err *err)
{
    dmm_client_drain_process(client, parent);
    int child = dmm_client_add_process(client, 0, client->processes[parent].comm, err);
    if (child < 0)
        return child;
    for (uint32_t i = 0; i < client->sockets_top; i++)
        if (client->sockets[i] && !(client->sockets[i]->flags & DMM_SOCK_SPARE) &&
            dmm_sock_held(client->sockets[i], parent))
            dmm_sock_hold(client->sockets[i], (uint32_t)child);
    return child;
}

static void futex_wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, (void *)word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* A lock among the app's processes, of which the one that holds it has died. */
static void break_lock(_Atomic uint32_t *lock, uint32_t process)
{
    uint32_t seen = atomic_load_explicit(lock, memory_order_relaxed);
    if ((seen & INT32_MAX) != process + 1)
        return;
    if (atomic_compare_exchange_strong_explicit(lock, &seen, 0, memory_order_release,
                                                memory_order_relaxed))
        futex_wake_all(lock);
}

static void remove_channels(struct dmm_client *client, uint32_t process)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < client->n_channels; i++) {
        uint16_t id = client->active_channels[i];
        if (client->channels[id].process == process)
            client->channels[id].used = false;
        else
            client->active_channels[kept++] = id;
    }
    client->n_channels = kept;
}

static void drop_waitset(struct dmm_client *client, uint32_t waitset)
{
    struct dmm_waitset_private *mine = &client->waitsets[waitset];
    for (uint32_t i = 0; i < client->sockets_top; i++)
        if (client->sockets[i])
            dmm_sock_unwatch_waitset(client->sockets[i], waitset);
    mine->used = false;
    mine->lingers = true;
}

/* Frees waitsets whose old owners have let go, looking at so many at a time. */
#define LINGERING_LOOKS 64
static void reap_waitsets(struct dmm_client *client)
{
    unsigned looks = 0;
    for (uint32_t i = 0; i < client->waitsets_top && looks < LINGERING_LOOKS; i++) {
        struct dmm_waitset_private *mine = &client->waitsets[i];
        char token;
        if (!mine->lingers)
            continue;
        looks++;
        ssize_t n = recv(mine->fd, &token, 1, MSG_DONTWAIT);
        if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
            continue;
        close(mine->fd);
        mine->fd = -1;
        mine->lingers = false;
    }
}

void dmm_client_remove_process(struct dmm_client *client, uint32_t process)
{
    dmm_client_drain_process(client, process);
    remove_channels(client, process);
    for (uint32_t i = 0; i < client->sockets_top; i++) {
        struct dmm_sock *sock = client->sockets[i];
        if (!sock)
            continue;
        break_lock(&sock->shared->rx_lock, process);
        break_lock(&sock->shared->tx_lock, process);
        if (dmm_sock_held(sock, process))
            dmm_sock_let_go(sock, process, false);
    }
    for (uint32_t i = 0; i < client->waitsets_top; i++)
        if (client->waitsets[i].used && client->waitsets[i].process == process)
            drop_waitset(client, i);
    client->processes[process].used = false;
    dmm_client_doubt_claims(client);
    client->n_processes--;
    dmm_client_end_if_unused(client);
}

void dmm_client_end_if_unused(struct dmm_client *client)
{
    if (!client->n_processes && !client->n_exports && !client->ended)
        dmm_client_end(client);
}

/* ---- channels and waitsets ---- */

int dmm_client_add_channel(struct dmm_client *client, uint32_t process, struct dmm_err *err)
{
    for (uint32_t i = 0; i < DMM_CLIENT_CHANNELS; i++) {
        struct dmm_channel_private *channel = &client->channels[i];
        if (channel->used)
            continue;
        *channel = (struct dmm_channel_private){.used = true, .process = (uint16_t)process};
        dmm_channel_init(dmm_client_channel(client, i));
        client->active_channels[client->n_channels++] = (uint16_t)i;
        return (int)i;
    }
    return dmm_err_set(err, EAGAIN, "a client may have %u channels at a time", DMM_CLIENT_CHANNELS);
}

int dmm_client_add_waitset(struct dmm_client *client, uint32_t process, int fd, struct dmm_err *err)
{
    reap_waitsets(client);
    for (uint32_t i = 0; i < DMM_CLIENT_WAITSETS; i++) {
        struct dmm_waitset_private *mine = &client->waitsets[i];
        if (mine->used || mine->dirty || mine->lingers)
            continue;
        mine->used = true;
        mine->process = (uint16_t)process;
        mine->fd = fd;
        if (i >= client->waitsets_top)
            client->waitsets_top = i + 1;
        return (int)i;
    }
    return dmm_err_set(err, EAGAIN,
                       "a client may have %u waitsets (epoll instances and threads) "
                       "at a time",
                       DMM_CLIENT_WAITSETS);
}

int dmm_client_remove_waitset(struct dmm_client *client, uint32_t process, uint32_t waitset,
                              struct dmm_err *err)
{
    if (waitset >= DMM_CLIENT_WAITSETS || !client->waitsets[waitset].used ||
        client->waitsets[waitset].process != process)
        return dmm_err_set(err, EINVAL, "waitset %u is not one of this process", waitset);
    /* A thread that ends may have commanded watches just before. */
    dmm_client_drain_process(client, process);
    if (client->ended || client->violation[0])
        return dmm_err_set(err, ECONNRESET, "the sidecar has ended this client");
    reap_waitsets(client);
    drop_waitset(client, waitset);
    return 0;
}
