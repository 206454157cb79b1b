/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GC. Attachments given: they are all that there is, every other record of the network goes. None
 * given: records whose namespace is gone go. Records that another process works on are left to it.
 */
#include "cni/attach.h"
#include "cni/file.h"
#include "cni/netns.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BOOT_FILE ".boot" /* in the network's folder: the boot that was reaped for last */

struct sweep {
    const struct dmm_netconf *conf;
    const json_t *valid; /* NULL: only the dead go */
    const char *boot_id; /* not NULL: of the dead only those of other boots */
    unsigned reaped;
    struct dmm_cni_error *error; /* the first failure */
};

static bool is_valid(const json_t *valid, const char *container_id, const char *ifname)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(valid, i, entry)
    {
        const char *id = json_string_value(json_object_get(entry, "containerID"));
        const char *name = json_string_value(json_object_get(entry, "ifname"));
        if (id && name && !strcmp(id, container_id) && !strcmp(name, ifname))
            return true;
    }
    return false;
}

static int sweep_one(void *arg, const char *container_id, const char *ifname)
{
    struct sweep *sweep = arg;
    struct dmm_record record;
    struct dmm_err err = {0};
    struct dmm_cni_error failed = {0};
    const char *root = sweep->conf->state_root;
    if (sweep->valid && is_valid(sweep->valid, container_id, ifname))
        return 0;
    int rc = dmm_record_load(&record, root, sweep->conf->name, container_id, ifname, false, &err);
    if (rc == -EBUSY || rc == -ENOENT)
        return 0;
    if (rc) {
        dmm_log(DMM_LOG_ERROR, "%s", err.text);
        if (rc != -EBADMSG)
            dmm_cni_fail_from(sweep->error, DMM_CNI_E_STATE, &err);
        return 0;
    }
    bool other_boot = sweep->boot_id && strcmp(record.boot_id, sweep->boot_id) != 0;
    if (sweep->valid || other_boot || (!sweep->boot_id && !dmm_attach_alive(&record))) {
        if (dmm_attach_takedown(&record, root, &failed))
            dmm_cni_fail(sweep->error, failed.code, "%.64s %s: %s", container_id, ifname,
                         failed.what.text);
        else
            sweep->reaped++;
    }
    dmm_record_release(&record);
    return 0;
}

static int sweep_all(struct sweep *sweep)
{
    struct dmm_err err = {0};
    const struct dmm_netconf *conf = sweep->conf;
    if (dmm_record_remove_all_unfinished(conf->state_root, conf->name, &err))
        dmm_cni_fail_from(sweep->error, DMM_CNI_E_STATE, &err);
    if (dmm_record_each(sweep->conf->state_root, sweep->conf->name, sweep_one, sweep, &err))
        dmm_cni_fail_from(sweep->error, DMM_CNI_E_STATE, &err);
    return sweep->error->code ? -1 : 0;
}

int dmm_gc_reap_dead(const struct dmm_netconf *conf, unsigned *reaped, struct dmm_cni_error *error)
{
    struct sweep dead = {.conf = conf, .error = error};
    int rc = sweep_all(&dead);
    *reaped = dead.reaped;
    return rc;
}

int dmm_gc_reap_boots(const struct dmm_netconf *conf, const char *boot_id, unsigned *reaped,
                      struct dmm_cni_error *error)
{
    struct sweep boots = {.conf = conf, .boot_id = boot_id, .error = error};
    int rc = sweep_all(&boots);
    *reaped = boots.reaped;
    return rc;
}

void dmm_gc_reap_at_boot(const struct dmm_netconf *conf, const char *boot_id)
{
    char *seen = NULL;
    size_t len = 0;
    unsigned reaped;
    struct dmm_err err = {0};
    struct dmm_cni_error failed = {0};
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", conf->state_root, conf->name) >= sizeof(path))
        return;
    int dir __attribute__((cleanup(dmm_close))) = dmm_dir_open(AT_FDCWD, path, &err);
    if (dir < 0)
        return;
    bool done = !dmm_file_read(dir, BOOT_FILE, DMM_BOOT_ID_LEN, &seen, &len, NULL) &&
                !strncmp(seen, boot_id, DMM_BOOT_ID_LEN - 1);
    free(seen);
    if (done)
        return;
    if (dmm_gc_reap_dead(conf, &reaped, &failed))
        dmm_log(DMM_LOG_WARN, "taking back what the last boot left: %s", failed.what.text);
    else if (dmm_file_write(dir, BOOT_FILE, 0600, boot_id, strlen(boot_id), NULL, &err))
        dmm_log(DMM_LOG_WARN, "%s", err.text);
}

void dmm_gc_note_left(const struct dmm_netconf *conf)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s/" BOOT_FILE, conf->state_root, conf->name) <
        sizeof(path))
        unlink(path);
}

/* The name of the spec, and the one that libcni sends as well. */
static int read_valid(const struct dmm_netconf *conf, const json_t **valid,
                      struct dmm_cni_error *error)
{
    static const char *const names[] = {"cni.dev/valid-attachments", "cni.dev/attachments"};
    *valid = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !*valid; i++) {
        const json_t *list = json_object_get(conf->json, names[i]);
        if (!list || json_is_null(list))
            continue;
        if (!json_is_array(list))
            return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "%s: must be an array", names[i]);
        size_t j;
        const json_t *entry;
        json_array_foreach(list, j, entry)
        {
            if (!json_is_string(json_object_get(entry, "containerID")) ||
                !json_is_string(json_object_get(entry, "ifname")))
                return dmm_cni_fail(error, DMM_CNI_E_CONFIG,
                                    "%s[%zu]: must have containerID and ifname", names[i], j);
        }
        *valid = list;
    }
    return 0;
}

/* An IPAM plugin older than GC has none: ours above has released each lease that it knows. */
static void delegate(const struct dmm_cni_env *env, const struct dmm_netconf *conf,
                     struct dmm_cni_error *error)
{
    struct dmm_ipam_call call;
    if (!conf->ipam_type)
        return;
    dmm_attach_ipam_call(&call, "GC", env, conf, -1);
    if (dmm_ipam_speaks(&call, conf->version))
        dmm_ipam_run(&call, NULL, error);
}

int dmm_cni_gc(const struct dmm_cni_env *env, struct dmm_netconf *conf, struct dmm_cni_error *error)
{
    struct dmm_cni_error bad = {0};
    struct sweep gone = {.conf = conf, .error = error};
    if (conf->version < DMM_CNI_1_1_0)
        return dmm_cni_fail(error, DMM_CNI_E_VERSION, "cniVersion: %s has no GC",
                            dmm_cni_version_text(conf->version));
    if (read_valid(conf, &gone.valid, error))
        return -1;
    sweep_all(&gone);
    if (dmm_netconf_check(conf, &bad))
        dmm_log(DMM_LOG_WARN, "GC with a bad configuration: %s", bad.what.text);
    else
        delegate(env, conf, error);
    return error->code ? -1 : 0;
}
