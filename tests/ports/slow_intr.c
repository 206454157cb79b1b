/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ports/slow_intr.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* Set once, before DPDK has a thread. */
static uint32_t slow_ms;

void slow_intr_set(uint32_t ms)
{
    slow_ms = ms;
}

/* The driver virtio_user looks at its link by a peek at the connection. */
ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    char name[16] = "";
    if (slow_ms && (flags & MSG_PEEK) &&
        pthread_getname_np(pthread_self(), name, sizeof(name)) == 0 &&
        strncmp(name, "eal-intr", 8) == 0) {
        struct timespec t = {.tv_sec = slow_ms / 1000, .tv_nsec = slow_ms % 1000 * 1000000L};
        nanosleep(&t, NULL);
    }
    return recvfrom(fd, buf, len, flags, NULL, NULL);
}
