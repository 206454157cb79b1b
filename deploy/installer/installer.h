/* SPDX-License-Identifier: Apache-2.0 */
/*
 * installer: keeps the CNI plugin and its network configuration in place on a node.
 *
 * Invariants
 *   - a file appears whole or not at all: temporary name, fsync, rename;
 *   - the plugin is in place before a configuration that names it, and dmm-kube, if that lies
 * beside the plugin to install, before the plugin;
 *   - nothing but these and their temporary files is written;
 *   - the plugin stays when all else goes: pods that are there still need its DEL.
 *
 * One thread. Errors come back and are logged by who called.
 */
#ifndef DMM_DEPLOY_INSTALLER_H
#define DMM_DEPLOY_INSTALLER_H

#include "common/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define INSTALLER_PREFIX "0-dmm" /* our configuration sorts first: the runtime takes the first */

struct installer {
    const char *plugin;      /* the program to install */
    const char *bin_dir;     /* the runtime's folder of plugins */
    const char *profiles;    /* folder of seccomp profiles to install, or NULL; may be absent */
    const char *seccomp_dir; /* the kubelet's; they go into its folder dmm */
    const char *conf_dir;    /* the runtime's folder of configurations; NULL: only the plugin */
    const char *conf;        /* file: our plugin's object; or, without `chained`, a whole list */
    const char *nodes;       /* file: keys that go over `conf`, by node; it need not be there */
    const char *node;        /* this node's name there, or NULL: none */
    const char *network;     /* the list's name where `conf` is an object and not `chained` */
    bool chained;            /* behind the plugins of the first configuration that is not ours */
};

/* Makes what is missing or differs; *changed counts what was written. -ENOENT: there is no primary
 * configuration to be chained to yet. */
int installer_apply(const struct installer *installer, unsigned *changed, struct dmm_err *err);
/* 0 if all is in place, -ESTALE with what is not. Changes nothing. */
int installer_check(const struct installer *installer, struct dmm_err *err);
/* 0 if our configuration is gone, -EEXIST if not. Changes nothing. */
int installer_check_removed(const struct installer *installer, struct dmm_err *err);
/* Takes the configuration away, and temporary files; the plugin stays. */
int installer_remove(const struct installer *installer, struct dmm_err *err);

/* ---- conflist.c: pure ---- */

/* Our plugin's object with what `nodes` says of that node over it: objects key by key, all else in
 * place of what was. malloc'ed. */
char *installer_conflist_for_node(const char *text, size_t len, const char *nodes, size_t nodes_len,
                                  const char *node, struct dmm_err *err);
/* A stand-alone configuration: a list as it is, or one of our plugin alone. malloc'ed. `source`
 * names the text in errors. */
char *installer_conflist_alone(const char *text, size_t len, const char *network,
                               const char *source, struct dmm_err *err);
/* The primary's list with our plugin, in its mode "chained", after the one that makes the pod's
 * interface, i.e. after its first plugin; malloc'ed. The primary may be a list or one plugin's
 * configuration. */
char *installer_conflist_chain(const char *primary, size_t primary_len, const char *plugin,
                               size_t plugin_len, struct dmm_err *err);

#endif
