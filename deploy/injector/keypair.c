/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/injector/keypair.h"

#include "common/log.h"

#include <errno.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEEP_SECONDS 300

static int tls_fail(struct dmm_err *err, const char *path, int code)
{
    return dmm_err_set(err, EINVAL, "%s: %s", path, gnutls_strerror(code));
}

static int load_chain(const struct keypair *pair, struct keypair_loaded *into, struct dmm_err *err)
{
    gnutls_datum_t text = {0};
    unsigned n = KEYPAIR_CHAIN;
    int rc = gnutls_load_file(pair->certificate, &text);
    if (rc)
        return dmm_err_set(err, EIO, "%s: %s", pair->certificate, gnutls_strerror(rc));
    rc = gnutls_pcert_list_import_x509_raw(into->chain, &n, &text, GNUTLS_X509_FMT_PEM, 0);
    gnutls_free(text.data);
    if (rc < 0)
        return tls_fail(err, pair->certificate, rc);
    into->n_chain = n;
    return n ? 0 : dmm_err_set(err, EINVAL, "%s: holds no certificate", pair->certificate);
}

static int load_key(const struct keypair *pair, struct keypair_loaded *into, struct dmm_err *err)
{
    gnutls_datum_t text = {0};
    int rc = gnutls_load_file(pair->key, &text);
    if (rc)
        return dmm_err_set(err, EIO, "%s: %s", pair->key, gnutls_strerror(rc));
    rc = gnutls_privkey_init(&into->private_key);
    if (!rc)
        rc = gnutls_privkey_import_x509_raw(into->private_key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_memset(text.data, 0, text.size);
    gnutls_free(text.data);
    return rc ? tls_fail(err, pair->key, rc) : 0;
}

/* By signing and verifying: works for every kind of key. */
static int check_fit(const struct keypair *pair, const struct keypair_loaded *loaded,
                     struct dmm_err *err)
{
    static unsigned char word[] = "dmm";
    const gnutls_datum_t data = {word, sizeof(word)};
    gnutls_datum_t signature = {0};
    unsigned bits;
    gnutls_digest_algorithm_t hash = GNUTLS_DIG_SHA256;
    gnutls_pubkey_t public_key = loaded->chain[0].pubkey;
    gnutls_pubkey_get_preferred_hash_algorithm(public_key, &hash, NULL);
    int rc = gnutls_privkey_sign_data(loaded->private_key, hash, 0, &data, &signature);
    if (!rc) {
        gnutls_pk_algorithm_t kind =
            (gnutls_pk_algorithm_t)gnutls_pubkey_get_pk_algorithm(public_key, &bits);
        rc = gnutls_pubkey_verify_data2(public_key, gnutls_pk_to_sign(kind, hash), 0, &data,
                                        &signature);
        gnutls_free(signature.data);
    }
    return rc < 0 ? dmm_err_set(err, EINVAL, "%s and %s do not belong together: %s",
                                pair->certificate, pair->key, gnutls_strerror(rc))
                  : 0;
}

static void forget(struct keypair_loaded *loaded)
{
    for (unsigned i = 0; i < loaded->n_chain; i++)
        gnutls_pcert_deinit(&loaded->chain[i]);
    if (loaded->private_key)
        gnutls_privkey_deinit(loaded->private_key);
    free(loaded);
}

static void forget_old(struct keypair *pair, uint64_t now)
{
    struct keypair_loaded **link = pair->current ? &pair->current->older : NULL;
    while (link && *link) {
        struct keypair_loaded *old = *link;
        if (now - old->replaced_at < KEEP_SECONDS) {
            link = &old->older;
            continue;
        }
        *link = old->older;
        forget(old);
    }
}

static uint64_t now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

static int stamp(const struct keypair *pair, struct keypair_stamp *now)
{
    const char *const paths[] = {pair->certificate, pair->key};
    memset(now, 0, sizeof(*now));
    for (int i = 0; i < 2; i++) {
        struct stat status;
        if (stat(paths[i], &status))
            return -errno;
        now->modified[i] = status.st_mtim;
        now->inode[i] = status.st_ino;
    }
    return 0;
}

/* Makes it the current one, or leaves all as it is. */
static int load(struct keypair *pair, struct dmm_err *err)
{
    struct keypair_loaded *fresh = calloc(1, sizeof(*fresh));
    if (!fresh)
        return dmm_err_set(err, ENOMEM, "out of memory");
    int rc = load_chain(pair, fresh, err);
    if (!rc)
        rc = load_key(pair, fresh, err);
    if (!rc)
        rc = check_fit(pair, fresh, err);
    if (rc) {
        forget(fresh);
        return rc;
    }
    fresh->older = pair->current;
    if (pair->current)
        pair->current->replaced_at = now_seconds();
    pair->current = fresh;
    return 0;
}

int keypair_open(struct keypair *keypair, const char *certificate, const char *key,
                 struct dmm_err *err)
{
    memset(keypair, 0, sizeof(*keypair));
    keypair->certificate = certificate;
    keypair->key = key;
    stamp(keypair, &keypair->stamp);
    return load(keypair, err);
}

void keypair_refresh(struct keypair *keypair)
{
    struct dmm_err err = {0};
    struct keypair_stamp files;
    uint64_t now = now_seconds();
    if (now == keypair->looked_at)
        return;
    keypair->looked_at = now;
    forget_old(keypair, now);
    if (stamp(keypair, &files) || !memcmp(&files, &keypair->stamp, sizeof(files)))
        return;
    keypair->stamp = files;
    if (load(keypair, &err))
        dmm_log(DMM_LOG_ERROR, "%s; the old certificate stays in use", err.text);
    else
        dmm_log(DMM_LOG_INFO, "the certificate was replaced: %s", keypair->certificate);
}

void keypair_close(struct keypair *keypair)
{
    for (struct keypair_loaded *loaded = keypair->current, *older; loaded; loaded = older) {
        older = loaded->older;
        forget(loaded);
    }
    keypair->current = NULL;
}
