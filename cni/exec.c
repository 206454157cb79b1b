/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/exec.h"

#include "cni/file.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int input_file(const char *input, size_t len)
{
    int fd = memfd_create("stdin", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(fd, input + done, len - done, (off_t)done);
        if (n < 0) {
            close(fd);
            return -1;
        }
        done += (size_t)n;
    }
    return fd;
}

int dmm_exec_start(struct dmm_exec *child, const char *path, char *const argv[], char *const envp[],
                   const char *input, size_t len, int hold, struct dmm_err *err)
{
    int in __attribute__((cleanup(dmm_close))) = input_file(input, len);
    int out __attribute__((cleanup(dmm_close))) = memfd_create("stdout", MFD_CLOEXEC);
    if (in < 0 || out < 0)
        return dmm_err_set(err, errno, "%s: memfd: %s", path, strerror(errno));
    posix_spawn_file_actions_t actions;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc)
        return dmm_err_set(err, rc, "%s: %s", path, strerror(rc));
    rc = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (!rc && hold >= 0)
        rc = posix_spawn_file_actions_adddup2(&actions, hold, STDERR_FILENO + 1);
    if (!rc)
        rc = posix_spawn(&child->pid, path, &actions, NULL, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    if (rc)
        return dmm_err_set(err, rc, "%s: %s", path, strerror(rc));
    child->out = dmm_take(&out);
    return 0;
}

int dmm_exec_wait(struct dmm_exec *child, int *status, char **output, size_t *len,
                  struct dmm_err *err)
{
    int out __attribute__((cleanup(dmm_close))) = child->out;
    int raw = 0;
    while (waitpid(child->pid, &raw, 0) < 0)
        if (errno != EINTR)
            return dmm_err_set(err, errno, "wait: %s", strerror(errno));
    *status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    struct stat st;
    if (fstat(out, &st))
        return dmm_err_set(err, errno, "output: %s", strerror(errno));
    if ((size_t)st.st_size > DMM_EXEC_OUTPUT_MAX)
        return dmm_err_set(err, EFBIG, "output: more than %zu bytes", DMM_EXEC_OUTPUT_MAX);
    char *text = malloc((size_t)st.st_size + 1);
    if (!text)
        return dmm_err_set(err, ENOMEM, "output: out of memory");
    ssize_t n = pread(out, text, (size_t)st.st_size, 0);
    if (n < 0) {
        free(text);
        return dmm_err_set(err, errno, "output: %s", strerror(errno));
    }
    text[n] = '\0';
    *output = text;
    *len = (size_t)n;
    return 0;
}

int dmm_exec_find(char *path, size_t size, const char *name, const char *dirs)
{
    for (const char *dir = dirs; *dir;) {
        size_t len = strcspn(dir, ":");
        int n = snprintf(path, size, "%.*s/%s", (int)len, dir, name);
        if (len && n > 0 && (size_t)n < size && access(path, X_OK) == 0)
            return 0;
        dir += len + (dir[len] == ':');
    }
    return -ENOENT;
}

static int overridden(const char *entry, const char *const settings[])
{
    for (; *settings; settings++) {
        size_t name = (size_t)(strchr(*settings, '=') - *settings) + 1;
        if (!strncmp(entry, *settings, name))
            return 1;
    }
    return 0;
}

char **dmm_exec_environ(const char *const settings[])
{
    size_t n = 0;
    for (char **e = environ; *e; e++)
        n++;
    for (const char *const *s = settings; *s; s++)
        n++;
    char **env = malloc((n + 1) * sizeof(*env));
    if (!env)
        return NULL;
    size_t used = 0;
    for (char **e = environ; *e; e++)
        if (!overridden(*e, settings))
            env[used++] = *e;
    for (const char *const *s = settings; *s; s++)
        env[used++] = (char *)*s;
    env[used] = NULL;
    return env;
}
