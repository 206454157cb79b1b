/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counters: what an instance counts, by reason. One list makes the struct and the names that
 * `dmmctl stats` shows, so they can't differ.
 *
 * Names are snake_case and stay the same over versions. Counters only grow. A frame that is not
 * delivered raises exactly one counter whose name ends in _drop, _bad or _limit at the place where
 * it ends; segments that were merged with the one before (tcp_merged) share its fate. Owned by the
 * instance, its worker thread only.
 */
#ifndef DMM_SIDECAR_TCPIP_COUNTERS_H
#define DMM_SIDECAR_TCPIP_COUNTERS_H

#include <stdint.h>

#define TCPIP_COUNTERS(C)                                                                          \
    /* frames */                                                                                   \
    C(rx_frames)                                                                                   \
    C(tx_frames)                                                                                   \
    C(tx_blocked)                                                                                  \
    C(tx_error_drop)                                                                               \
    C(eth_short_bad)                                                                               \
    C(eth_type_drop)                                                                               \
    C(eth_dst_drop)                                                                                \
    C(loop_full_limit)                                                                             \
    /* ARP (RFC 826, 5227) and neighbour discovery (RFC 4861, 4862) */                             \
    C(arp_in)                                                                                      \
    C(arp_out)                                                                                     \
    C(arp_bad)                                                                                     \
    C(arp_conflict)                                                                                \
    C(nd_in)                                                                                       \
    C(nd_out)                                                                                      \
    C(nd_bad)                                                                                      \
    C(nd_dad_failed)                                                                               \
    C(nd_ra_in)                                                                                    \
    C(nd_ra_limit)                                                                                 \
    C(nd_conflict)                                                                                 \
    C(nd_redirect_drop)                                                                            \
    C(group_in)                                                                                    \
    C(group_out)                                                                                   \
    C(group_bad)                                                                                   \
    C(neigh_limit)                                                                                 \
    C(neigh_queue_limit)                                                                           \
    C(neigh_failed_drop)                                                                           \
    /* IP */                                                                                       \
    C(ip4_in)                                                                                      \
    C(ip4_out)                                                                                     \
    C(ip4_header_bad)                                                                              \
    C(ip4_csum_bad)                                                                                \
    C(ip4_options_drop)                                                                            \
    C(ip6_in)                                                                                      \
    C(ip6_out)                                                                                     \
    C(ip6_header_bad)                                                                              \
    C(ip6_ext_bad)                                                                                 \
    C(ip6_ext_limit)                                                                               \
    C(ip_src_bad)                                                                                  \
    C(ip_dst_drop)                                                                                 \
    C(ip_proto_drop)                                                                               \
    C(ip_no_route)                                                                                 \
    C(ip_too_big)                                                                                  \
    C(frag_in)                                                                                     \
    C(frag_out)                                                                                    \
    C(frag_done)                                                                                   \
    C(frag_bad)                                                                                    \
    C(frag_overlap_drop)                                                                           \
    C(frag_timeout_drop)                                                                           \
    C(frag_limit)                                                                                  \
    /* ICMP (RFC 792, 4443) */                                                                     \
    C(icmp_in)                                                                                     \
    C(icmp_out)                                                                                    \
    C(icmp_bad)                                                                                    \
    C(icmp_type_drop)                                                                              \
    C(icmp_rate_limit)                                                                             \
    C(icmp_error_in)                                                                               \
    C(icmp_error_drop)                                                                             \
    C(pmtu_updates)                                                                                \
    C(pmtu_limit)                                                                                  \
    /* UDP (RFC 768) */                                                                            \
    C(udp_in)                                                                                      \
    C(udp_out)                                                                                     \
    C(udp_csum_bad)                                                                                \
    C(udp_header_bad)                                                                              \
    C(udp_port_drop)                                                                               \
    C(udp_full_drop)                                                                               \
    C(udp_send_error)                                                                              \
    /* TCP (RFC 9293) */                                                                           \
    C(tcp_in)                                                                                      \
    C(tcp_out)                                                                                     \
    C(tcp_in_bytes)                                                                                \
    C(tcp_merged)                                                                                  \
    C(tcp_out_bytes)                                                                               \
    C(tcp_csum_bad)                                                                                \
    C(tcp_header_bad)                                                                              \
    C(tcp_port_drop)                                                                               \
    C(tcp_active_opens)                                                                            \
    C(tcp_passive_opens)                                                                           \
    C(tcp_established)                                                                             \
    C(tcp_attempt_fails)                                                                           \
    C(tcp_resets_in)                                                                               \
    C(tcp_resets_out)                                                                              \
    C(tcp_reset_bad)                                                                               \
    C(tcp_paws_drop)                                                                               \
    C(tcp_window_drop)                                                                             \
    C(tcp_ack_bad)                                                                                 \
    C(tcp_syn_bad)                                                                                 \
    C(tcp_state_drop)                                                                              \
    C(tcp_after_close_drop)                                                                        \
    C(tcp_challenge_acks)                                                                          \
    C(tcp_challenge_limit)                                                                         \
    C(tcp_deferred)                                                                                \
    C(tcp_listen_overflow_drop)                                                                    \
    C(tcp_half_open_limit)                                                                         \
    C(tcp_connection_limit)                                                                        \
    C(tcp_time_wait)                                                                               \
    C(tcp_time_wait_reused)                                                                        \
    C(tcp_time_wait_limit)                                                                         \
    C(tcp_syn_cookies_sent)                                                                        \
    C(tcp_syn_cookies_ok)                                                                          \
    C(tcp_syn_cookies_bad)                                                                         \
    C(tcp_ooo_queued)                                                                              \
    C(tcp_ooo_limit)                                                                               \
    C(tcp_duplicates)                                                                              \
    C(tcp_rx_full_held)                                                                            \
    C(tcp_rx_full_drop)                                                                            \
    C(tcp_retransmits)                                                                             \
    C(tcp_fast_recoveries)                                                                         \
    C(tcp_rto)                                                                                     \
    C(tcp_tlp)                                                                                     \
    C(tcp_spurious_rto)                                                                            \
    C(tcp_spurious_recovery)                                                                       \
    C(tcp_dsack_in)                                                                                \
    C(tcp_sack_bad)                                                                                \
    C(tcp_sack_limit)                                                                              \
    C(tcp_ecn_ce_in)                                                                               \
    C(tcp_ecn_echo_in)                                                                             \
    C(tcp_persist_probes)                                                                          \
    C(tcp_keepalive_probes)                                                                        \
    C(tcp_timeouts)                                                                                \
    C(tcp_pmtu_black_holes)

#define TCPIP_COUNTER_FIELD(name) uint64_t name;
struct tcpip_counters {
    TCPIP_COUNTERS(TCPIP_COUNTER_FIELD)
};
#undef TCPIP_COUNTER_FIELD

/* Calls emit(arg, name, value) for each counter, in the list's order. */
void tcpip_counters_emit(const struct tcpip_counters *counters,
                         void (*emit)(void *arg, const char *name, uint64_t value), void *arg);

#endif
