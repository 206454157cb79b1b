/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/ethdev.h"

#include "common/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RETRY_NS      100000000L /* between looks for a peer's socket */
#define CONNECT_TRIES 50         /* of POKE_NS each */
#define POKE_NS       20000000L  /* between pokes at an accept() that must end */

static struct timespec from_now(clockid_t clock, long ns)
{
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_nsec += ns;
    t.tv_sec += t.tv_nsec / 1000000000L;
    t.tv_nsec %= 1000000000L;
    return t;
}

static bool stopped(struct ethdev_port *p)
{
    return atomic_load_explicit(&p->stop, memory_order_acquire);
}

/* False while a peer that listens is plainly not there: spares DPDK an attempt. */
static bool worth_trying(const struct ethdev_port *p)
{
    struct stat st;
    return p->args.listens || (stat(p->args.path, &st) == 0 && S_ISSOCK(st.st_mode));
}

/* memif shakes hands after it was made; a worker that saw it down would give it back at once. */
static bool connected(struct ethdev_port *p)
{
    for (int i = 0; i < CONNECT_TRIES && !stopped(p); i++) {
        if (!p->args.polled || ethdev_dev_link(p))
            return true;
        struct timespec until = from_now(CLOCK_REALTIME, POKE_NS);
        (void)sem_timedwait(&p->wake, &until); /* woken early only to stop */
    }
    ethdev_dev_close(p);
    return false;
}

/* Makes the device; false: stopped. A failure that stays is told once. */
static bool make(struct ethdev_port *p)
{
    bool told = false;
    while (!stopped(p)) {
        struct dmm_err err = {0};
        if (worth_trying(p)) {
            if (ethdev_dev_open(p, &err) == 0) {
                if (connected(p))
                    return true;
                dmm_err_set(&err, ETIMEDOUT, "%s: no answer", p->args.path);
            }
            if (!told && !stopped(p))
                dmm_log(DMM_LOG_WARN, "port %s: %s; trying again", p->data.info.name, err.text);
            told = true;
        }
        struct timespec until = from_now(CLOCK_REALTIME, RETRY_NS);
        (void)sem_timedwait(&p->wake, &until); /* woken early only to stop */
    }
    return false;
}

/* Acquire: the worker is done with the device. */
static bool returned(struct ethdev_port *p)
{
    return atomic_load_explicit(&p->owner, memory_order_acquire) == ETHDEV_KEEPER;
}

static void *keep(void *arg)
{
    struct ethdev_port *p = arg;
    while (make(p)) {
        /* Release: the device as set up is what the worker finds. */
        atomic_store_explicit(&p->owner, ETHDEV_WORKER, memory_order_release);
        while (!stopped(p) && !returned(p))
            (void)sem_wait(&p->wake);
        /* Closed here even at the end: virtio_user writes to its dead peer, and SIGPIPE, like all
         * signals, is blocked in this thread alone. */
        ethdev_dev_close(p);
        atomic_store_explicit(&p->owner, ETHDEV_KEEPER, memory_order_relaxed);
    }
    return NULL;
}

int ethdev_keeper_start(struct ethdev_port *p, struct dmm_err *err)
{
    if (sem_init(&p->wake, 0, 0))
        return dmm_err_set(err, errno, "port %s: semaphore: %s", p->data.info.name,
                           strerror(errno));
    int rc = pthread_create(&p->keeper, NULL, keep, p);
    if (rc) {
        sem_destroy(&p->wake);
        return dmm_err_set(err, rc, "port %s: thread: %s", p->data.info.name, strerror(rc));
    }
    (void)pthread_setname_np(p->keeper, "dmm-ethdev");
    p->has_keeper = true;
    return 0;
}

void ethdev_keeper_return(struct ethdev_port *p)
{
    /* Release: pairs with the keeper's acquire; our last use of the device is over. */
    atomic_store_explicit(&p->owner, ETHDEV_KEEPER, memory_order_release);
    sem_post(&p->wake);
}

/* DPDK may sit in accept(): a connection that hangs up at once ends that. */
static void poke(const struct ethdev_port *p)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, p->args.path, strlen(p->args.path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)connect(fd, (struct sockaddr *)&un, sizeof(un));
    close(fd);
}

void ethdev_keeper_stop(struct ethdev_port *p)
{
    if (!p->has_keeper)
        return;
    atomic_store_explicit(&p->stop, true, memory_order_release);
    sem_post(&p->wake);
    for (;;) {
        struct timespec until = from_now(CLOCK_REALTIME, POKE_NS);
        if (pthread_timedjoin_np(p->keeper, NULL, &until) == 0)
            break;
        if (p->args.listens)
            poke(p);
    }
    sem_destroy(&p->wake);
    p->has_keeper = false;
}
