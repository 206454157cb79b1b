/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keypair: the server's certificate and key, read again when their files have changed, so that
 * certificates rotate without a restart.
 *
 * A Secret's volume replaces both files at once by renaming a link; whoever writes them one after
 * the other is met between the two: then key and certificate do not fit, and the old pair stays in
 * use.
 *
 * One thread, that of the server.
 */
#ifndef DMM_DEPLOY_INJECTOR_KEYPAIR_H
#define DMM_DEPLOY_INJECTOR_KEYPAIR_H

#include "common/err.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdint.h>
#include <sys/stat.h>

#define KEYPAIR_CHAIN 8

struct keypair_stamp {
    struct timespec modified[2];
    ino_t inode[2];
};

/* One that was loaded. A handshake that began with it may still go on when it is replaced, so it is
 * kept for longer than a connection without a handshake may last. */
struct keypair_loaded {
    struct keypair_loaded *older;
    uint64_t replaced_at; /* CLOCK_MONOTONIC, seconds */
    gnutls_pcert_st chain[KEYPAIR_CHAIN];
    unsigned n_chain;
    gnutls_privkey_t private_key;
};

struct keypair {
    const char *certificate, *key; /* paths, PEM */
    struct keypair_stamp stamp;    /* of the files that were looked at last */
    uint64_t looked_at;            /* CLOCK_MONOTONIC, seconds */
    struct keypair_loaded *current;
};

int keypair_open(struct keypair *keypair, const char *certificate, const char *key,
                 struct dmm_err *err);
/* Looks whether the files have changed, at most once a second, and loads them. What is wrong with
 * the new ones is logged, and what was in use stays. */
void keypair_refresh(struct keypair *keypair);
void keypair_close(struct keypair *keypair);

#endif
