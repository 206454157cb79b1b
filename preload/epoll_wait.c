/* SPDX-License-Identifier: Apache-2.0 */
#include "common/ring.h"
#include "preload/calls.h"
#include "preload/epoll_set.h"
#include "preload/ready.h"
#include "preload/recover.h"
#include "preload/socket.h"
#include "preload/waiter.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>

static const char recover_tag = 'r';

#define KERNEL_TURN 4  /* busy calls between looks at the kernel's fds */
#define BED_EVENTS  4  /* doorbell, kick, epfd, the sidecar's return */
#define BELL_TOKENS 64 /* arms between reads of the doorbell, which holds some 200 */

/* ---- the ready queue ---- */

void epoll_queue(struct epoll_set *set, struct epoll_item *item, uint32_t news)
{
    item->news |= news;
    if (item->queued)
        return;
    item->queued = true;
    item->next_ready = NULL;
    item->prev_ready = set->ready ? set->ready_last : NULL;
    if (set->ready)
        set->ready_last->next_ready = item;
    else
        set->ready = item;
    set->ready_last = item;
}

void epoll_unqueue(struct epoll_set *set, struct epoll_item *item)
{
    if (!item->queued)
        return;
    if (item->next_ready)
        item->next_ready->prev_ready = item->prev_ready;
    else
        set->ready_last = item->prev_ready;
    if (item->prev_ready)
        item->prev_ready->next_ready = item->next_ready;
    else
        set->ready = item->next_ready;
    item->queued = false;
}

static void arm(struct epoll_set *set)
{
    atomic_fetch_add_explicit(&set->arms, 1, memory_order_relaxed);
    dmm_arm(&dmm_region_waitset(set->client->region, set->waitset)->armed);
}

static struct dmm_watch *watch_of_node(struct client *client, uint32_t node)
{
    uint32_t socket = (node - 1) >> 8;
    return socket < client->region->n_sockets
               ? waiter_slot(client, dmm_region_socket(client->region, socket), (node - 1) & 255)
               : NULL;
}

void epoll_take_news(struct epoll_set *set)
{
    if (!set->client || set->epoch != client_epoch())
        return;
    uint32_t node = dmm_ready_take(dmm_region_waitset(set->client->region, set->waitset));
    /* Newest first: the chain is turned round through the items, which are queued at the front. */
    struct epoll_item *first = NULL;
    struct epoll_item *last = NULL;
    while (node) {
        const uint32_t at = node;
        struct dmm_watch *watch = watch_of_node(set->client, at);
        if (!watch)
            break;
        /* The next node is read before `pending` is cleared: then the watch may be linked again. */
        node = atomic_load_explicit(&watch->next, memory_order_relaxed);
        uint32_t news = atomic_exchange_explicit(&watch->pending, 0, memory_order_acq_rel);
        uint32_t cookie = atomic_load_explicit(&watch->cookie, memory_order_relaxed);
        if (cookie == WAITER_PARKED &&
            atomic_load_explicit(&watch->owner, memory_order_relaxed) == set->waitset + 1)
            waiter_give_up(set->client, (at - 1) >> 8, watch, (at - 1) & 255);
        struct epoll_item *item = cookie ? epoll_item_at(cookie - 1) : NULL;
        if (!item || item->set != set)
            continue;
        item->news |= news;
        if (item->queued)
            continue;
        item->queued = true;
        item->next_ready = first;
        item->prev_ready = NULL;
        if (first)
            first->prev_ready = item;
        first = item;
        last = last ? last : item;
    }
    if (!first)
        return;
    if (set->ready) {
        set->ready_last->next_ready = first;
        first->prev_ready = set->ready_last;
    } else {
        set->ready = first;
    }
    set->ready_last = last;
}

/* What is new since the item was last told of. The sidecar's news alone would not do: it tells what
 * is ready when a watch begins, and the app may have been told that already. */
static uint32_t edges(const struct epoll_item *item)
{
    struct entry *entry = item->entry;
    uint32_t events = 0;
    const struct epoll_told *told = item->told;
    uint32_t n = socket_parts(entry);
    if (told->fresh)
        return UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        struct dmm_socket *sock = socket_part(entry, i)->sock;
        const struct epoll_seen *seen = &told->seen[i];
        if (socket_state(sock) != seen->state ||
            atomic_load_explicit(&sock->app_flags, memory_order_relaxed) != seen->app_flags)
            return UINT32_MAX;
        if (atomic_load_explicit(&sock->rx_tail, memory_order_acquire) != seen->rx_tail)
            events |= EPOLLIN | EPOLLRDNORM;
        uint32_t error = atomic_load_explicit(&sock->so_error, memory_order_acquire);
        if (error && error != seen->error)
            events |= EPOLLERR;
    }
    if ((item->news & DMM_EV_OUT) &&
        atomic_load_explicit(&entry->full_count, memory_order_relaxed) != told->full)
        events |= EPOLLOUT | EPOLLWRNORM;
    return events;
}

/* The item has been told of `events`: what holds now is no edge any more. */
static void remember(struct epoll_item *item, uint32_t events)
{
    struct entry *entry = item->entry;
    struct epoll_told *told = item->told;
    uint32_t n = socket_parts(entry);
    for (uint32_t i = 0; i < n; i++) {
        struct dmm_socket *sock = socket_part(entry, i)->sock;
        told->seen[i] = (struct epoll_seen){
            .rx_tail = atomic_load_explicit(&sock->rx_tail, memory_order_acquire),
            .state = socket_state(sock),
            .error = atomic_load_explicit(&sock->so_error, memory_order_acquire),
            .app_flags = atomic_load_explicit(&sock->app_flags, memory_order_relaxed)};
    }
    if (events & EPOLLOUT)
        told->full = atomic_load_explicit(&entry->full_count, memory_order_relaxed);
    told->fresh = false;
}

/* What the item has to tell now; 0: nothing. */
static uint32_t tells(const struct epoll_item *item)
{
    uint32_t asked = epoll_asked(item);
    uint32_t now = asked ? ready_entry(item->entry) & (asked | EPOLL_ALWAYS) : 0;
    if (now && (asked & EPOLLET) && !(now & edges(item)))
        return 0;
    return now;
}

static void note_told(struct epoll_item *item, uint32_t events)
{
    /* What comes between the look and this will be there when the app, told, reads. */
    if (item->events & EPOLLET)
        remember(item, events);
    item->told->fired = item->events & EPOLLONESHOT;
}

/* As tells(), and the item is told it: by one of the processes that share it. */
static uint32_t tell(struct epoll_item *item)
{
    if (!item->shared || !(item->events & (EPOLLET | EPOLLONESHOT))) {
        uint32_t now = tells(item);
        if (now)
            note_told(item, now);
        return now;
    }
    for (;;) {
        uint32_t turn = epoll_telling_turn(item->told);
        uint32_t now = tells(item);
        if (!now)
            return 0;
        if (!epoll_begin_telling(item->told, turn))
            continue;
        note_told(item, now);
        epoll_end_telling(item->told);
        return now;
    }
}

static struct epoll_item *pop(struct epoll_set *set)
{
    struct epoll_item *item = set->ready;
    epoll_unqueue(set, item);
    return item;
}

bool epoll_has_news(struct epoll_set *set)
{
    /* What has nothing to tell comes back with its next news. */
    while (set->ready && !tells(set->ready))
        pop(set)->news = 0;
    return set->ready != NULL;
}

/* Tells of up to `max` items. Level-triggered ones stay on the queue, behind the others. */
static int harvest(struct epoll_set *set, struct epoll_event *events, int max)
{
    struct epoll_item *last = set->ready_last;
    int n = 0;
    while (set->ready && n < max) {
        bool end = set->ready == last;
        struct epoll_item *item = pop(set);
        uint32_t now = tell(item);
        item->news = 0;
        if (now) {
            events[n].events = now;
            events[n++].data = item->data;
            if (!(item->events & (EPOLLONESHOT | EPOLLET)))
                epoll_queue(set, item, 0);
        }
        if (end)
            break;
    }
    return n;
}

/* ---- waking others ---- */

static void kick(struct epoll_set *set)
{
    const uint64_t one = 1;
    if (set->kick < 0) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0 || entry_protect(fd, &set->kick) < 0)
            return;
        if (!epoll_place(set, set->kick, &epoll_kick_tag)) {
            entry_close_protected(&set->kick);
            return;
        }
    }
    if (REAL(write)(set->kick, &one, sizeof(one)) < 0 && errno == EAGAIN)
        return; /* full: readable anyway */
}

void epoll_pass_on(struct epoll_set *set)
{
    int saved = errno;
    if (!set->sleepers && !epoll_is_nested(set))
        return;
    if (set->client && set->epoch == client_epoch()) {
        arm(set);
        epoll_take_news(set);
    }
    if (epoll_has_news(set))
        kick(set);
    errno = saved;
}

/* Takes what rang; notices the sidecar's death. Not under set->lock. */
static void read_bell(struct epoll_set *set)
{
    char tokens[BELL_TOKENS];
    struct client *client = set->client;
    if (!client || set->epoch != client_epoch())
        return;
    atomic_store_explicit(&set->arms, 0, memory_order_relaxed);
    ssize_t n;
    do
        n = REAL(recv)(set->doorbell, tokens, sizeof(tokens), MSG_DONTWAIT);
    while (n > 0);
    if (n == 0)
        client_died(client);
}

/* The doorbell rang: it is read when much may be in it, and when `events` tell of its end. */
static void answer_bell(struct epoll_set *set, uint32_t events)
{
    if ((events & (EPOLLHUP | EPOLLERR)) ||
        atomic_load_explicit(&set->arms, memory_order_relaxed) >= BELL_TOKENS)
        read_bell(set);
}

static void drain_kick(struct epoll_set *set)
{
    uint64_t count;
    if (REAL(read)(set->kick, &count, sizeof(count)) < 0)
        return; /* another thread has it */
}

/* A forked child's first look at a set of its parent's: it needs a waitset of its own. */
static void own_waitset(struct epoll_set *set)
{
    if (__builtin_expect(!set->items || !set->client || set->epoch == client_epoch(), 1))
        return;
    struct client *client = client_latest();
    if (client && !client_is_dead(client))
        epoll_need_waitset(set, client);
}

bool epoll_nest(struct entry *entry)
{
    struct epoll_set *set = entry->set;
    /* What rang before is looked at now; only what comes after the arming may make it readable. */
    read_bell(set);
    lock_take(&set->lock, LOCK_PRIVATE);
    if (!atomic_exchange_explicit(&set->nested, true, memory_order_relaxed)) {
        epoll_also_in_epfd(set);
        epoll_share_wakes(set);
    }
    own_waitset(set);
    epoll_take_news(set);
    bool ready = epoll_has_news(set); /* looks without taking */
    epoll_pass_on(set);
    epoll_unlock(set);
    return ready;
}

/* ---- the kernel's events ---- */

/* Takes our own out of what the kernel told: the doorbell, the kick, kernel parts of items. What is
 * left is the app's. */
static int sift(struct epoll_set *set, struct epoll_event *events, int n, bool *rang)
{
    int kept = 0;
    for (int i = 0; i < n; i++) {
        uint64_t data = events[i].data.u64;
        if (data == (uint64_t)(uintptr_t)set) {
            *rang = true;
            answer_bell(set, events[i].events);
            continue;
        }
        if (data == (uint64_t)(uintptr_t)&epoll_kick_tag) {
            *rang = true;
            drain_kick(set);
            continue;
        }
        if (data == (uint64_t)(uintptr_t)&epoll_mover_tag) {
            *rang = true;
            continue;
        }
        if (data == (uint64_t)(uintptr_t)&recover_tag) {
            *rang = true;
            recover_try();
            continue;
        }
        events[kept] = events[i];
        struct epoll_item *item = epoll_item_of_data(data);
        if (item) {
            lock_take(&set->lock, LOCK_PRIVATE);
            bool ours = item->set == set && epoll_asked(item);
            if (ours) {
                events[kept].data = item->data;
                item->told->fired = item->events & EPOLLONESHOT;
            }
            epoll_unlock(set);
            if (!ours)
                continue;
        }
        kept++;
    }
    return kept;
}

static int ask_kernel(struct epoll_set *set, int epfd, struct epoll_event *events, int max,
                      int timeout_ms, const sigset_t *mask, bool *rang)
{
    int n = REAL(epoll_pwait)(epfd, events, max, timeout_ms, mask);
    return n < 0 ? -errno : sift(set, events, n, rang);
}

/* Where the epfd is not slept in: what the bed tells is ours, or that the epfd has something. */
static int sleep_in_bed(struct epoll_set *set, int bed, int epfd, struct epoll_event *events,
                        int max, int timeout_ms, const sigset_t *mask, bool *rang)
{
    struct epoll_event told[BED_EVENTS];
    int n = REAL(epoll_pwait)(bed, told, BED_EVENTS, timeout_ms, mask);
    if (n < 0)
        return -errno;
    bool kernel = false;
    for (int i = 0; i < n; i++)
        kernel |= told[i].data.u64 == (uint64_t)(uintptr_t)&epoll_epfd_tag;
    sift(set, told, n, rang);
    return kernel ? ask_kernel(set, epfd, events, max, 0, NULL, rang) : 0;
}

/* ---- waiting ---- */

/* While listeners wait for the sidecar, sleepers hear of its return. */
static void watch_recovery(struct epoll_set *set, int epfd, const struct recover_sleep *back)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = (void *)(uintptr_t)&recover_tag};
    if (atomic_load_explicit(&set->recover, memory_order_relaxed) == back->serial)
        return;
    REAL(epoll_ctl)(epfd, EPOLL_CTL_ADD, back->fd, &event); /* EEXIST: another thread was first */
    atomic_store_explicit(&set->recover, back->serial, memory_order_relaxed);
}

/* What has been recovered is of no use any more, but stays readable while others hold it. */
static void end_recovery(int epfd, struct recover_sleep *back)
{
    if (recover_over(back))
        REAL(epoll_ctl)(epfd, EPOLL_CTL_DEL, back->fd, NULL);
    recover_end(back);
}

/* Stack sockets that are ready, and now and then the kernel's fds too. */
static int look(struct epoll_set *set, int epfd, struct epoll_event *events, int max)
{
    bool rang = false;
    if (epoll_is_nested(set))
        read_bell(set); /* else it would stay readable to the outer one */
    lock_take(&set->lock, LOCK_PRIVATE);
    own_waitset(set);
    epoll_take_news(set);
    int n = harvest(set, events, max);
    bool kernel = set->kernel_fds && n > 0 && n < max && ++set->turns >= KERNEL_TURN;
    if (kernel)
        set->turns = 0;
    if (n > 0)
        epoll_pass_on(set);
    epoll_unlock(set);
    if (kernel) {
        int more = ask_kernel(set, epfd, events + n, max - n, 0, NULL, &rang);
        n += more > 0 ? more : 0;
    }
    return n;
}

/* True: armed, and counted as a sleeper in *bed (-1: the epfd); false: something is ready. */
static bool fall_asleep(struct epoll_set *set, int *bed)
{
    lock_take(&set->lock, LOCK_PRIVATE);
    *bed = atomic_load_explicit(&set->bed, memory_order_relaxed);
    if (set->client && set->epoch == client_epoch())
        arm(set);
    epoll_take_news(set);
    bool ready = epoll_has_news(set);
    if (!ready)
        set->sleepers++;
    else if (!set->sleepers && !epoll_is_nested(set) && set->client)
        dmm_disarm(&dmm_region_waitset(set->client->region, set->waitset)->armed);
    epoll_unlock(set);
    return !ready;
}

static void wake_up(struct epoll_set *set, int bed)
{
    lock_take(&set->lock, LOCK_PRIVATE);
    if (bed < 0)
        epoll_left_epfd(set);
    if (set->sleepers && --set->sleepers == 0 && !epoll_is_nested(set) && set->client)
        dmm_disarm(&dmm_region_waitset(set->client->region, set->waitset)->armed);
    epoll_unlock(set);
}

/* Milliseconds for epoll_wait, rounded up. */
static int left_ms(uint64_t deadline)
{
    if (deadline == UINT64_MAX)
        return -1;
    uint64_t now = waiter_now();
    if (deadline <= now)
        return 0;
    uint64_t ms = (deadline - now + 999999) / 1000000;
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static int sleep_once(struct epoll_set *set, int epfd, struct epoll_event *events, int max,
                      uint64_t deadline, const sigset_t *mask, bool *rang)
{
    struct recover_sleep back;
    int bed = -1;
    int n = 0;
    int place = epoll_bed(set, epfd);
    if (recover_begin(&back))
        watch_recovery(set, place, &back);
    if (fall_asleep(set, &bed)) {
        n = bed >= 0 ? sleep_in_bed(set, bed, epfd, events, max, left_ms(deadline), mask, rang)
                     : ask_kernel(set, epfd, events, max, left_ms(deadline), mask, rang);
        wake_up(set, bed);
    } else {
        *rang = true;
    }
    end_recovery(place, &back);
    return n;
}

static int await_set(struct epoll_set *set, int epfd, struct epoll_event *events, int max,
                     uint64_t deadline, const sigset_t *mask)
{
    for (;;) {
        bool rang = false;
        int n = look(set, epfd, events, max);
        if (n > 0)
            return n;
        if (deadline == 0)
            return ask_kernel(set, epfd, events, max, 0, mask, &rang);
        n = sleep_once(set, epfd, events, max, deadline, mask, &rang);
        if (n != 0)
            return n;
        if (!rang && deadline != UINT64_MAX && waiter_now() >= deadline)
            return look(set, epfd, events, max);
    }
}

int epoll_await(int epfd, struct epoll_event *events, int max, uint64_t deadline,
                const sigset_t *mask)
{
    struct entry *entry = entry_get(epfd);
    if (!entry)
        return EPOLL_NATIVE;
    int r = EPOLL_NATIVE;
    if (entry->kind == ENTRY_EPOLL && events && max > 0)
        r = await_set(entry->set, epfd, events, max, deadline, mask);
    entry_put(entry);
    return r;
}
