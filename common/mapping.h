/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapping: the stack mapping. Which socket goes to which stack instance. Pure logic, no I/O.
 *
 * A mapping is a flat value (no pointers), so that the sidecar publishes it in the region as it is
 * and the shim matches on its own copy. Invariants of a struct dmm_mapping that dmm_mapping_parse()
 * made or dmm_mapping_check() accepted:
 *   - n_rules <= DMM_MAPPING_RULES; n_instances <= DMM_MAPPING_INSTANCES; instance 0 is "kernel";
 *   - every rule's `instances` is a non-empty set of bits below n_instances, of one bit only unless
 *     its direction is listen; default_instance < n_instances;
 *   - port_first <= port_last; prefixes have family 0 (any) or a valid family and length.
 * Rules are ordered: the first that matches wins, whatever the lengths of the prefixes; then comes
 * `default`. (The ancestor overwrote a wider route with a narrower one, and never matched /0.)
 *
 * The JSON form is in docs/mapping.md. Parsing needs jansson and lives in mapping_json.c, so that
 * the shim, which only matches, is not linked with it.
 *
 * Any thread, each with its own value.
 */
#ifndef DMM_COMMON_MAPPING_H
#define DMM_COMMON_MAPPING_H

#include "common/addr.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

#define DMM_MAPPING_VERSION   1
#define DMM_MAPPING_RULES     256
#define DMM_MAPPING_INSTANCES 16 /* kernel included */
#define DMM_INSTANCE_NAME     16 /* with NUL; [a-z0-9]([-a-z0-9]*[a-z0-9])? */
#define DMM_PROCESS_NAME      16 /* with NUL: what the kernel keeps as comm */
#define DMM_INSTANCE_KERNEL   0

enum dmm_direction { DMM_DIR_ANY = 0, DMM_DIR_CONNECT = 1, DMM_DIR_LISTEN = 2 };

struct dmm_mapping_rule {
    uint32_t instances;             /* a set: bit i is instance i */
    uint8_t protocol;               /* IPPROTO_TCP, IPPROTO_UDP, or 0 for any */
    uint8_t direction;              /* enum dmm_direction */
    uint16_t port_first;            /* remote port of a connect, local port of a listen */
    uint16_t port_last;             /* 0 and 65535: any port, also none */
    struct dmm_prefix remote;       /* family 0: any */
    struct dmm_prefix local;        /* family 0: any */
    char process[DMM_PROCESS_NAME]; /* "" for any */
};

struct dmm_mapping {
    uint32_t n_instances;
    uint32_t n_rules;
    uint32_t default_instance;
    char instances[DMM_MAPPING_INSTANCES][DMM_INSTANCE_NAME];
    struct dmm_mapping_rule rules[DMM_MAPPING_RULES];
};

/* The facts of one decision. An address with family 0 is not known yet: a selector on it then does
 * not match. */
struct dmm_mapping_query {
    uint8_t protocol;  /* IPPROTO_TCP or IPPROTO_UDP */
    uint8_t direction; /* DMM_DIR_CONNECT or DMM_DIR_LISTEN */
    struct dmm_addr remote;
    struct dmm_addr local;
    const char *process; /* comm of the calling process; NULL: not known */
};

/* What was decided: a set of instances (one bit for a connect), and by what. */
struct dmm_mapping_match {
    uint32_t instances;
    int rule; /* index; DMM_MATCH_* below where no rule did */
};
enum {
    DMM_MATCH_DEFAULT = -1,  /* `default` */
    DMM_MATCH_LOOPBACK = -2, /* loopback address: kernel, unless a rule says otherwise */
    DMM_MATCH_WILDCARD = -3, /* wildcard listen without a rule: every instance */
};

/* First match wins; then, where no rule matches:
 *   - loopback (the remote address of a connect, the local one of a listen) goes to the kernel. A
 *     rule says otherwise by a prefix on that very address which contains it: 127.0.0.1 as well as
 *     /0. A rule without such a prefix does not speak of loopback and does not match it;
 *   - a wildcard listen goes to every instance. A `local` selector matches a wildcard listen only
 *     if it is the /0 prefix of the same family. A socket that listens unbound (local family 0) is
 *     a wildcard listen too;
 *   - all else goes to `default`.
 * A connect to the unspecified address is one to loopback, as Linux has it. Mapped addresses are
 * matched as IPv4. Never fails on a valid mapping. */
struct dmm_mapping_match dmm_mapping_match(const struct dmm_mapping *mapping,
                                           const struct dmm_mapping_query *query);

/* Checks the invariants above of a mapping that came through memory. */
bool dmm_mapping_check(const struct dmm_mapping *mapping);

/* Index of an instance by name, or -1. */
int dmm_mapping_instance(const struct dmm_mapping *mapping, const char *name);

/* Fills `mapping` from JSON `text` of `len` bytes. `instances` lists the configured instance names;
 * "kernel" need not be in it and is always instance 0, the others follow in the given order.
 * `source` names the text in errors ("annotation dmm.fd.io/mapping"). On error, `mapping` is
 * untouched and err says source, place and key: "annotation dmm.fd.io/mapping: rules[2].port:
 * \"80-\" is not a port or a range of ports". Refused: an unknown key, a wrong type, an unknown
 * stack, a list of stacks on a rule whose direction is not listen, a bad prefix (host bits too), a
 * bad range, a duplicated key, a rule that repeats an earlier one's selectors or is wholly covered
 * by an earlier one (it could never match), remote with direction listen, families that differ
 * between remote and local, a text over 64 KiB, too many rules, trailing text. */
int dmm_mapping_parse(struct dmm_mapping *mapping, const char *text, size_t len,
                      const char *const *instances, unsigned n_instances, const char *source,
                      struct dmm_err *err);

/* The mapping that a one-word annotation `dmm.fd.io/stack: NAME` means: default NAME, no rules. */
int dmm_mapping_from_word(struct dmm_mapping *mapping, const char *word,
                          const char *const *instances, unsigned n_instances, const char *source,
                          struct dmm_err *err);

/* The canonical JSON form, malloc'ed, owned by the caller; NULL when out of memory. */
char *dmm_mapping_format(const struct dmm_mapping *mapping);

/* Does a rule ask for the process's name? If not, a query needs none. */
bool dmm_mapping_by_process(const struct dmm_mapping *mapping);

/* True if `name` is a valid instance name. */
bool dmm_instance_name_valid(const char *name);

#endif
