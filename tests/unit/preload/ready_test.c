/* SPDX-License-Identifier: Apache-2.0 */
/* Readiness from a snapshot: what Linux's poll says in the same state. */
#include "preload/ready.h"

#include "tests/unit/cmocka.h"

#include <sys/epoll.h>

#define KINDS (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP)

static uint32_t stream(struct ready_snapshot s)
{
    s.stream = true;
    return ready_compute(&s) & KINDS;
}

static void fresh_and_connecting(void **state)
{
    (void)state;
    assert_int_equal(stream((struct ready_snapshot){.state = 0}), EPOLLOUT | EPOLLHUP);
    assert_int_equal(stream((struct ready_snapshot){.state = DMM_SS_CONNECTING}), 0);
    assert_int_equal(stream((struct ready_snapshot){.state = DMM_SS_CONNECTING | DMM_SS_CONNECTED}),
                     EPOLLOUT);
    assert_int_equal(
        stream((struct ready_snapshot){.state = DMM_SS_CONNECTING | DMM_SS_DEAD, .error = true}),
        KINDS);
}

static void listening(void **state)
{
    (void)state;
    assert_int_equal(stream((struct ready_snapshot){.state = DMM_SS_LISTENING}), 0);
    assert_int_equal(stream((struct ready_snapshot){.state = DMM_SS_LISTENING, .received = 4}),
                     EPOLLIN);
}

static void data_and_room(void **state)
{
    (void)state;
    const uint32_t up = DMM_SS_CONNECTED;
    assert_int_equal(stream((struct ready_snapshot){.state = up, .received = 1}),
                     EPOLLIN | EPOLLOUT);
    assert_int_equal(stream((struct ready_snapshot){.state = up, .received = 9, .lowat = 10}),
                     EPOLLOUT);
    assert_int_equal(stream((struct ready_snapshot){.state = up, .received = 10, .lowat = 10}),
                     EPOLLIN | EPOLLOUT);
    assert_int_equal(stream((struct ready_snapshot){.state = up, .tx_size = 3072, .tx_used = 2048}),
                     EPOLLOUT);
    assert_int_equal(stream((struct ready_snapshot){.state = up, .tx_size = 3072, .tx_used = 2049}),
                     0);
}

/* Linux calls a stream writable below half of TCP_NOTSENT_LOWAT. */
static void little_enough_unsent(void **state)
{
    (void)state;
    const uint32_t up = DMM_SS_CONNECTED;
    struct ready_snapshot s = {
        .state = up, .tx_size = 65536, .tx_used = 3000, .notsent_lowat = 1000};
    s.unsent = 499;
    assert_int_equal(stream(s), EPOLLOUT);
    s.unsent = 500;
    assert_int_equal(stream(s), 0);
    s.notsent_lowat = UINT32_MAX;
    assert_int_equal(stream(s), EPOLLOUT);
    s.notsent_lowat = 0;
    assert_int_equal(stream(s), EPOLLOUT);
    s = (struct ready_snapshot){.state = up, .notsent_lowat = 1};
    assert_int_equal(stream(s), EPOLLOUT); /* nothing unsent */
    s.unsent = 1;
    s.app_flags = DMM_AF_SHUT_WR;
    assert_int_equal(stream(s), EPOLLOUT); /* as an error is */
}

static void ends(void **state)
{
    (void)state;
    const uint32_t up = DMM_SS_CONNECTED;
    assert_int_equal(stream((struct ready_snapshot){.state = up | DMM_SS_EOF}),
                     EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    assert_int_equal(stream((struct ready_snapshot){.state = up, .app_flags = DMM_AF_SHUT_RD}),
                     EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    assert_int_equal(stream((struct ready_snapshot){.state = up, .app_flags = DMM_AF_SHUT_WR}),
                     EPOLLOUT);
    assert_int_equal(
        stream((struct ready_snapshot){.state = up | DMM_SS_EOF, .app_flags = DMM_AF_SHUT_WR}),
        EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
    /* A full ring does not hide that a write would fail at once. */
    assert_int_equal(stream((struct ready_snapshot){
                         .state = up, .app_flags = DMM_AF_SHUT_WR, .tx_size = 64, .tx_used = 64}),
                     EPOLLOUT);
    assert_int_equal(stream((struct ready_snapshot){.state = up | DMM_SS_DEAD, .error = true}),
                     KINDS);
    assert_int_equal(stream((struct ready_snapshot){.state = up | DMM_SS_DEAD}),
                     KINDS & ~(uint32_t)EPOLLERR);
}

static void datagrams(void **state)
{
    (void)state;
    struct ready_snapshot s = {.stream = false};
    assert_int_equal(ready_compute(&s) & KINDS, EPOLLOUT);
    s.received = 64;
    assert_int_equal(ready_compute(&s) & KINDS, EPOLLIN | EPOLLOUT);
    s.error = true;
    assert_int_equal(ready_compute(&s) & KINDS, EPOLLIN | EPOLLOUT | EPOLLERR);
    s = (struct ready_snapshot){.app_flags = DMM_AF_SHUT_RD | DMM_AF_SHUT_WR};
    assert_int_equal(ready_compute(&s) & KINDS, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_and_connecting),
        cmocka_unit_test(listening),
        cmocka_unit_test(data_and_room),
        cmocka_unit_test(little_enough_unsent),
        cmocka_unit_test(ends),
        cmocka_unit_test(datagrams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
