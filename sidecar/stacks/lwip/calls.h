/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls: the binding to Debian's liblwip, made at run time.
 *
 * Why not link with it: liblwip exports some 500 plain names (tcp_input, list_add, mem_malloc, ...)
 * that must not meet ours in one link, and a sidecar that runs no lwip instance should not load it.
 * So the library is opened with dlopen(RTLD_LOCAL) by the first lwip instance, and `lw` holds the
 * addresses of what the stack uses.
 *
 * What lwIP calls of its own is redirected too: where its configuration left no hook but the call
 * goes through the library's procedure linkage table (every call between its files does), the
 * table's slot is overwritten with a function of hooks.c. lw_calls_open() fails if a slot is not
 * found, so a library that was built otherwise is refused and never half redirected.
 *
 * Globals: `lw`, written once before the first instance exists, constant afterwards. lwIP's own
 * state is global too: hence DMM_STACK_SINGLE, and one thread at a time.
 */
#ifndef DMM_SIDECAR_STACKS_LWIP_CALLS_H
#define DMM_SIDECAR_STACKS_LWIP_CALLS_H

#include <lwip/etharp.h>
#include <lwip/ethip6.h>
#include <lwip/icmp.h>
#include <lwip/icmp6.h>
#include <lwip/igmp.h>
#include <lwip/inet_chksum.h>
#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/ip4_frag.h>
#include <lwip/ip6_frag.h>
#include <lwip/mld6.h>
#include <lwip/nd6.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/nd6_priv.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/prot/ethernet.h>
#include <lwip/prot/tcp.h>
#include <lwip/prot/udp.h>
#include <lwip/raw.h>
#include <lwip/tcp.h>
#include <lwip/tcpip.h>
#include <lwip/udp.h>
#include <netif/ethernet.h>

#include <stddef.h>

/* Functions and (the last line) variables of liblwip that the stack uses: X(name). */
#define LW_CALLS(X)                                                                                \
    X(lwip_init)                                                                                   \
    X(netif_add)                                                                                   \
    X(netif_remove)                                                                                \
    X(netif_set_up)                                                                                \
    X(netif_set_link_up)                                                                           \
    X(netif_set_link_down)                                                                         \
    X(netif_set_default)                                                                           \
    X(netif_create_ip6_linklocal_address)                                                          \
    X(netif_ip6_addr_set)                                                                          \
    X(netif_ip6_addr_set_state)                                                                    \
    X(netif_poll)                                                                                  \
    X(ip_input)                                                                                    \
    X(ethernet_input)                                                                              \
    X(ethernet_output)                                                                             \
    X(etharp_output)                                                                               \
    X(etharp_request)                                                                              \
    X(etharp_find_addr)                                                                            \
    X(etharp_tmr)                                                                                  \
    X(ethip6_output)                                                                               \
    X(ip_reass_tmr)                                                                                \
    X(ip6_reass_tmr)                                                                               \
    X(igmp_tmr)                                                                                    \
    X(igmp_joingroup_netif)                                                                        \
    X(igmp_leavegroup_netif)                                                                       \
    X(mld6_tmr)                                                                                    \
    X(mld6_joingroup_netif)                                                                        \
    X(mld6_leavegroup_netif)                                                                       \
    X(nd6_tmr)                                                                                     \
    X(nd6_input)                                                                                   \
    X(nd6_get_next_hop_addr_or_queue)                                                              \
    X(ip4_addr_isbroadcast_u32)                                                                    \
    X(ip4_frag)                                                                                    \
    X(ip6_frag)                                                                                    \
    X(ip6_select_source_address)                                                                   \
    X(ip_chksum_pseudo)                                                                            \
    X(lwip_chksum_copy)                                                                            \
    X(pbuf_alloc)                                                                                  \
    X(pbuf_free)                                                                                   \
    X(pbuf_free_header)                                                                            \
    X(pbuf_copy_partial)                                                                           \
    X(raw_new_ip_type)                                                                             \
    X(raw_recv)                                                                                    \
    X(raw_bind)                                                                                    \
    X(raw_remove)                                                                                  \
    X(tcp_new_ip_type)                                                                             \
    X(tcp_bind)                                                                                    \
    X(tcp_connect)                                                                                 \
    X(tcp_listen_with_backlog_and_err)                                                             \
    X(tcp_accept)                                                                                  \
    X(tcp_arg)                                                                                     \
    X(tcp_recv)                                                                                    \
    X(tcp_sent)                                                                                    \
    X(tcp_err)                                                                                     \
    X(tcp_poll)                                                                                    \
    X(tcp_write)                                                                                   \
    X(tcp_output)                                                                                  \
    X(tcp_split_unsent_seg)                                                                        \
    X(tcp_rexmit)                                                                                  \
    X(tcp_rexmit_rto_commit)                                                                       \
    X(tcp_update_rcv_ann_wnd)                                                                      \
    X(tcp_shutdown)                                                                                \
    X(tcp_close)                                                                                   \
    X(tcp_abort)                                                                                   \
    X(tcp_abandon)                                                                                 \
    X(tcp_tmr)                                                                                     \
    X(tcp_txnow)                                                                                   \
    X(tcp_next_iss)                                                                                \
    X(tcpip_try_callback)                                                                          \
    X(udp_new_ip_type)                                                                             \
    X(udp_bind)                                                                                    \
    X(udp_connect)                                                                                 \
    X(udp_disconnect)                                                                              \
    X(udp_recv)                                                                                    \
    X(udp_remove)                                                                                  \
    X(udp_sendto_if_src)                                                                           \
    X(ip_data)                                                                                     \
    X(tcp_active_pcbs)                                                                             \
    X(tcp_tw_pcbs) X(tcp_bound_pcbs) X(tcp_listen_pcbs) X(tcp_input_pcb) X(tcp_ticks)

struct lw_calls {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a member's name */
#define LW_CALL_MEMBER(name) __typeof__(&(name)) name;
    LW_CALLS(LW_CALL_MEMBER)
#undef LW_CALL_MEMBER
};

extern struct lw_calls lw;

/* A redirected call: lwIP's calls of `name` reach `hook`. */
struct lw_hook {
    const char *name;
    void (*hook)(void);
};

/* Opens the library (once per process; later calls return at once), fills `lw`, redirects `hooks`
 * and initializes lwIP. Returns 0 or a negative errno with a message in err[errlen]. */
int lw_calls_open(const struct lw_hook *hooks, size_t n_hooks, char *err, size_t errlen);

#endif
