/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/xdp.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <netlink/msg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define TRIES                                                                                      \
    5 /* loading may fail with EAGAIN, by a signal or for want of memory; libbpf does so */

static int call_bpf(enum bpf_cmd command, union bpf_attr *attr, struct dmm_err *err,
                    const char *what)
{
    long rc = -1;
    for (int i = 0; rc < 0 && i < TRIES && (!i || errno == EAGAIN); i++)
        rc = syscall(SYS_bpf, command, attr, sizeof(*attr));
    return rc >= 0 ? (int)rc : dmm_err_set(err, errno, "%s: %s", what, strerror(errno));
}

int dmm_xdp_make_map(unsigned queues, struct dmm_err *err)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.map_type = BPF_MAP_TYPE_XSKMAP;
    attr.key_size = sizeof(uint32_t);
    attr.value_size = sizeof(uint32_t);
    attr.max_entries = queues;
    strcpy(attr.map_name, "dmm_xsks"); /* NOLINT: fits */
    return call_bpf(BPF_MAP_CREATE, &attr, err, "make a map of AF_XDP sockets");
}

int dmm_xdp_load(int map_fd, struct dmm_err *err)
{
    /* return bpf_redirect_map(map, ctx->rx_queue_index, XDP_DROP); */
    const struct bpf_insn insns[] = {
        {.code = BPF_LDX | BPF_MEM | BPF_W,
         .dst_reg = BPF_REG_2,
         .src_reg = BPF_REG_1,
         .off = offsetof(struct xdp_md, rx_queue_index)},
        {.code = BPF_LD | BPF_IMM | BPF_DW,
         .dst_reg = BPF_REG_1,
         .src_reg = BPF_PSEUDO_MAP_FD,
         .imm = map_fd},
        {.code = 0}, /* the upper half of the 64 bits */
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = XDP_DROP},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_XDP;
    attr.insns = (uintptr_t)insns;
    attr.insn_cnt = sizeof(insns) / sizeof(insns[0]);
    attr.license = (uintptr_t) "Apache-2.0";
    strcpy(attr.prog_name, "dmm_xsk"); /* NOLINT: fits */
    return call_bpf(BPF_PROG_LOAD, &attr, err, "load the XDP program");
}

int dmm_xdp_pin(int map_fd, const char *path, const struct dmm_owner *owner, struct dmm_err *err)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.pathname = (uintptr_t)path;
    attr.bpf_fd = (uint32_t)map_fd;
    if (unlink(path) && errno != ENOENT)
        return dmm_err_set(err, errno, "remove %s: %s", path, strerror(errno));
    int rc = call_bpf(BPF_OBJ_PIN, &attr, err, path);
    if (rc < 0)
        return rc;
    if (lchown(path, owner->uid, owner->gid))
        return dmm_err_set(err, errno, "chown %s: %s", path, strerror(errno));
    return 0;
}

int dmm_xdp_check_fs(const char *dir, struct dmm_err *err)
{
    struct statfs fs;
    if (statfs(dir, &fs))
        return dmm_err_set(err, errno, "link.bpffs: %s: %s", dir, strerror(errno));
    if ((unsigned long)fs.f_type != BPF_FS_MAGIC)
        return dmm_err_set(
            err, ENODEV, "link.bpffs: %s is not a bpf file system: mount -t bpf bpf %s", dir, dir);
    return 0;
}

static struct nl_msg *make_message(int flags, const char *ifname)
{
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
    struct nl_msg *msg = nlmsg_alloc_simple(flags ? RTM_SETLINK : RTM_GETLINK, flags);
    if (msg && (nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) ||
                nla_put_string(msg, IFLA_IFNAME, ifname))) {
        nlmsg_free(msg);
        return NULL;
    }
    return msg;
}

static int attach(struct nl_sock *sock, const char *ifname, int prog_fd, uint32_t flags)
{
    struct nl_msg *msg = make_message(NLM_F_ACK, ifname);
    struct nlattr *nest = msg ? nla_nest_start(msg, IFLA_XDP) : NULL;
    if (!nest || nla_put_s32(msg, IFLA_XDP_FD, prog_fd) ||
        nla_put_u32(msg, IFLA_XDP_FLAGS, flags)) {
        nlmsg_free(msg);
        return -NLE_NOMEM;
    }
    nla_nest_end(msg, nest);
    return nl_send_sync(sock, msg); /* frees it */
}

int dmm_xdp_attach(struct nl_sock *sock, const char *ifname, int prog_fd, enum dmm_xdp_mode mode,
                   struct dmm_err *err)
{
    const uint32_t fresh = XDP_FLAGS_UPDATE_IF_NOEXIST;
    int rc = -NLE_OPNOTSUPP;
    if (mode != DMM_XDP_SKB)
        rc = attach(sock, ifname, prog_fd, fresh | XDP_FLAGS_DRV_MODE);
    if (mode == DMM_XDP_SKB || (mode == DMM_XDP_AUTO && rc))
        rc = attach(sock, ifname, prog_fd, fresh | XDP_FLAGS_SKB_MODE);
    if (rc)
        return dmm_err_set(err, rc == -NLE_OPNOTSUPP ? EOPNOTSUPP : EIO,
                           "attach the XDP program to interface %s%s: %s", ifname,
                           mode == DMM_XDP_NATIVE ? ", native" : "", nl_geterror(rc));
    return 0;
}

int dmm_xdp_detach(struct nl_sock *sock, const char *ifname, struct dmm_err *err)
{
    static const uint32_t modes[] = {XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE};
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof(modes) / sizeof(modes[0]); i++)
        rc = attach(sock, ifname, -1, modes[i]);
    /* A driver that knows nothing of programs, or a kernel, has none. */
    return !rc || rc == -NLE_OPNOTSUPP
               ? 0
               : dmm_err_set(err, EIO, "detach the XDP program of interface %s: %s", ifname,
                             nl_geterror(rc));
}

static int on_link(struct nl_msg *msg, void *arg)
{
    struct nlattr *attrs[IFLA_MAX + 1];
    struct nlattr *xdp[IFLA_XDP_MAX + 1];
    if (nlmsg_parse(nlmsg_hdr(msg), sizeof(struct ifinfomsg), attrs, IFLA_MAX, NULL) ||
        !attrs[IFLA_XDP] || nla_parse_nested(xdp, IFLA_XDP_MAX, attrs[IFLA_XDP], NULL) ||
        !xdp[IFLA_XDP_ATTACHED])
        return NL_OK;
    *(bool *)arg = nla_get_u8(xdp[IFLA_XDP_ATTACHED]) != XDP_ATTACHED_NONE;
    return NL_OK;
}

int dmm_xdp_attached(struct nl_sock *sock, const char *ifname, bool *attached, struct dmm_err *err)
{
    *attached = false;
    int rc = dmm_nl_ask(sock, make_message(0, ifname), on_link, attached, err);
    return rc ? dmm_err_prefix(err, "look at interface %s", ifname) : 0;
}
