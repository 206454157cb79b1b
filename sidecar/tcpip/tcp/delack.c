/* SPDX-License-Identifier: Apache-2.0 */
/* Delayed ACKs (RFC 9293, 3.8.6.3; RFC 1122, 4.2.3.2). Nearly every segment starts one and nearly
 * every answer stops it: a queue for each delay costs neighbours that came just before and after,
 * where a timer of each connection's own would be moved to and fro on the wheel. */
#include "sidecar/tcpip/tcp/tcb.h"

#define FIRST_ANSWER_NS (1 * MS_NS)

/* The first of the list; NULL if it is not due, and then *next is not after its time. */
static struct tcb *first_due(const struct list_node *waiting, uint64_t now, uint64_t *next)
{
    struct tcb *t;

    if (list_empty(waiting))
        return NULL;
    t = list_entry(waiting->next, struct tcb, delayed);
    if (t->ack_due <= now)
        return t;
    if (t->ack_due < *next)
        *next = t->ack_due;
    return NULL;
}

static void fire(struct tcpip *ip, struct wheel_timer *timer)
{
    struct delack_queue *queue = list_entry(timer, struct delack_queue, timer);
    uint64_t next;
    bool more;

    do {
        next = UINT64_MAX;
        more = false;
        for (unsigned way = 0; way < DELACK_WAYS; way++) {
            struct tcb *t = first_due(&queue->waiting[way], ip->now, &next);

            if (t == NULL)
                continue;
            more = true;
            list_del(&t->delayed);
            __builtin_prefetch(queue->waiting[way].next);
            t->flags |= TCB_ACK_NOW;
            t->flags &= ~(uint32_t)TCB_PINGPONG; /* the application did not answer in time */
            tcb_schedule(t);
        }
    } while (more);
    if (next != UINT64_MAX)
        wheel_arm(&ip->wheel, timer, next);
}

void delack_create(struct tcp *tcp)
{
    for (unsigned i = 0; i < DELACK_N; i++) {
        for (unsigned way = 0; way < DELACK_WAYS; way++)
            list_init(&tcp->delack[i].waiting[way]);
        tcp->delack[i].timer.fire = fire;
    }
}

void delack_start(struct tcb *t, enum delack_reason why)
{
    struct tcpip *ip = t->s.ip;
    struct delack_queue *queue = &ip->tcp->delack[why];

    if (list_linked(&t->delayed))
        return;
    t->ack_due = ip->now +
                 (why == DELACK_FIRST_ANSWER ? FIRST_ANSWER_NS : ip->config.delayed_ack_ms * MS_NS);
    list_add_tail(&queue->waiting[queue->way++ % DELACK_WAYS], &t->delayed);
    if (!wheel_armed(&queue->timer))
        wheel_arm(&ip->wheel, &queue->timer, t->ack_due);
}
