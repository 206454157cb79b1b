/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: what is known about one attachment, on disk, so that it can be taken back whatever
 * happens.
 *
 *   <state root>/<network>/<container id>:<ifname>.json        0600
 *   <state root>/<network>/quarantine/…                        records that could not be read
 *
 * Invariants:
 *   - the record is on disk (fsync, rename, fsync) before anything that it describes is changed,
 * and it is removed after everything that it describes has been put back;
 *   - it holds every name that was made, every value that was changed with its old value (`plan`),
 *     and the configuration of ADD (`conf`), so that nothing else is needed to take it back;
 *   - who works on an attachment holds the exclusive flock of its record; the kernel lets go of it
 *     when the process dies;
 *   - a record that does not parse in full is moved to quarantine, never believed.
 */
#ifndef DMM_CNI_RECORD_H
#define DMM_CNI_RECORD_H

#include "cni/netns.h"
#include "common/err.h"

#include <jansson.h>
#include <stdbool.h>

struct dmm_record {
    /* Borrowed from the caller, or from `json` after a load. */
    const char *network;
    const char *container_id;
    const char *ifname; /* CNI_IFNAME: part of the key */
    const char *port;   /* the interface that was made */
    const char *netns;
    struct dmm_netns_id netns_id;
    const char *boot_id;
    const char *pod_root;
    const char *pod_id; /* the pod directory's name */
    const char *cni_path;
    const char *ipam_type;   /* NULL: none */
    const char *device_info; /* path of the file that was written; NULL: none */
    const char *link;        /* kind */
    json_t *plan;            /* an object */
    json_t *conf;            /* an object: the network configuration of ADD, without prevResult */

    json_t *json; /* owned, after a load; else NULL */
    int fd;       /* owned: holds the lock; -1 if not held */
};

/* Pure: a new reference, NULL when out of memory. */
json_t *dmm_record_json(const struct dmm_record *record);
/* Pure: takes over the reference to `json`, also on error. The record is not locked. */
int dmm_record_from_json(struct dmm_record *record, json_t *json, struct dmm_err *err);

/* Writes the record and holds its lock. -EEXIST if there is one already (then nothing is written).
 */
int dmm_record_create(struct dmm_record *record, const char *state_root, struct dmm_err *err);

/* Reads and locks. 0; -ENOENT; -EBUSY if another process holds it and `wait` is false; -EBADMSG if
 * it is broken (it lies in quarantine then, err says where and why). */
int dmm_record_load(struct dmm_record *record, const char *state_root, const char *network,
                    const char *container_id, const char *ifname, bool wait, struct dmm_err *err);

/* Deletes the file of a loaded or created record. */
int dmm_record_remove(const struct dmm_record *record, const char *state_root, struct dmm_err *err);
/* Removes what an ADD that was killed while it wrote its record may have left: of one attachment,
 * or of all of the network that nobody is writing. Absent is success. */
int dmm_record_remove_unfinished(const char *state_root, const char *network,
                                 const char *container_id, const char *ifname, struct dmm_err *err);
int dmm_record_remove_all_unfinished(const char *state_root, const char *network,
                                     struct dmm_err *err);
/* Lets go of lock and memory; the file stays. */
void dmm_record_release(struct dmm_record *record);

/* Calls `visit` for each record's key of the network. Stops at the first non-zero return and
 * returns it. A state directory that does not exist has none. */
int dmm_record_each(const char *state_root, const char *network,
                    int (*visit)(void *arg, const char *container_id, const char *ifname),
                    void *arg, struct dmm_err *err);

#endif
