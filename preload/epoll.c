/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/epoll.h"

#include "preload/calls.h"
#include "preload/command.h"
#include "preload/epoll_set.h"
#include "preload/pool.h"
#include "preload/ready.h"
#include "preload/socket.h"
#include "preload/waiter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

static struct pool sets = POOL(struct epoll_set, 1u << 16);
static struct pool items = POOL(struct epoll_item, 1u << 20);

/* What epoll_ctl(2) lets stand beside EPOLLEXCLUSIVE. */
#define EXCLUSIVE_WITH                                                                             \
    (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

const char epoll_kick_tag = 'k';
const char epoll_mover_tag = 'm';
const char epoll_epfd_tag = 'e';

struct epoll_item *epoll_item_at(uint32_t number)
{
    return pool_at(&items, number);
}

struct epoll_item *epoll_item_of_data(uint64_t data)
{
    struct epoll_item *item = (struct epoll_item *)(uintptr_t)data;
    return pool_index(&items, item) == UINT32_MAX ? NULL : item;
}

/* ---- a set ---- */

static bool had_kernel_fds(int epfd)
{
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", epfd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : REAL(read)(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        REAL(close)(fd);
    text[n > 0 ? n : 0] = '\0';
    return n <= 0 || strstr(text, "tfd:");
}

static struct entry *make_set(int epfd)
{
    struct entry *entry = entry_new(ENTRY_EPOLL);
    struct epoll_set *set = entry ? pool_take(&sets) : NULL;
    if (set) {
        memset(set, 0, sizeof(*set));
        set->epfd = epfd;
        set->doorbell = -1;
        set->kick = -1;
        set->bed = -1;
        set->mover = -1;
        set->apart = epoll_was_forked(epfd);
        set->kernel_fds = had_kernel_fds(epfd);
        entry->set = set;
        if (entry_install(epfd, entry) == 0)
            return entry;
    }
    if (entry)
        entry_put(entry);
    return NULL;
}

static bool in_epfd(int epfd, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return REAL(epoll_ctl)(epfd, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool epoll_place(struct epoll_set *set, int fd, const void *data)
{
    const uint32_t events = EPOLLIN | EPOLLET;
    int bed = epoll_bed(set, set->epfd);
    return in_epfd(bed, fd, events, (uint64_t)(uintptr_t)data) &&
           (bed == set->epfd || !epoll_is_nested(set) ||
            in_epfd(set->epfd, fd, events, (uint64_t)(uintptr_t)data));
}

void epoll_drop_waitset(struct epoll_set *set)
{
    entry_close_protected(&set->doorbell);
    set->client = NULL;
}

static void watch_parts(struct epoll_set *set, struct epoll_item *item)
{
    uint32_t cookie = pool_index(&items, item) + 1;
    uint32_t n = socket_parts(item->entry);
    uint32_t exclusive = (item->events & EPOLLEXCLUSIVE) && !epoll_is_nested(set);
    uint32_t events = EPOLL_ALL_NEWS | (exclusive ? DMM_EV_EXCLUSIVE : 0);
    item->n_watches = 0;
    for (uint32_t i = 0; i < n && item->entry->client == set->client; i++) {
        const struct part *part = socket_part(item->entry, i);
        int slot = exclusive ? -1 : waiter_unpark(set->client, set->waitset, part, cookie);
        if (slot < 0)
            slot = waiter_claim(set->client, set->waitset, part, cookie, events);
        if (slot < 0)
            break;
        item->slots[item->n_watches] = (uint8_t)slot;
        item->watched[item->n_watches++] = *part;
    }
}

void epoll_share_wakes(struct epoll_set *set)
{
    if (!set->client || set->epoch != client_epoch())
        return;
    for (const struct epoll_item *item = set->items; item; item = item->next_in_set)
        for (uint32_t i = 0; (item->events & EPOLLEXCLUSIVE) && i < item->n_watches; i++)
            waiter_ask(set->client, set->waitset, item->watched[i].index, item->slots[i],
                       EPOLL_ALL_NEWS);
}

int epoll_need_waitset(struct epoll_set *set, struct client *client)
{
    if (set->client == client && set->epoch == client_epoch())
        return 0;
    epoll_drop_waitset(set);
    int waitset = client_new_waitset(client, &set->doorbell);
    if (waitset < 0)
        return waitset;
    set->waitset = (uint32_t)waitset;
    set->client = client;
    set->epoch = client_epoch();
    int r = set->apart ? epoll_need_bed(set) : 0;
    if (r == 0 && !epoll_place(set, set->doorbell, set))
        r = -errno;
    if (r < 0) {
        epoll_drop_waitset(set);
        return r;
    }
    for (struct epoll_item *item = set->items; item; item = item->next_in_set) {
        watch_parts(set, item);
        /* What the parent of a fork was told, or is to be told, is not told again. */
        item->told->fresh |= !item->shared;
        epoll_queue(set, item, EPOLL_ALL_NEWS);
    }
    return 0;
}

/* ---- an item ---- */

static struct epoll_item *find(const struct epoll_set *set, const struct entry *entry, int fd)
{
    struct epoll_item *item = entry->items;
    while (item && (item->set != set || item->fd != fd))
        item = item->next_of_entry;
    return item;
}

static void link_item(struct epoll_set *set, struct entry *entry, struct epoll_item *item)
{
    item->prev_in_set = NULL;
    item->next_in_set = set->items;
    if (set->items)
        set->items->prev_in_set = item;
    set->items = item;
    item->next_of_entry = entry->items;
    entry->items = item;
}

static void unlink_item(struct epoll_set *set, struct epoll_item *item)
{
    if (item->next_in_set)
        item->next_in_set->prev_in_set = item->prev_in_set;
    if (item->prev_in_set)
        item->prev_in_set->next_in_set = item->next_in_set;
    else
        set->items = item->next_in_set;
    /* Of an entry's there are few. */
    struct epoll_item **at = &item->entry->items;
    while (*at && *at != item)
        at = &(*at)->next_of_entry;
    if (*at)
        *at = item->next_of_entry;
}

static void unwatch(struct epoll_set *set, struct epoll_item *item)
{
    for (uint32_t i = 0; i < item->n_watches && set->client && set->epoch == client_epoch(); i++) {
        const struct part *part = &item->watched[i];
        struct dmm_watch *watch = waiter_slot(set->client, part->sock, item->slots[i]);
        /* One that is exclusive is of no use to an item that is not. */
        if (watch && item->events & EPOLLEXCLUSIVE)
            waiter_give_up(set->client, part->index, watch, item->slots[i]);
        else if (watch)
            waiter_park(watch);
    }
    item->n_watches = 0;
}

/* Under both locks. `closing`: the entry ends; CLOSE ends the watches, the file's end the epfd's.
 */
static void remove_item(struct epoll_set *set, struct epoll_item *item, bool closing)
{
    if (!closing)
        unwatch(set, item);
    epoll_unqueue(set, item);
    unlink_item(set, item);
    epoll_drop_told(item);
    item->set = NULL;
    item->entry = NULL;
    pool_give(&items, item);
}

/* The app's own data say all; but that EPOLLONESHOT has fired must be noted. */
static epoll_data_t kernel_data(struct epoll_item *item)
{
    epoll_data_t own = {.ptr = item};
    return (item->events & EPOLLONESHOT) ? own : item->data;
}

/* Puts the item's fd into the epfd too, where the entry has a kernel part or is undecided. */
static int enter_kernel(struct epoll_set *set, struct epoll_item *item)
{
    struct epoll_event event = {.events = epoll_asked(item), .data = kernel_data(item)};
    int op = item->in_kernel ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (REAL(epoll_ctl)(set->epfd, op, item->fd, &event) < 0)
        return -errno;
    item->in_kernel = true;
    return 0;
}

static int add_item(struct epoll_set *set, struct entry *entry, int fd,
                    const struct epoll_event *event)
{
    struct epoll_item *item = pool_take(&items);
    if (!item)
        return -ENOSPC;
    memset(item, 0, sizeof(*item));
    item->entry = entry;
    item->set = set;
    item->fd = fd;
    item->events = event->events | EPOLL_ALWAYS;
    item->data = event->data;
    item->told = &item->own;
    item->told->fresh = true;
    int r = entry->kernel ? enter_kernel(set, item) : 0;
    if (r < 0) {
        item->set = NULL;
        pool_give(&items, item);
        return r;
    }
    link_item(set, entry, item);
    if (set->client)
        watch_parts(set, item);
    epoll_queue(set, item, EPOLL_ALL_NEWS);
    return 0;
}

static int change_item(struct epoll_set *set, struct epoll_item *item,
                       const struct epoll_event *event)
{
    if ((event->events | item->events) & EPOLLEXCLUSIVE)
        return -EINVAL;
    item->events = event->events | EPOLL_ALWAYS;
    item->data = event->data;
    item->told->fired = false;
    item->told->fresh = true;
    if (item->in_kernel) {
        int r = enter_kernel(set, item);
        if (r < 0)
            return r;
    }
    epoll_queue(set, item, EPOLL_ALL_NEWS);
    return 0;
}

static int control_locked(struct epoll_set *set, struct entry *entry, int op, int fd,
                          const struct epoll_event *event)
{
    struct epoll_item *item = find(set, entry, fd);
    if (op == EPOLL_CTL_ADD && (event->events & EPOLLEXCLUSIVE) &&
        (event->events & ~(uint32_t)EXCLUSIVE_WITH))
        return -EINVAL;
    if (op == EPOLL_CTL_ADD)
        return item ? -EEXIST : add_item(set, entry, fd, event);
    if (!item)
        return -ENOENT;
    if (op == EPOLL_CTL_MOD)
        return change_item(set, item, event);
    if (item->in_kernel)
        REAL(epoll_ctl)(set->epfd, EPOLL_CTL_DEL, fd, NULL);
    remove_item(set, item, false);
    return 0;
}

/* A stack socket needs the set's waitset before its first item. */
static int control_socket(int epfd, struct epoll_set *set, struct entry *entry, int op, int fd,
                          const struct epoll_event *event)
{
    int r = 0;
    lock_take(&entry->lock, LOCK_PRIVATE);
    lock_take(&set->lock, LOCK_PRIVATE);
    struct client *client = entry->client;
    set->epfd = epfd; /* a number that refers to it now */
    if (op == EPOLL_CTL_ADD && client && !client_is_dead(client) &&
        (!entry->kernel || socket_parts(entry)))
        r = epoll_need_waitset(set, client);
    if (r == 0)
        r = control_locked(set, entry, op, fd, event);
    epoll_take_news(set);
    epoll_pass_on(set);
    bool nested =
        r == 0 && op != EPOLL_CTL_DEL && epoll_is_nested(set) && socket_parts(entry) && client;
    epoll_unlock(set);
    lock_drop(&entry->lock);
    /* A watch tells first what is true already, and rings: from now on nothing but news can make a
     * nested set readable. */
    if (nested)
        command_settle(client, socket_part(entry, 0)->index);
    return r;
}

static bool is_epoll(int epfd)
{
    struct epoll_event none;
    /* Whatever is not an epoll instance fails with EINVAL; asked with no room it does so too. */
    return REAL(epoll_wait)(epfd, &none, 1, 0) >= 0 || errno == EINTR;
}

/* An epfd in another: the inner one must become readable by its stack sockets too. */
static void note_nesting(int fd)
{
    struct entry *inner = entry_get(fd);
    if (!inner && epoll_may_be(fd) && is_epoll(fd))
        inner = make_set(fd); /* its sockets are still to come */
    if (inner && inner->kind == ENTRY_EPOLL) {
        struct epoll_set *set = inner->set;
        lock_take(&set->lock, LOCK_PRIVATE);
        const struct epoll_item *item = set->items;
        struct client *client = item && item->n_watches ? set->client : NULL;
        uint32_t socket = client ? item->watched[0].index : 0;
        epoll_unlock(set);
        if (client)
            command_settle(client, socket);
        epoll_nest(inner);
    }
    if (inner)
        entry_put(inner);
}

void epoll_take_in(const struct epoll_left *left, struct entry *entry)
{
    struct entry *set_entry = entry_get(left->epfd);
    struct epoll_event event = {.events = left->events, .data.u64 = left->data};
    if (!set_entry && is_epoll(left->epfd))
        set_entry = make_set(left->epfd);
    if (!set_entry)
        return;
    struct epoll_set *set = set_entry->set;
    /* The kernel has kept its part of the item, maybe with an address of the image before. */
    if (set_entry->kind == ENTRY_EPOLL && left->in_kernel)
        REAL(epoll_ctl)(left->epfd, EPOLL_CTL_DEL, left->fd, NULL);
    if (set_entry->kind == ENTRY_EPOLL) {
        set->apart = true; /* whoever started this image may have it too */
        control_socket(left->epfd, set, entry, EPOLL_CTL_ADD, left->fd, &event);
    }
    lock_take(&set->lock, LOCK_PRIVATE);
    struct epoll_item *item = find(set, entry, left->fd);
    if (item) {
        *item->told = left->told;
        item->told->full = 0;
    }
    epoll_unlock(set);
    entry_put(set_entry);
}

static int control_kernel(int epfd, struct entry *set_entry, int op, int fd,
                          const struct epoll_event *event)
{
    struct epoll_event copy = {.events = 0};
    if (event)
        copy = *event;
    if (REAL(epoll_ctl)(epfd, op, fd, event ? &copy : NULL) < 0)
        return -errno;
    if (op == EPOLL_CTL_ADD) {
        if (set_entry)
            set_entry->set->kernel_fds = true;
        note_nesting(fd);
    }
    return 0;
}

int epoll_control(int epfd, int op, int fd, const struct epoll_event *event)
{
    struct entry *set_entry = entry_get(epfd);
    struct entry *entry = entry_get_socket(fd);
    int r;
    if (set_entry && set_entry->kind != ENTRY_EPOLL) {
        entry_put(set_entry);
        set_entry = NULL;
    }
    if (!entry) {
        r = control_kernel(epfd, set_entry, op, fd, event);
    } else if (op != EPOLL_CTL_ADD && op != EPOLL_CTL_MOD && op != EPOLL_CTL_DEL) {
        r = -EINVAL;
    } else if (!event && op != EPOLL_CTL_DEL) {
        r = -EFAULT;
    } else {
        if (!set_entry && op == EPOLL_CTL_ADD && is_epoll(epfd))
            set_entry = make_set(epfd);
        if (set_entry)
            r = control_socket(epfd, set_entry->set, entry, op, fd, event);
        else
            r = control_kernel(epfd, NULL, op, fd, event);
        if (set_entry && epoll_is_nested(set_entry->set))
            epoll_nest(set_entry);
    }
    if (entry)
        entry_put(entry);
    if (set_entry)
        entry_put(set_entry);
    return r;
}

/* ---- what happens to entries ---- */

static void item_changed(struct epoll_set *set, struct epoll_item *item)
{
    struct entry *entry = item->entry;
    if (entry->phase == PHASE_NATIVE) {
        /* From now on the app's own: with its data. */
        struct epoll_event event = {.events = epoll_asked(item), .data = item->data};
        int op = item->in_kernel ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
        REAL(epoll_ctl)(set->epfd, op, item->fd, &event);
        set->kernel_fds = true;
        remove_item(set, item, false);
        return;
    }
    if (entry->kernel)
        enter_kernel(set, item);
    if (!client_is_dead(entry->client) && epoll_need_waitset(set, entry->client) == 0 &&
        item->n_watches == 0)
        watch_parts(set, item);
    item->told->fresh = true;
    epoll_queue(set, item, EPOLL_ALL_NEWS);
    epoll_pass_on(set);
}

void epoll_changed(int fd, struct entry *entry)
{
    (void)fd;
    struct epoll_item *next;
    for (struct epoll_item *item = entry->items; item; item = next) {
        struct epoll_set *set = item->set;
        next = item->next_of_entry;
        lock_take(&set->lock, LOCK_PRIVATE);
        item_changed(set, item);
        epoll_unlock(set);
    }
}

void epoll_part_replaced(struct entry *entry)
{
    for (struct epoll_item *item = entry->items; item; item = item->next_of_entry) {
        struct epoll_set *set = item->set;
        lock_take(&set->lock, LOCK_PRIVATE);
        item->n_watches = 0; /* the close has ended them */
        item_changed(set, item);
        epoll_unlock(set);
    }
}

void epoll_leave_kernel(struct entry *entry)
{
    for (struct epoll_item *item = entry->items; item; item = item->next_of_entry) {
        if (item->in_kernel)
            REAL(epoll_ctl)(item->set->epfd, EPOLL_CTL_DEL, item->fd, NULL);
        item->in_kernel = false;
    }
}

void epoll_forget(struct entry *entry)
{
    lock_take(&entry->lock, LOCK_PRIVATE);
    while (entry->items) {
        struct epoll_item *item = entry->items;
        struct epoll_set *set = item->set;
        lock_take(&set->lock, LOCK_PRIVATE);
        remove_item(set, item, true);
        epoll_unlock(set);
    }
    lock_drop(&entry->lock);
}

void epoll_destroy(struct entry *entry)
{
    struct epoll_set *set = entry->set;
    if (!set)
        return;
    /* Sockets may be ending meanwhile: the item is looked for anew each time, in lock order. */
    while (set->items) {
        struct epoll_item *item = set->items;
        struct entry *socket = item->entry;
        if (!socket)
            continue;
        lock_take(&socket->lock, LOCK_PRIVATE);
        lock_take(&set->lock, LOCK_PRIVATE);
        if (set->items == item && item->entry == socket)
            remove_item(set, item, false);
        epoll_unlock(set);
        lock_drop(&socket->lock);
    }
    if (set->client && set->epoch == client_epoch() && !client_is_dead(set->client)) {
        client_free_waitset(set->client, set->waitset);
        /* Nothing is pushed any more, and the waitset is nobody else's until the doorbell is
         * closed: frees the slots. */
        epoll_take_news(set);
    }
    epoll_drop_waitset(set);
    entry_close_protected(&set->kick);
    entry_close_protected(&set->mover);
    entry_close_protected(&set->bed);
    pool_give(&sets, set);
}

/* The sidecar is gone: the set looks at all its items. Under set->lock. */
static void lose_waitset(struct epoll_set *set)
{
    bool lost = set->client && client_is_dead(set->client);
    if (lost)
        epoll_drop_waitset(set);
    for (struct epoll_item *item = set->items; item; item = item->next_in_set) {
        if (lost)
            item->n_watches = 0;
        epoll_queue(set, item, EPOLL_ALL_NEWS);
    }
    epoll_pass_on(set);
}

void epoll_unlock(struct epoll_set *set)
{
    do {
        if (atomic_load_explicit(&set->lost, memory_order_relaxed) &&
            atomic_exchange_explicit(&set->lost, false, memory_order_acq_rel))
            lose_waitset(set);
        /* A full barrier: `lost`, if it was set while the lock was held, is seen here; else who set
         * it gets the lock. */
        lock_drop(&set->lock);
    } while (__builtin_expect(atomic_load_explicit(&set->lost, memory_order_seq_cst), 0) &&
             lock_try(&set->lock, LOCK_PRIVATE));
}

/* The lock is not waited for: its holder may be this thread, in a call that found the sidecar dead.
 */
static void died(int fd, struct entry *entry, void *arg)
{
    (void)fd;
    (void)arg;
    if (entry->kind != ENTRY_EPOLL)
        return;
    struct epoll_set *set = entry->set;
    atomic_store_explicit(&set->lost, true, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
    if (lock_try(&set->lock, LOCK_PRIVATE))
        epoll_unlock(set);
}

void epoll_client_died(void)
{
    entry_each(died, NULL);
}

void epoll_reset_lock(struct entry *entry)
{
    atomic_store_explicit(&entry->set->lock, 0, memory_order_relaxed);
    entry->set->sleepers = 0;
    entry->set->movers = 0;
}
