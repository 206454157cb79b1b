/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/sidecar/stackd_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The test lies in BUILD/tests/unit/sidecar. */
static int find_build(char *bin, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", bin, size - 1);
    if (n < 0)
        return -1;
    bin[n] = 0;
    for (int i = 0; i < 4; i++) {
        char *slash = strrchr(bin, '/');
        if (!slash)
            return -1;
        *slash = 0;
    }
    return 0;
}

int stackd_write(const struct stackd *stackd, const char *name, const char *text)
{
    char path[256], temporary[256];
    snprintf(path, sizeof(path), "%s/%s", stackd->dir, name);
    snprintf(temporary, sizeof(temporary), "%s/.%s", stackd->dir, name);
    FILE *file = fopen(temporary, "w");
    if (!file)
        return -1;
    fputs(text, file);
    fclose(file);
    return rename(temporary, path);
}

int stackd_start(struct stackd *stackd)
{
    char path[600], text[1024];
    strcpy(stackd->dir, "/tmp/dmm-unit-XXXXXX");
    if (!mkdtemp(stackd->dir) || find_build(stackd->bin, sizeof(stackd->bin)))
        return -1;
    snprintf(text, sizeof(text),
             "{\"version\":1,\"stacks\":[{\"name\":\"loop\",\"type\":\"plugin\",\"options\":"
             "{\"path\":\"%s/tests/loop.so\"}}]}",
             stackd->bin);
    if (stackd_write(stackd, "stacks.json", text) ||
        stackd_write(stackd, "mapping.json", "{\"version\":1,\"default\":\"loop\",\"rules\":[]}"))
        return -1;
    snprintf(path, sizeof(path), "%s/dmm-stackd", stackd->bin);
    stackd->pid = fork();
    if (stackd->pid == 0) {
        execl(path, "dmm-stackd", "--pod-dir", stackd->dir, "--log-level", "warn", "--max-clients",
              "8", (char *)NULL);
        _exit(127);
    }
    snprintf(path, sizeof(path), "%s/stackd.sock", stackd->dir);
    for (int i = 0; i < 1000; i++) {
        struct timespec wait = {0, 10000000};
        if (!access(path, F_OK))
            return 0;
        if (waitpid(stackd->pid, NULL, WNOHANG))
            break;
        nanosleep(&wait, NULL);
    }
    fprintf(stderr, "%s/dmm-stackd did not start\n", stackd->bin);
    return -1;
}

int stackd_stop(struct stackd *stackd)
{
    static const char *const names[] = {"stacks.json", "mapping.json", "api.sock", "stackd.sock"};
    int status = -1;
    kill(stackd->pid, SIGTERM);
    for (int i = 0; i < 1000; i++) {
        struct timespec wait = {0, 10000000};
        if (waitpid(stackd->pid, &status, WNOHANG) == stackd->pid)
            break;
        status = -1;
        nanosleep(&wait, NULL);
    }
    if (status == -1)
        kill(stackd->pid, SIGKILL);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", stackd->dir, names[i]);
        unlink(path);
    }
    rmdir(stackd->dir);
    if (status)
        fprintf(stderr, "dmm-stackd ended with status %#x\n", (unsigned)status);
    return status ? -1 : 0;
}
