/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instance: life cycle, timers, statistics, ops table.
 *
 * Timers. lwIP's own list of timeouts would wake an idle sidecar 20 times a second (IGMP and MLD
 * run every 100 ms). Its parts' timer functions are called from here instead, each only while there
 * is something for it: TCP while connections exist, IGMP and MLD while a report is due.
 */
#include "common/log.h"
#include "sidecar/stacks/built_in.h"
#include "sidecar/stacks/lwip/lw.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS     (1000ull * LW_NS_PER_MS)
#define TCP_TICK_NS   ((uint64_t)TCP_TMR_INTERVAL * LW_NS_PER_MS)
#define GROUP_TICK_NS ((uint64_t)IGMP_TMR_INTERVAL * LW_NS_PER_MS)
#define SCRATCH_SIZE  65536

/* lwIP searches its list of TIME-WAIT for every SYN, and keeps each for two minutes: a server that
 * closes first would come to a halt. The oldest go early, as Linux's tcp_max_tw_buckets has it. */
#define TIME_WAIT_MAX 512

/* ---- life ---- */

static int create_instance(struct lw_stack *stack, const struct dmm_stack_config *config, char *err,
                           size_t errlen)
{
    const struct dmm_host *host = stack->host;
    int rc = lw_config_parse(&stack->config, config->options, err, errlen);
    if (rc)
        return rc;
    snprintf(stack->name, sizeof(stack->name), "%s", config->name);
    stack->scratch = malloc(SCRATCH_SIZE);
    if (!stack->scratch) {
        snprintf(err, errlen, "out of memory");
        return -ENOMEM;
    }
    host->random(host, stack->isn_key, sizeof(stack->isn_key));
    rc = lw_calls_open(lw_hooks, lw_n_hooks, err, errlen);
    if (!rc)
        rc = lw_ports_create(stack, err, errlen);
    if (!rc && lw_icmp_start(stack)) {
        lw_ports_destroy(stack);
        stack->ports = NULL;
        snprintf(err, errlen, "out of memory");
        rc = -ENOMEM;
    }
    return rc;
}

static int create(const struct dmm_stack_config *config, const struct dmm_host *host, void **out,
                  char *err, size_t errlen)
{
    if (host->abi != DMM_STACK_ABI || host->size < sizeof(struct dmm_host)) {
        snprintf(err, errlen, "the host's ABI is %u, not %d", host->abi, DMM_STACK_ABI);
        return -EPROTO;
    }
    if (lw_stack_current) {
        snprintf(err, errlen, "lwip keeps global state: there is an instance already, \"%s\"",
                 lw_stack_current->name);
        return -EBUSY;
    }
    struct lw_stack *stack = calloc(1, sizeof(*stack));
    if (!stack) {
        snprintf(err, errlen, "out of memory");
        return -ENOMEM;
    }
    stack->host = host;
    lw_stack_current = stack; /* the clock that lwip_init() asks for */
    int rc = create_instance(stack, config, err, errlen);
    if (rc) {
        lw_stack_current = NULL;
        free(stack->ports);
        free(stack->scratch);
        free(stack);
        return rc;
    }
    *out = stack;
    return 0;
}

/* What closed sockets left behind: FIN-WAIT, LAST-ACK, TIME-WAIT. */
static void abandon_all(struct tcp_pcb **list)
{
    while (*list)
        lw.tcp_abandon(*list, 0);
}

static void destroy(void *arg)
{
    struct lw_stack *stack = arg;
    stack->silent = true;
    abandon_all(lw.tcp_active_pcbs);
    abandon_all(lw.tcp_tw_pcbs);
    lw_icmp_stop(stack);
    lw_ports_destroy(stack);
    lw_stack_current = NULL;
    free(stack->scratch);
    free(stack);
}

/* ---- packets ---- */

static void input(void *arg, unsigned port, const struct dmm_frame *frames, unsigned n)
{
    struct lw_stack *stack = arg;
    lw_ports_start(stack);
    for (unsigned i = 0; i < n; i++)
        lw_input(&stack->ports[port], &frames[i]);
}

static void port_writable(void *arg, unsigned port)
{
    struct lw_stack *stack = arg;
    stack->ports[port].blocked = false;
    lw.tcp_txnow();
    for (struct lw_sock *s = stack->sockets; s; s = s->next)
        if (s->tx_blocked)
            lw_udp_send(s);
}

static void port_changed(void *arg, unsigned port)
{
    struct lw_stack *stack = arg;
    lw_port_refresh(&stack->ports[port]);
    if (stack->started)
        lw_ports_bring_up(stack);
}

/* ---- timers ---- */

static bool tcp_is_busy(void)
{
    return *lw.tcp_active_pcbs || *lw.tcp_tw_pcbs;
}

/* An IGMP or MLD report that waits for its random delay. */
static bool group_is_busy(const struct lw_stack *stack)
{
    for (unsigned i = 0; i < stack->n_ports; i++) {
        const struct netif *netif = &stack->ports[i].netif;
        for (const struct igmp_group *g = netif_igmp_data(netif); g; g = g->next)
            if (g->timer)
                return true;
        for (const struct mld_group *g = netif_mld6_data(netif); g; g = g->next)
            if (g->timer)
                return true;
    }
    return false;
}

/* Whether a timer is due. One that was not needed starts anew with a whole interval. */
static bool is_due(uint64_t *next, bool needed, uint64_t now, uint64_t interval)
{
    if (!needed) {
        *next = DMM_NEVER;
        return false;
    }
    if (*next == DMM_NEVER)
        *next = now + interval;
    if (now < *next)
        return false;
    /* Missed ticks are dropped, not made up: a worker that was stopped must not time all out. */
    *next = *next + interval > now ? *next + interval : now + interval;
    return true;
}

static void age_time_wait(void)
{
    unsigned n = 0;
    for (struct tcp_pcb *pcb = *lw.tcp_tw_pcbs; pcb; pcb = pcb->next)
        if (++n > TIME_WAIT_MAX)
            pcb->tmr = *lw.tcp_ticks - 2 * TCP_MSL / TCP_SLOW_INTERVAL - 2;
}

static unsigned run_timers(struct lw_stack *stack, uint64_t now)
{
    unsigned done = 0;
    if (is_due(&stack->next_tcp, tcp_is_busy(), now, TCP_TICK_NS)) {
        age_time_wait();
        lw.tcp_tmr();
        done++;
    }
    if (is_due(&stack->next_second, true, now, SECOND_NS)) {
        lw.etharp_tmr();
        lw.ip_reass_tmr();
        lw.nd6_tmr();
        lw.ip6_reass_tmr();
        done++;
    }
    if (is_due(&stack->next_group, group_is_busy(stack), now, GROUP_TICK_NS)) {
        lw.igmp_tmr();
        lw.mld6_tmr();
        done++;
    }
    return done;
}

static unsigned poll(void *arg)
{
    struct lw_stack *stack = arg;
    unsigned done = 0;
    lw_ports_start(stack);
    done += run_timers(stack, stack->host->now(stack->host));
    if (stack->loop_pending) {
        /* One round per turn: what it causes is the next turn's. */
        stack->loop_pending = false;
        for (unsigned i = 0; i < stack->n_ports; i++)
            lw.netif_poll(&stack->ports[i].netif);
        done++;
    }
    return done;
}

static uint64_t next_deadline(void *arg)
{
    struct lw_stack *stack = arg;
    uint64_t now = stack->host->now(stack->host);
    if (!stack->started || stack->loop_pending)
        return now;
    /* Work may have come since poll(): a timer that did not run then has a deadline from now. */
    uint64_t tcp = tcp_is_busy() ? LWIP_MIN(stack->next_tcp, now + TCP_TICK_NS) : DMM_NEVER;
    uint64_t group =
        group_is_busy(stack) ? LWIP_MIN(stack->next_group, now + GROUP_TICK_NS) : DMM_NEVER;
    return LWIP_MIN(LWIP_MIN(tcp, group), stack->next_second);
}

/* ---- statistics ---- */

static void stats(void *arg, dmm_stat_fn *emit, void *emit_arg)
{
    const struct lw_stack *stack = arg;
    const struct lw_stats *st = &stack->stats;
    const struct {
        const char *name;
        uint64_t value;
    } table[] = {
        {"rx_frames", st->rx_frames},
        {"rx_dropped", st->rx_dropped},
        {"tx_frames", st->tx_frames},
        {"tx_gso_frames", st->tx_gso_frames},
        {"tx_full", st->tx_full},
        {"tx_errors", st->tx_errors},
        {"tcp_syn_dropped", st->syn_dropped},
        {"tcp_accepted", st->accepted},
        {"tcp_connected", st->connected},
        {"tcp_resets", st->resets},
        {"tcp_timeouts", st->timeouts},
        {"tcp_retransmits", st->retransmits},
        {"udp_rx_datagrams", st->udp_rx},
        {"udp_tx_datagrams", st->udp_tx},
        {"udp_tx_dropped", st->udp_tx_dropped},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        emit(emit_arg, table[i].name, table[i].value);
    uint64_t n = 0;
    for (const struct tcp_pcb *pcb = *lw.tcp_active_pcbs; pcb; pcb = pcb->next)
        n++;
    emit(emit_arg, "tcp_connections", n);
    n = 0;
    for (const struct tcp_pcb *pcb = *lw.tcp_tw_pcbs; pcb; pcb = pcb->next)
        n++;
    emit(emit_arg, "tcp_time_wait", n);
}

const struct dmm_stack_ops dmm_stack_lwip_ops = {
    .abi = DMM_STACK_ABI,
    .size = sizeof(struct dmm_stack_ops),
    .type = "lwip",
    .capabilities = DMM_STACK_TCP | DMM_STACK_UDP | DMM_STACK_IPV4 | DMM_STACK_IPV6 |
                    DMM_STACK_PORTS | DMM_STACK_SINGLE,
    .create = create,
    .destroy = destroy,
    .input = input,
    .port_writable = port_writable,
    .port_changed = port_changed,
    .poll = poll,
    .next_deadline = next_deadline,
    .open = lw_open,
    .bind = lw_bind,
    .listen = lw_listen,
    .connect = lw_connect,
    .send_ready = lw_send_ready,
    .receive_space = lw_receive_space,
    .accept_ready = lw_accept_ready,
    .shutdown = lw_shutdown,
    .close = lw_close,
    .setsockopt = lw_setsockopt,
    .getsockopt = lw_getsockopt,
    .socket_info = lw_socket_info,
    .stats = stats,
};
