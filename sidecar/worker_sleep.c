/* SPDX-License-Identifier: Apache-2.0 */
/* Spinning and sleeping (DESIGN 5), and the thread that does nothing else between turns. */
#include "sidecar/worker_sleep.h"

#include "common/ring.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>

#define POLLED_PORT_NS UINT64_C(250000) /* a port without an fd is looked at this often */
#define MAX_EVENTS     32

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When something is due though no fd tells. */
static uint64_t next_deadline(struct dmm_worker *worker)
{
    uint64_t at = DMM_NEVER;
    bool ports = false;
    for (unsigned i = 0; i < worker->n_instances; i++) {
        struct dmm_instance *instance = worker->instances[i];
        if (!instance->up || !instance->ops)
            continue;
        at = earlier(at, instance->ops->next_deadline(instance->stack));
        for (unsigned p = 0; p < instance->n_ports; p++) {
            ports = true;
            if (instance->ports[p].blocked || instance->ports[p].unflushed)
                at = earlier(at, worker->now + DMM_PORT_RETRY_NS);
            if (instance->ports[p].port->ops->wait_fd(instance->ports[p].port) < 0)
                at = earlier(at, worker->now + POLLED_PORT_NS);
        }
    }
    for (unsigned i = 0; i < worker->n_clients; i++)
        if (worker->clients[i]->sweep_at)
            at = earlier(at, worker->clients[i]->sweep_at);
    return ports ? earlier(at, worker->refresh_at) : at;
}

/* Says to all who can wake us that they must. True: there is work after all. */
static bool arm(struct dmm_worker *worker)
{
    bool work = false;
    for (unsigned i = 0; i < worker->n_clients; i++)
        atomic_store_explicit(&worker->clients[i]->region->worker_armed, 1, memory_order_relaxed);
    /* Against the app's: publish a command, read worker_armed. One fence for all clients. */
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < worker->n_clients && !work; i++)
        work = dmm_client_has_work(worker->clients[i]);
    for (unsigned i = 0; i < worker->n_instances; i++) {
        struct dmm_instance *instance = worker->instances[i];
        for (unsigned p = 0; instance->up && p < instance->n_ports; p++)
            work |= instance->ports[p].port->ops->arm(instance->ports[p].port);
    }
    return work || atomic_load_explicit(&worker->calls_waiting, memory_order_acquire);
}

static void disarm(struct dmm_worker *worker)
{
    for (unsigned i = 0; i < worker->n_clients; i++)
        dmm_disarm(&worker->clients[i]->region->worker_armed);
    for (unsigned i = 0; i < worker->n_instances; i++) {
        struct dmm_instance *instance = worker->instances[i];
        for (unsigned p = 0; instance->up && p < instance->n_ports; p++)
            instance->ports[p].port->ops->disarm(instance->ports[p].port);
    }
}

/* Stacks' own fds: what they want now against what is in the epoll set. */
static void update_wait_fds(struct dmm_worker *worker)
{
    struct dmm_wait_fd want[DMM_MAPPING_INSTANCES * DMM_WORKER_FDS];
    unsigned n = 0;
    bool any = worker->n_wait != 0;
    for (unsigned i = 0; i < worker->n_instances; i++) {
        struct dmm_instance *instance = worker->instances[i];
        if (!instance->up || !instance->ops || !instance->ops->wait_fds)
            continue;
        any = true;
        struct dmm_wait_fd fds[DMM_WORKER_FDS];
        unsigned got = instance->ops->wait_fds(instance->stack, fds, DMM_WORKER_FDS);
        for (unsigned f = 0; f < got && f < DMM_WORKER_FDS; f++)
            want[n++] = fds[f];
    }
    if (!any)
        return;
    for (unsigned i = 0; i < worker->n_wait; i++) {
        bool kept = false;
        for (unsigned j = 0; j < n && !kept; j++)
            kept = want[j].fd == worker->wait[i].fd;
        if (!kept)
            epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, worker->wait[i].fd, NULL);
    }
    for (unsigned j = 0; j < n; j++) {
        /* POLLIN and POLLOUT are EPOLLIN and EPOLLOUT. A closed and reused number is added again.
         */
        struct epoll_event event = {.events = (uint32_t)want[j].events};
        if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, want[j].fd, &event) && errno == ENOENT)
            epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, want[j].fd, &event);
    }
    memcpy(worker->wait, want, n * sizeof(want[0]));
    worker->n_wait = n;
}

static void sleep_until(struct dmm_worker *worker, uint64_t deadline)
{
    struct epoll_event events[MAX_EVENTS];
    struct timespec wait;
    uint64_t start = dmm_worker_clock();
    uint64_t ns = deadline <= start ? 0 : deadline - start;
    wait.tv_sec = (time_t)(ns / 1000000000);
    wait.tv_nsec = (long)(ns % 1000000000);
    atomic_store_explicit(&worker->sleeping, 1, memory_order_relaxed);
    int n = epoll_pwait2(worker->epoll_fd, events, MAX_EVENTS, deadline == DMM_NEVER ? NULL : &wait,
                         NULL);
    atomic_store_explicit(&worker->sleeping, 0, memory_order_relaxed);
    worker->stats.sleeps++;
    /* A deadline's end says nothing of what spinning would have been worth. */
    if (n > 0)
        dmm_spin_slept(&worker->spin, dmm_worker_clock() - start);
}

void dmm_worker_idle(struct dmm_worker *worker)
{
    if (worker->spin.window) {
        sched_yield();
        uint64_t after = dmm_worker_clock();
        worker->stats.yields += after - worker->now > DMM_SPIN_SHARED;
        if (dmm_spin_again(&worker->spin, after - worker->now)) {
            worker->stats.spins++;
            return;
        }
    }
    update_wait_fds(worker);
    uint64_t deadline = next_deadline(worker);
    if (!arm(worker) && deadline > worker->now)
        sleep_until(worker, deadline);
    disarm(worker);
}

static void *run(void *arg)
{
    struct dmm_worker *worker = arg;
    while (!worker->stop) {
        if (dmm_worker_turn(worker))
            dmm_spin_work(&worker->spin);
        else
            dmm_worker_idle(worker);
    }
    return NULL;
}

int dmm_worker_start(struct dmm_worker *worker, struct dmm_err *err)
{
    int rc = pthread_create(&worker->thread, NULL, run, worker);
    if (rc)
        return dmm_err_set(err, rc, "worker thread: %s", strerror(rc));
    pthread_setname_np(worker->thread, DMM_WORKER_THREAD);
    worker->started = true;
    return 0;
}

static void stop_turns(void *arg)
{
    struct dmm_worker *worker = arg;
    worker->stop = true;
}

void dmm_worker_stop(struct dmm_worker *worker)
{
    if (!worker->started)
        return;
    dmm_worker_call(worker, stop_turns, worker);
    pthread_join(worker->thread, NULL);
    worker->started = false;
}
