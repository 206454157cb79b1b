/* SPDX-License-Identifier: Apache-2.0 */
/* epoll: what the cases of epoll.c and epoll_sleepers.c share. */
#ifndef DMM_TESTS_ORACLE_EPOLL_H
#define DMM_TESTS_ORACLE_EPOLL_H

#include "tests/oracle/oracle.h"

static inline int add(int ep, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
}

static inline int modify(int ep, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(ep, EPOLL_CTL_MOD, fd, &event);
}

/* Prints the events, sorted by their data. */
static inline void show(const char *text, int ep, int ms)
{
    struct epoll_event events[16];
    int n = epoll_wait(ep, events, 16, ms);
    printf("%s: %d\n", text, n);
    for (uint64_t data = 0; data < 100; data++)
        for (int i = 0; i < n; i++)
            if (events[i].data.u64 == data) {
                printf("  %d", (int)data);
                say_events("", events[i].events);
            }
}

#endif
