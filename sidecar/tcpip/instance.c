/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/instance.h"

#include "sidecar/tcpip/ip.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void tcpip_config_default(struct tcpip_config *config)
{
    *config = (struct tcpip_config){
        .congestion_control = "cubic",
        .ecn = TCPIP_ECN_PASSIVE,
        .syn_cookies = true,
        .timestamps = true,
        .sack = true,
        .wscale = true,
        .ip6_autoconf = true,
        .ports_first = 32768,
        .ports_last = 60999,
        .initial_window = 10,
        .min_rto_ms = 200,
        .delayed_ack_ms = 40,
        .time_wait_ms = 60000,
        .max_connections = 1000000,
        .max_half_open = 4096,
        .max_time_wait = 65536,
        .max_out_of_order = 64 * 1024 * 1024,
        .max_neighbours = 1024,
        .max_fragments = 1024 * 1024,
        .max_pmtu = 1024,
        .icmp_rate = 1000,
        .challenge_rate = 1000,
    };
}

int tcpip_create(const struct tcpip_config *config, const struct dmm_host *host, struct tcpip **out,
                 char *err, size_t errlen)
{
    struct tcpip *ip = calloc(1, sizeof(*ip));
    int rc = -ENOMEM;

    if (ip == NULL) {
        snprintf(err, errlen, "out of memory");
        return rc;
    }
    ip->host = host;
    ip->config = *config;
    tcpip_enter(ip);
    tcpip_random(ip, &ip->hash_key, sizeof(ip->hash_key));
    wheel_init(&ip->wheel, ip->now);

    rc = net_create(ip, err, errlen);
    if (rc == 0)
        rc = udp_create(ip, err, errlen);
    if (rc == 0)
        rc = tcp_create(ip, err, errlen);
    if (rc < 0) {
        tcpip_destroy(ip);
        return rc;
    }
    *out = ip;
    return 0;
}

void tcpip_destroy(struct tcpip *ip)
{
    wheel_clear(&ip->wheel); /* TCP frees its connections by whole chunks, timers and all */
    tcp_destroy(ip);
    udp_destroy(ip);
    net_destroy(ip);
    free(ip);
}

void tcpip_frames(struct tcpip *ip, unsigned port, const struct dmm_frame *frames, unsigned n)
{
    tcpip_enter(ip);
    for (unsigned some; n > 0; frames += some, n -= some) {
        some = n < TCP_LOOK_AHEAD ? n : TCP_LOOK_AHEAD;
        tcp_look_ahead(ip, frames, some);
        net_frames(ip, port, frames, some);
    }
}

void tcpip_port_writable(struct tcpip *ip, unsigned port)
{
    tcpip_enter(ip);
    tcp_port_writable(ip, port);
    udp_port_writable(ip, port);
}

void tcpip_port_changed(struct tcpip *ip, unsigned port)
{
    tcpip_enter(ip);
    net_port_changed(ip, port);
}

unsigned tcpip_poll(struct tcpip *ip)
{
    unsigned done;

    tcpip_enter(ip);
    done = wheel_advance(&ip->wheel, ip, ip->now);
    done += net_poll(ip);
    done += tcp_poll_output(ip);
    done += udp_poll(ip);
    return done;
}

uint64_t tcpip_next_deadline(struct tcpip *ip)
{
    if (net_pending(ip) || tcp_pending(ip) || udp_pending(ip))
        return 0;
    return wheel_next(&ip->wheel);
}

const struct tcpip_counters *tcpip_counters(const struct tcpip *ip)
{
    return &ip->count;
}
