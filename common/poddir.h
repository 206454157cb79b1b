/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poddir: the pod directory, by which the CNI plugin tells the sidecar and the shim what to do.
 *
 *   <root>/pods/<pod uid or container id>/       0755; root is /run/dmm unless configured
 *     pod.json           who: {"version":1,"podUid","podName","podNamespace","containerId","netns"}
 *                        (and "cgroupPath" where the runtime tells it)
 *     stacks.json        {"version":1,"stacks":[{"name":"fast","type":"lwip","ports":["net1"],
 *                          "options":{…}}]}   "kernel" is implied
 *     mapping.json       the stack mapping in its canonical form (docs/mapping.md)
 *     on_failure         "fail\n" or "kernel\n": what the shim does while there is no sidecar
 *     ports/<ifname>.json  one per attachment, see struct dmm_port_config: {"version":1,"ifname":
 *                          "net1","kind":"packet","link":"veth","mac":"02:00:00:00:00:01","mtu":
 *                          1500,"addresses":["10.88.0.2/16"],"routes":[{"dst":"0.0.0.0/0","gw":
 *                          "10.88.0.1"}]}; mac, gw may be absent; kind "ethdev" has "devargs",
 *                          and may have "socketMode" (a number) and "socketGid",
 *                          kind "tap" may have "vhostNet" ("auto", "on"),
 *                          kind "afxdp" has "xskMap" and "queues", and may have "busyPoll" with
 *                          "busyPollBudget"
 *     stackd.sock        the sidecar's attach socket (made by the sidecar)
 *     api.sock           the sidecar's HTTP API (made by the sidecar)
 *     *.sock             vhost-user sockets, where the link has them
 *
 * Every file is written to a temporary name and renamed over, so a reader sees the old or the new
 * one whole. Nothing here outlives the node's uptime, so nothing is synced to a disk. The CNI
 * plugin writes, the sidecar reads and watches; mapping.json alone may be rewritten while the pod
 * runs.
 *
 * Paths in devargs are the node's; the sidecar finds what lies in the pod directory where it sees
 * that (sidecar/podpath.h).
 *
 * Parsing here is pure (text in, struct out): json files are read by the caller with a size limit.
 * Any thread.
 */
#ifndef DMM_COMMON_PODDIR_H
#define DMM_COMMON_PODDIR_H

#include "common/addr.h"
#include "common/err.h"
#include "common/mapping.h"

#include <jansson.h>
#include <net/if.h>

#define DMM_PODDIR_ROOT      "/run/dmm"
#define DMM_ATTACH_SOCKET    "stackd.sock"
#define DMM_API_SOCKET       "api.sock"
#define DMM_FILE_MAX         ((size_t)256 * 1024)
#define DMM_PORT_ADDRESSES   16
#define DMM_PORT_ROUTES      32
#define DMM_PORT_MAP_PATH    256
#define DMM_PORT_QUEUES      16
#define DMM_PORT_BUSY_POLL   1000000 /* microseconds */
#define DMM_PORT_BUSY_BUDGET 65535   /* SO_BUSY_POLL_BUDGET has 16 bits */
#define DMM_POD_PORTS        8
#define DMM_STACK_TYPE       16

enum dmm_port_kind {
    DMM_PORT_PACKET, /* AF_PACKET with PACKET_VNET_HDR on the interface `ifname`: link veth */
    DMM_PORT_TAP,    /* the TAP device `ifname`: link tap */
    DMM_PORT_AFXDP,  /* AF_XDP sockets on the interface `ifname`: link afxdp */
    DMM_PORT_ETHDEV, /* a DPDK ethdev made from `devargs`: link vhostuser, … */
};

/* Of kind tap: whether the kernel's vhost moves the frames. */
enum dmm_port_vhost_net {
    DMM_VHOST_NET_OFF,
    DMM_VHOST_NET_AUTO, /* where the sidecar may open DMM_VHOST_NET_DEVICE */
    DMM_VHOST_NET_ON,
};
#define DMM_VHOST_NET_DEVICE "/dev/vhost-net"

struct dmm_port_address {
    struct dmm_addr addr; /* port 0 */
    uint8_t prefix_len;
};

struct dmm_port_route {
    struct dmm_prefix dst;
    struct dmm_addr gateway; /* family 0: on link */
};

struct dmm_port_config {
    char ifname[IFNAMSIZ];             /* the CNI_IFNAME; names the port */
    enum dmm_port_kind kind;           /* "packet", "tap", … */
    char link[16];                     /* the link kind: "veth", "vhostuser", … for people */
    enum dmm_port_vhost_net vhost_net; /* tap only */
    char devargs[256];                 /* ethdev only: "net_virtio_user0,path=…" */
    uint32_t socket_mode;              /* ethdev only: of a socket that it makes; 0: the umask's */
    uint32_t socket_gid;               /* ethdev only: and its group, */
    bool has_socket_gid;               /* if this is set */
    char xsk_map[DMM_PORT_MAP_PATH];   /* afxdp only: where the map of sockets is pinned */
    unsigned queues;                   /* afxdp only: receive queues of the interface */
    uint32_t busy_poll_us;             /* afxdp only: SO_BUSY_POLL; 0: no busy polling */
    uint32_t busy_budget;              /* and SO_BUSY_POLL_BUDGET, frames */
    uint8_t mac[6];                    /* all zero: the device's own */
    uint32_t mtu;                      /* bytes of L3 */
    unsigned n_addresses;
    struct dmm_port_address addresses[DMM_PORT_ADDRESSES];
    unsigned n_routes;
    struct dmm_port_route routes[DMM_PORT_ROUTES];
};

struct dmm_stack_instance_config {
    char name[DMM_INSTANCE_NAME];
    char type[DMM_STACK_TYPE]; /* "lwip", "tcpip", …; or "plugin" with options.path */
    unsigned n_ports;
    char ports[DMM_POD_PORTS][IFNAMSIZ]; /* n_ports 0: every port of the pod */
    json_t *options;                     /* an object, owned; never NULL after a parse */
};

struct dmm_stacks_config {
    unsigned n_stacks; /* "kernel" not counted */
    struct dmm_stack_instance_config stacks[DMM_MAPPING_INSTANCES - 1];
};

/* Each parses one file's text. `source` names it in errors, which name key and place too. Unknown
 * keys are errors. On error nothing is left to free. */
int dmm_port_config_parse(struct dmm_port_config *port, const char *text, size_t len,
                          const char *source, struct dmm_err *err);
int dmm_stacks_config_parse(struct dmm_stacks_config *stacks, const char *text, size_t len,
                            const char *source, struct dmm_err *err);
/* The "stacks" array of stacks.json and of the CNI configuration: one schema, one parser. */
int dmm_stacks_config_from_json(struct dmm_stacks_config *stacks, const json_t *array,
                                const char *source, struct dmm_err *err);
void dmm_stacks_config_free(struct dmm_stacks_config *stacks);

/* The JSON that the parsers above read back to the same value; a new reference, NULL when out of
 * memory. */
json_t *dmm_port_config_json(const struct dmm_port_config *port);
json_t *dmm_stacks_config_json(const struct dmm_stacks_config *stacks);

#endif
