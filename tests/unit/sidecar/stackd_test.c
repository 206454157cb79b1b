/* SPDX-License-Identifier: Apache-2.0 */
/* The real dmm-stackd with the loop stack, spoken to over its real socket. */
#include "tests/unit/sidecar/stackd_run.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
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

static int set_up(void **state)
{
    (void)state;
    return stackd_start(&stackd);
}

static int tear_down(void **state)
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
        uint32_t want = (uint32_t)sizeof(out);
        if (want > total - sent)
            want = total - sent;
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

/* ---- the control protocol ---- */

static void garbage_is_answered_and_hung_up_on(void **state)
{
    static const size_t sizes[] = {1, 4, 47, sizeof(struct dmm_request) + 1, 4096};
    char garbage[4096];
    int fds[3];
    struct dmm_response response = {0};
    (void)state;
    memset(garbage, 0xa5, sizeof(garbage));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int control = sim_connect(stackd.dir);
        assert_true(control >= 0);
        assert_int_equal(sim_raw(control, garbage, sizes[i], &response, fds), -EPROTO);
        assert_non_null(strstr(response.text, "this request is of protocol"));
        char c;
        assert_int_equal(recv(control, &c, 1, 0), 0);
        close(control);
    }
}

static void wrong_requests_are_refused_with_a_text(void **state)
{
    struct dmm_request request = {.version = DMM_PROTO_VERSION, .op = DMM_REQ_FORK};
    struct dmm_response response = {0};
    struct sim sim;
    int fds[3];
    (void)state;
    int control = sim_connect(stackd.dir);
    assert_int_equal(sim_raw(control, &request, sizeof(request), &response, fds), -ENOTCONN);
    request.op = 99;
    assert_int_equal(sim_raw(control, &request, sizeof(request), &response, fds), -ENOTCONN);
    request.op = DMM_REQ_ATTACH;
    request.version = DMM_PROTO_VERSION + 1;
    assert_int_equal(sim_raw(control, &request, sizeof(request), &response, fds), -EPROTO);
    close(control);

    attach(&sim);
    assert_int_equal(sim_request(&sim, DMM_REQ_ATTACH, 0, fds), -EISCONN);
    assert_int_equal(sim_request(&sim, 99, 0, fds), -EPROTO);
    assert_int_equal(sim_request(&sim, DMM_REQ_WAITSET_FREE, 1, fds), -EINVAL);
    assert_int_equal(sim_request(&sim, DMM_REQ_WAITSET_FREE, UINT32_MAX, fds), -EINVAL);
    assert_non_null(strstr(sim.response.text, "waitset 4294967295"));
    assert_int_equal(fds[0], -1);
    assert_true(sim_open(&sim, LOOP, SOCK_STREAM, 0) >= 0); /* still served */
    sim_detach(&sim);
}

/* Who gives a waitset back still takes what is left on its list: nobody else may have it before the
 * doorbell is closed, for the news of a new owner would be taken too. */
static void a_waitset_is_not_reused_before_its_doorbell_is_closed(void **state)
{
    struct sim sim;
    int mine[3], others[3];
    (void)state;
    attach(&sim);
    assert_int_equal(sim_request(&sim, DMM_REQ_WAITSET, 0, mine), 0);
    uint32_t waitset = sim.response.waitset;
    assert_int_equal(sim_request(&sim, DMM_REQ_WAITSET_FREE, waitset, others), 0);
    assert_int_equal(sim_request(&sim, DMM_REQ_WAITSET, 0, others), 0);
    assert_int_not_equal(sim.response.waitset, waitset);
    close(others[0]);
    close(mine[0]);
    assert_int_equal(sim_request(&sim, DMM_REQ_WAITSET, 0, others), 0);
    assert_int_equal(sim.response.waitset, waitset);
    close(others[0]);
    sim_detach(&sim);
}

static void channels_and_waitsets_come_and_go(void **state)
{
    struct sim sim;
    int fds[3];
    (void)state;
    attach(&sim);
    assert_int_equal(sim_request(&sim, DMM_REQ_WAITSET, 0, fds), 0);
    uint32_t waitset = sim.response.waitset;
    assert_int_not_equal(waitset, sim.waitset);
    assert_int_equal(sim_request(&sim, DMM_REQ_WAITSET_FREE, waitset, fds), 0);
    assert_int_equal(sim_request(&sim, DMM_REQ_WAITSET_FREE, waitset, fds), -EINVAL);
    uint32_t first = sim.channel;
    assert_int_equal(sim_request(&sim, DMM_REQ_CHANNEL, 0, fds), 0);
    sim.channel = sim.response.channel;
    assert_int_not_equal(first, sim.channel);
    assert_true(sim_open(&sim, LOOP, SOCK_STREAM, 0) >= 0);
    /* As many as there may be, then a text. */
    int rc = 0, n = 0;
    while (!(rc = sim_request(&sim, DMM_REQ_CHANNEL, 0, fds)) && n < 5000)
        n++;
    assert_int_equal(rc, -EAGAIN);
    assert_non_null(strstr(sim.response.text, "channels"));
    sim_detach(&sim);
}

static void clients_have_a_limit(void **state)
{
    enum { LIMIT = 8 }; /* as stackd_run.c says */
    struct sim sims[LIMIT], one;
    (void)state;
    /* Those of earlier tests may be going still. */
    for (int tries = 0, n = 0; n < LIMIT && tries < 2000; tries++) {
        if (!sim_attach(&sims[n], stackd.dir, NULL))
            n++;
        else
            usleep(1000);
    }
    assert_int_equal(sim_attach(&one, stackd.dir, NULL), -EAGAIN);
    assert_non_null(strstr(one.response.text, "--max-clients"));
    for (int i = 0; i < LIMIT; i++)
        sim_detach(&sims[i]);
    int rc = -EAGAIN;
    for (int i = 0; i < 2000 && rc; i++) {
        rc = sim_attach(&one, stackd.dir, NULL);
        usleep(rc ? 1000 : 0);
    }
    assert_int_equal(rc, 0);
    sim_detach(&one);
}

static void a_child_process_takes_over(void **state)
{
    struct sim sim, child;
    uint32_t l, c, s;
    char buf[8] = "";
    (void)state;
    attach(&sim);
    pair_of(&sim, 82, &l, &c, &s);
    assert_int_equal(sim_fork(&sim, &child), 0);
    pid_t pid = fork();
    if (pid == 0) {
        sim_detach(&sim);
        usleep(20000);
        _exit(sim_write(&child, s, "child", 5) == 5 ? 0 : 1);
    }
    sim_detach(&child);
    sim_close(&sim, s);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    /* Both have let go, one of them by dying: what it wrote arrives, then the end. */
    assert_true(sim_wait_state(&sim, c, DMM_SS_EOF | DMM_SS_DEAD));
    assert_int_equal(atomic_load(&sim_socket(&sim, c)->state) & DMM_SS_DEAD, 0);
    assert_int_equal(sim_read(&sim, c, buf, sizeof(buf)), 5);
    assert_string_equal(buf, "child");
    sim_detach(&sim);
}

static void a_fork_that_never_came_is_undone(void **state)
{
    struct sim sim, child;
    uint32_t l, c, s;
    (void)state;
    attach(&sim);
    pair_of(&sim, 83, &l, &c, &s);
    assert_int_equal(sim_fork(&sim, &child), 0);
    sim_close(&sim, s);
    sim_detach(&child);
    assert_true(sim_wait_state(&sim, c, DMM_SS_EOF));
    sim_detach(&sim);
}

static void a_killed_process_s_sockets_go_within_a_second(void **state)
{
    struct sim sim, victim;
    (void)state;
    attach(&sim);
    int l = sim_open(&sim, LOOP, SOCK_STREAM, 0);
    assert_int_equal(sim_bind(&sim, (uint32_t)l, 84), 0);
    assert_int_equal(sim_listen(&sim, (uint32_t)l, 4), 0);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ready[0]);
        if (sim_attach(&victim, stackd.dir, NULL))
            _exit(1);
        int c = sim_open(&victim, LOOP, SOCK_STREAM, 0);
        sim_connect_to(&victim, (uint32_t)c, 84);
        sim_wait_state(&victim, (uint32_t)c, DMM_SS_CONNECTED);
        (void)!write(ready[1], "x", 1);
        pause();
    }
    close(ready[1]);
    char x;
    assert_int_equal(read(ready[0], &x, 1), 1);
    int s = sim_wait_accept(&sim, (uint32_t)l);
    assert_true(s >= 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_true(sim_wait_state(&sim, (uint32_t)s, DMM_SS_EOF | DMM_SS_DEAD));
    close(ready[0]);
    sim_detach(&sim);
}

static void the_same_token_joins_the_client(void **state)
{
    struct sim first, second, other;
    uint8_t token[16];
    (void)state;
    attach(&first);
    memcpy(token, first.response.token, sizeof(token));
    assert_int_equal(sim_attach(&second, stackd.dir, token), 0);
    assert_int_not_equal(second.process, first.process);
    int l = sim_open(&first, LOOP, SOCK_STREAM, 0);
    /* One region, seen twice. */
    atomic_store(&sim_socket(&first, (uint32_t)l)->app_private[0], 77);
    assert_int_equal(atomic_load(&sim_socket(&second, (uint32_t)l)->app_private[0]), 77);
    token[0] ^= 1;
    assert_int_equal(sim_attach(&other, stackd.dir, token), 0); /* as after a restart */
    assert_memory_equal(other.response.token, token, sizeof(token));
    assert_int_equal(other.process, 0);
    sim_detach(&first);
    sim_detach(&second);
    sim_detach(&other);
}

/* ---- peers ---- */

static void a_misbehaving_client_does_not_touch_another_s_transfer(void **state)
{
    struct sim good, bad;
    uint32_t l, c, s;
    (void)state;
    attach(&good);
    pair_of(&good, 85, &l, &c, &s);
    for (int round = 0; round < 5; round++) {
        attach(&bad);
        uint32_t bl, bc, bs;
        pair_of(&bad, (uint16_t)(86 + round), &bl, &bc, &bs);
        transfer(&good, c, s, 200000);
        switch (round) {
        case 0:
            atomic_store(&sim_socket(&bad, bc)->tx_ring, 64);
            break;
        case 1:
            atomic_store(&sim_socket(&bad, bc)->tx_tail, 1u << 30);
            break;
        case 2:
            atomic_store(&sim_socket(&bad, bc)->rx_head, 12345);
            break;
        default:
            break;
        }
        struct dmm_command command = {.op = round == 2   ? DMM_CMD_RECEIVED
                                            : round == 3 ? 200
                                                         : DMM_CMD_SEND,
                                      .socket = round == 4 ? UINT32_MAX : bc,
                                      .reply = DMM_NO_REPLY};
        sim_post(&bad, &command);
        struct pollfd line = {.fd = bad.control, .events = POLLIN};
        transfer(&good, s, c, 200000);
        assert_int_equal(poll(&line, 1, 2000), 1);
        assert_int_equal(atomic_load(&bad.region->closed), 1);
        char x;
        assert_int_equal(recv(bad.control, &x, 1, 0), 0);
        sim_detach(&bad);
    }
    sim_detach(&good);
}

static void a_changed_mapping_reaches_the_clients(void **state)
{
    struct sim sim;
    (void)state;
    attach(&sim);
    uint32_t before = atomic_load(&sim.region->policy_generation);
    assert_int_equal(dmm_region_policy(sim.region, before & 1)->mapping.default_instance, LOOP);
    assert_int_equal(stackd_write(&stackd, "mapping.json", "{\"version\":1,\"default\":\"nope\"}"),
                     0);
    usleep(100000);
    assert_int_equal(atomic_load(&sim.region->policy_generation), before); /* refused */
    assert_int_equal(stackd_write(&stackd, "mapping.json",
                                  "{\"version\":1,\"default\":\"kernel\",\"rules\":[]}"),
                     0);
    for (int i = 0; i < 2000 && atomic_load(&sim.region->policy_generation) == before; i++)
        usleep(1000);
    uint32_t after = atomic_load(&sim.region->policy_generation);
    assert_int_equal(after, before + 1);
    assert_int_equal(dmm_region_policy(sim.region, after & 1)->mapping.default_instance, 0);
    sim_detach(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_bytes_both_ways),
        cmocka_unit_test(wakes_a_sleeper),
        cmocka_unit_test(garbage_is_answered_and_hung_up_on),
        cmocka_unit_test(wrong_requests_are_refused_with_a_text),
        cmocka_unit_test(channels_and_waitsets_come_and_go),
        cmocka_unit_test(a_waitset_is_not_reused_before_its_doorbell_is_closed),
        cmocka_unit_test(clients_have_a_limit),
        cmocka_unit_test(a_child_process_takes_over),
        cmocka_unit_test(a_fork_that_never_came_is_undone),
        cmocka_unit_test(a_killed_process_s_sockets_go_within_a_second),
        cmocka_unit_test(the_same_token_joins_the_client),
        cmocka_unit_test(a_misbehaving_client_does_not_touch_another_s_transfer),
        cmocka_unit_test(a_changed_mapping_reaches_the_clients),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
