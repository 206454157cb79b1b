/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping a virtio_user device without leaving DPDK's interrupt thread at work on it.
 *
 * When its peer hangs up, that thread runs the driver's interrupt handler, and each look at the
 * link, there or by the worker, sets an alarm 1 us ahead whose handler runs on that thread too: it
 * takes the interrupt handler off the connection and, with server=1, puts it on the listening
 * socket. DPDK 22.11 waits for neither: to stop a device while its interrupt handler runs leaves
 * the handler registered (rte_intr_callback_unregister() says EAGAIN, which the driver ignores),
 * and closing it leaves the alarms pending. Both then run on freed memory.
 *
 * So the device is stopped on the interrupt thread itself, by an alarm, when no handler can run;
 * and in an alarm that runs next after all those that were pending, as alarms run in the order of
 * their times:
 *     last_look()  no handler of the device runs now; those that ran set alarms due 1 us later at
 *                  most. Sets stop_now() for after these, and returns only when that is due.
 *     stop_now()   runs after these and before the thread looks at its fds again. None is pending,
 *                  so nothing registers the handler again once the stop took it off.
 */
#include "sidecar/port/ethdev.h"

#include <rte_alarm.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>

#define AFTER_PENDING_US 50 /* above the driver's 1 us */
#define RETRY_US         1000

struct stopping {
    uint16_t id;
    bool stopped; /* by the interrupt thread before it posts `done` */
    sem_t done;
};

static void stop_now(void *arg)
{
    struct stopping *s = arg;
    (void)rte_eth_dev_stop(s->id);
    s->stopped = true;
    sem_post(&s->done);
}

static void last_look(void *arg)
{
    struct stopping *s = arg;
    if (rte_eal_alarm_set(AFTER_PENDING_US, stop_now, s))
        sem_post(&s->done);
    else
        rte_delay_us_sleep(2 * AFTER_PENDING_US);
}

void ethdev_dev_stop(struct ethdev_port *p)
{
    if (!p->args.virtio_user) {
        (void)rte_eth_dev_stop(p->dev.id);
        return;
    }
    struct stopping s = {.id = p->dev.id};
    (void)sem_init(&s.done, 0, 0); /* fails only for values and sharing that we don't ask for */
    while (!s.stopped) {
        if (rte_eal_alarm_set(1, last_look, &s)) /* out of memory: there is no way without */
            rte_delay_us_sleep(RETRY_US);
        else
            while (sem_wait(&s.done))
                ; /* EINTR */
    }
    sem_destroy(&s.done);
}
