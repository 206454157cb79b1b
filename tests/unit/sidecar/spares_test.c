/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets opened ahead of connects: who gets them, what taking one does, and where they go. */
#include "common/log.h"
#include "tests/unit/sidecar/local.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct local local;
static struct dmm_client *client;
static struct sim sim;
static uint32_t listener;

static int set_up(void **state)
{
    const struct dmm_limits few = {.max_clients = 4,
                                   .max_sockets = 32,
                                   .rx_max = 1 << 16,
                                   .tx_max = 1 << 16,
                                   .heap_size = 1 << 22};
    local_start(&local, *state ? &few : NULL);
    client = local_client(&local, &sim);
    listener = (uint32_t)sim_open(&sim, 1, SOCK_STREAM, 0);
    assert_int_equal(sim_bind(&sim, listener, 80), 0);
    assert_int_equal(sim_listen(&sim, listener, 64), 0);
    return 0;
}

static int set_up_few(void **state)
{
    *state = &local;
    return set_up(state);
}

static int tear_down(void **state)
{
    *state = NULL;
    assert_int_equal(local.worker.stats.violations, 0);
    local_stop(&local);
    assert_int_equal(local.loop.n_spares, 0);
    close(sim.bell);
    return 0;
}

static struct dmm_addr at(uint16_t port)
{
    return (struct dmm_addr){.family = AF_INET, .port = port, .ip = {10, 0, 0, 1}};
}

/* OPEN that connects, and waits for its answer. */
static int open_to(uint16_t port)
{
    struct dmm_command command = {.op = DMM_CMD_OPEN, .instance = 1};
    command.open.family = AF_INET;
    command.open.type = SOCK_STREAM;
    command.open.protocol = IPPROTO_TCP;
    command.open.peer = at(port);
    int rc = sim_call(&sim, &command);
    return rc < 0 ? rc : (int)sim.reply.socket;
}

static struct dmm_channel *channel_of(const struct sim *who)
{
    return dmm_region_channel(who->region, who->channel);
}

static unsigned spares_of(const struct sim *who)
{
    unsigned n = 0;
    for (int i = 0; i < DMM_CHANNEL_SPARES; i++)
        n += atomic_load(&channel_of(who)->spares[i]) != 0;
    return n;
}

/* Takes the first, as the shim does. */
static uint32_t take(void)
{
    for (int i = 0; i < DMM_CHANNEL_SPARES; i++) {
        uint32_t word = atomic_exchange(&channel_of(&sim)->spares[i], 0);
        if (word) {
            assert_int_equal(dmm_spare_kind(word), dmm_spare_kind(dmm_spare_word(0, 1, false)));
            return dmm_spare_socket(word);
        }
    }
    fail();
    return DMM_NONE;
}

static void connect_ahead(uint32_t socket, uint16_t port)
{
    struct dmm_command command = {
        .op = DMM_CMD_CONNECT, .reply = DMM_NO_REPLY, .socket = socket, .addr = at(port)};
    sim_post(&sim, &command);
}

static void get_spares(void)
{
    assert_true(open_to(80) >= 0);
    assert_true(open_to(80) >= 0);
    assert_true(spares_of(&sim) > 0);
}

static void one_connect_brings_none(void **state)
{
    (void)state;
    assert_true(open_to(80) >= 0);
    assert_int_equal(spares_of(&sim), 0);
    unsigned before = 0;
    for (int i = 0; i < 12; i++) {
        assert_true(open_to(80) >= 0); /* each finds none, as the app says */
        assert_true(spares_of(&sim) > before || before == DMM_CHANNEL_SPARES);
        before = spares_of(&sim);
    }
    assert_int_equal(before, DMM_CHANNEL_SPARES);
}

static void a_spare_connects_and_is_replaced(void **state)
{
    (void)state;
    get_spares();
    unsigned n = spares_of(&sim);
    uint32_t c = take();
    struct dmm_socket *shared = sim_socket(&sim, c);
    assert_int_equal(atomic_load(&shared->state), DMM_SS_CONNECTING);
    assert_int_equal(spares_of(&sim), n - 1);
    connect_ahead(c, 80);
    assert_true(sim_wait_state(&sim, c, DMM_SS_CONNECTED));
    assert_int_equal(spares_of(&sim), n);
    assert_int_equal(shared->peer.port, 80);
    for (int i = 0; i < 2; i++)
        assert_true(sim_wait_accept(&sim, listener) >= 0);
    uint32_t s = (uint32_t)sim_wait_accept(&sim, listener);
    assert_int_equal(sim_write(&sim, c, "hello", 5), 5);
    sim_pause(&sim);
    char in[8];
    assert_int_equal(sim_read(&sim, s, in, sizeof(in)), 5);
}

static void what_fails_is_told_by_the_state(void **state)
{
    (void)state;
    get_spares();
    uint32_t c = take();
    struct dmm_command command = {.op = DMM_CMD_CONNECT,
                                  .reply = DMM_NO_REPLY,
                                  .socket = c,
                                  .addr = {.family = AF_INET6, .port = 80, .ip = {1}}};
    sim_post(&sim, &command);
    assert_true(sim_wait_state(&sim, c, DMM_SS_DEAD));
    assert_int_equal(atomic_load(&sim_socket(&sim, c)->so_error), EAFNOSUPPORT);
    c = take();
    connect_ahead(c, 99);
    assert_true(sim_wait_state(&sim, c, DMM_SS_DEAD));
    assert_int_equal(atomic_load(&sim_socket(&sim, c)->so_error), ECONNREFUSED);
}

static void a_second_connect_does_no_harm(void **state)
{
    (void)state;
    get_spares();
    uint32_t c = take();
    connect_ahead(c, 80);
    assert_true(sim_wait_state(&sim, c, DMM_SS_CONNECTED));
    connect_ahead(c, 99);
    local_turns(&local, 3);
    assert_false(atomic_load(&sim_socket(&sim, c)->state) & DMM_SS_DEAD);
}

static void any_command_takes_it(void **state)
{
    (void)state;
    get_spares();
    unsigned n = spares_of(&sim);
    uint32_t spares = client->n_spares;
    uint32_t c = take();
    sim_watch(&sim, c, 0, DMM_EV_IN);
    local_turns(&local, 1);
    assert_false(client->sockets[c]->flags & DMM_SOCK_SPARE);
    assert_int_equal(spares_of(&sim), n);
    assert_int_equal(client->n_spares, spares);
    sim_close(&sim, c);
    local_turns(&local, 1);
    assert_null(client->sockets[c]);
}

static void a_child_does_not_inherit_them(void **state)
{
    struct sim child;
    (void)state;
    get_spares();
    uint32_t c = take();
    local_fork(&local, client, &sim, &child);
    assert_false(dmm_sock_held(client->sockets[c], child.process));
    assert_int_equal(spares_of(&child), 0);
    local_exit(&local, client, &child);
}

static void the_dead_leave_none(void **state)
{
    struct sim child;
    (void)state;
    local_fork(&local, client, &sim, &child);
    struct sim parent = sim;
    sim = child;
    get_spares();
    assert_true(client->n_spares > 0);
    local_exit(&local, client, &sim);
    assert_int_equal(client->n_spares, 0);
    sim = parent;
}

static void they_make_way_where_sockets_run_out(void **state)
{
    (void)state;
    get_spares();
    int last = 0;
    for (int i = 0; i < 40 && last >= 0; i++)
        last = sim_open(&sim, 1, SOCK_STREAM, 0);
    assert_int_equal(last, -ENFILE);
    assert_int_equal(client->n_sockets, 32);
    assert_int_equal(client->n_spares, 0);
    assert_int_equal(spares_of(&sim), 0);
}

static void one_of_another_kind_finds_room(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        open_to(80);
    assert_int_equal(spares_of(&sim), DMM_CHANNEL_SPARES);
    uint32_t sockets = client->n_sockets;
    open_to(80); /* as if none of these were of its kind */
    assert_int_equal(spares_of(&sim), DMM_CHANNEL_SPARES);
    assert_int_equal(client->n_sockets, sockets + 2); /* both ends of the connection */
    /* One that the app took stays the app's. */
    uint32_t c = dmm_spare_socket(atomic_exchange(&channel_of(&sim)->spares[1], 0));
    client->channels[sim.channel].next_spare = 1;
    open_to(80);
    connect_ahead(c, 80);
    assert_true(sim_wait_state(&sim, c, DMM_SS_CONNECTED));
}

#define LIFE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(one_connect_brings_none),
        LIFE(a_spare_connects_and_is_replaced),
        LIFE(what_fails_is_told_by_the_state),
        LIFE(a_second_connect_does_no_harm),
        LIFE(any_command_takes_it),
        LIFE(a_child_does_not_inherit_them),
        LIFE(the_dead_leave_none),
        cmocka_unit_test_setup_teardown(they_make_way_where_sockets_run_out, set_up_few, tear_down),
        LIFE(one_of_another_kind_finds_room),
    };
    dmm_log_setup("test", DMM_LOG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
