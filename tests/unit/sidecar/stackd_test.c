/* SPDX-License-Identifier: Apache-2.0 */
/* The real dmm-stackd with the loop stack, spoken to over its real socket. */
#include "tests/unit/sidecar/stackd_run.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LOOP 1 /* the instance */

static struct stackd stackd;

static int start(void **state)
{
    (void)state;
    return stackd_start(&stackd);
}

static int stop(void **state)
{
    (void)state;
    return stackd_stop(&stackd);
}

static void attach(struct sim *sim)
{
    int rc = sim_attach(sim, stackd.dir, NULL);
    if (rc)
        print_error("attach: %d %s\n", rc, sim->response.text);
    assert_int_equal(rc, 0);
}

static void pair_of(struct sim *sim, uint16_t port, uint32_t *listener, uint32_t *client,
                    uint32_t *server)
{
    int l = sim_open(sim, LOOP, SOCK_STREAM, 0);
    assert_true(l >= 0);
    assert_int_equal(sim_bind(sim, (uint32_t)l, port), 0);
    assert_int_equal(sim_listen(sim, (uint32_t)l, 16), 0);
    int c = sim_open(sim, LOOP, SOCK_STREAM, 0);
    assert_true(c >= 0);
    assert_int_equal(sim_connect_to(sim, (uint32_t)c, port), 0);
    int s = sim_wait_accept(sim, (uint32_t)l);
    assert_true(s >= 0);
    assert_true(sim_wait_state(sim, (uint32_t)c, DMM_SS_CONNECTED));
    *listener = (uint32_t)l;
    *client = (uint32_t)c;
    *server = (uint32_t)s;
}

static void transfer(struct sim *sim, uint32_t from, uint32_t to, uint32_t total)
{
    char out[8192], in[8192];
    uint32_t sent = 0, got = 0;
    for (int idle = 0; got < total && idle < 20000; idle++) {
        uint32_t want = total - sent < sizeof(out) ? total - sent : (uint32_t)sizeof(out);
        for (uint32_t i = 0; i < want; i++)
            out[i] = (char)((sent + i) * 7 >> 3);
        uint32_t n = sim_write(sim, from, out, want);
        sent += n;
        uint32_t m = sim_read(sim, to, in, sizeof(in));
        for (uint32_t i = 0; i < m; i++)
            if (in[i] != (char)((got + i) * 7 >> 3))
                fail_msg("byte %u differs", got + i);
        got += m;
        if (n || m)
            idle = 0;
        else
            sim_pause(sim);
    }
    assert_int_equal(got, total);
}

static void moves_bytes_both_ways(void **state)
{
    struct sim sim;
    uint32_t l, c, s;
    (void)state;
    attach(&sim);
    pair_of(&sim, 80, &l, &c, &s);
    transfer(&sim, c, s, 3000000);
    transfer(&sim, s, c, 1000000);
    sim_close(&sim, c);
    assert_true(sim_wait_state(&sim, s, DMM_SS_EOF));
    sim_detach(&sim);
}

static void wakes_a_sleeper(void **state)
{
    struct sim sim;
    uint32_t l, c, s;
    (void)state;
    attach(&sim);
    pair_of(&sim, 81, &l, &c, &s);
    sim_watch(&sim, s, 0, DMM_EV_IN);
    while (sim_sleep(&sim, 20))
        sim_take_ready(&sim, s);
    assert_int_equal(sim_write(&sim, c, "hello", 5), 5);
    uint32_t events = 0;
    for (int i = 0; i < 10 && !events; i++) {
        assert_true(sim_sleep(&sim, 2000));
        events = sim_take_ready(&sim, s);
    }
    assert_int_equal(events, DMM_EV_IN);
    sim_detach(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_bytes_both_ways),
        cmocka_unit_test(wakes_a_sleeper),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
