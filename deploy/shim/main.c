/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dmm-shim: copies the preload libraries of its image into a volume that the pod's containers
 * share.
 *
 *   dmm-shim [--from DIR] DIR
 *
 * Static, so that its image holds nothing else. A program is given LD_PRELOAD=/dmm/$LIB/libdmm.so:
 * glibc puts the name of its own folder in place of $LIB, which differs among distributions; musl
 * does not know $LIB and takes it literally. So each finds the library that was built for it.
 */
#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARY "libdmm.so"

/* Folders of glibc's $LIB: others; Fedora, RHEL, SUSE; Debian and Ubuntu. */
static const char *const glibc_folders[] = {
    "lib",
    "lib64",
#if defined(__x86_64__)
    "lib/x86_64-linux-gnu",
#elif defined(__aarch64__)
    "lib/aarch64-linux-gnu",
#endif
};
static const char *const musl_folders[] = {"$LIB"};

static int path_of(char path[PATH_MAX], const char *dir, const char *sub, const char *file,
                   struct dmm_err *err)
{
    int n = snprintf(path, PATH_MAX, "%s/%s%s%s", dir, sub, *file ? "/" : "", file);
    return n < 0 || n >= PATH_MAX ? dmm_err_set(err, ENAMETOOLONG, "%s: too long", dir) : 0;
}

/* To a temporary name, then renamed: a program that starts meanwhile maps a whole library. */
static int copy(const char *from, const char *to, struct dmm_err *err)
{
    char temporary[PATH_MAX + 8];
    struct stat status;
    int rc = 0;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0 || fstat(in, &status)) {
        rc = dmm_err_set(err, errno, "read %s: %s", from, strerror(errno));
        if (in >= 0)
            close(in);
        return rc;
    }
    snprintf(temporary, sizeof(temporary), "%s.new", to);
    int out = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (out < 0)
        rc = dmm_err_set(err, errno, "write %s: %s", temporary, strerror(errno));
    for (off_t at = 0; !rc && at < status.st_size;) {
        ssize_t n = sendfile(out, in, &at, (size_t)(status.st_size - at));
        if (n <= 0)
            rc = dmm_err_set(err, n ? errno : EIO, "write %s: %s", temporary,
                             n ? strerror(errno) : "the library became shorter");
    }
    if (out >= 0 && close(out) && !rc)
        rc = dmm_err_set(err, errno, "write %s: %s", temporary, strerror(errno));
    if (!rc && rename(temporary, to))
        rc = dmm_err_set(err, errno, "rename to %s: %s", to, strerror(errno));
    if (rc && out >= 0)
        unlink(temporary);
    close(in);
    return rc;
}

static int copy_into(const char *from, const char *dir, const char *folder, struct dmm_err *err)
{
    char to[PATH_MAX];
    char *slash = to + strlen(dir);
    int rc = path_of(to, dir, folder, "", err);
    /* The folder, and the one above it. */
    for (; !rc && (slash = strchr(slash + 1, '/')); *slash = '/') {
        *slash = '\0';
        if (mkdir(to, 0755) && errno != EEXIST)
            rc = dmm_err_set(err, errno, "make %s: %s", to, strerror(errno));
    }
    if (!rc && mkdir(to, 0755) && errno != EEXIST)
        rc = dmm_err_set(err, errno, "make %s: %s", to, strerror(errno));
    if (!rc)
        rc = path_of(to, dir, folder, LIBRARY, err);
    return rc ? rc : copy(from, to, err);
}

static int install(const char *source, const char *libc, const char *dir,
                   const char *const *folders, size_t n, struct dmm_err *err)
{
    char from[PATH_MAX];
    int rc = path_of(from, source, libc, LIBRARY, err);
    for (size_t i = 0; !rc && i < n; i++)
        rc = copy_into(from, dir, folders[i], err);
    return rc;
}

int main(int argc, char **argv)
{
    struct dmm_err err = {0};
    char musl[PATH_MAX];
    const char *from = "/shim";
    dmm_log_setup("shim", DMM_LOG_INFO, false, 2);
    if (argc == 4 && !strcmp(argv[1], "--from")) {
        from = argv[2];
        argv += 2;
        argc -= 2;
    }
    if (argc != 2 || argv[1][0] != '/') {
        fprintf(stderr, "usage: dmm-shim [--from DIR] DIR\n"
                        "Copies the preload libraries below DIR, an absolute path.\n");
        return 2;
    }
    umask(022);
    int rc = install(from, "glibc", argv[1], glibc_folders,
                     sizeof(glibc_folders) / sizeof(glibc_folders[0]), &err);
    if (!rc)
        rc = path_of(musl, from, "musl", LIBRARY, &err);
    bool has_musl = !rc && access(musl, F_OK) == 0;
    if (has_musl)
        rc = install(from, "musl", argv[1], musl_folders, 1, &err);
    if (rc) {
        dmm_log(DMM_LOG_ERROR, "%s", err.text);
        return 1;
    }
    dmm_log(DMM_LOG_INFO, "%s is in %s, for glibc%s", LIBRARY, argv[1],
            has_musl ? " and musl" : "");
    return 0;
}
