/* SPDX-License-Identifier: Apache-2.0 */
/* The life of sockets: holders over fork and death, closing as the kernel does, accept queues,
 * growth of rings, reuse of indices. */
#include "common/log.h"
#include "tests/unit/sidecar/local.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct local local;
static struct dmm_client *client;
static struct sim sim;

static int set_up(void **state)
{
    (void)state;
    local_start(&local, NULL);
    client = local_client(&local, &sim);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    local_stop(&local);
    close(sim.bell);
    return 0;
}

static uint32_t listener(uint16_t port, int backlog)
{
    int l = sim_open(&sim, 1, SOCK_STREAM, 0);
    assert_true(l >= 0);
    assert_int_equal(sim_bind(&sim, (uint32_t)l, port), 0);
    assert_int_equal(sim_listen(&sim, (uint32_t)l, backlog), 0);
    return (uint32_t)l;
}

static uint32_t connecting(uint16_t port)
{
    int c = sim_open(&sim, 1, SOCK_STREAM, 0);
    assert_true(c >= 0);
    assert_int_equal(sim_connect_to(&sim, (uint32_t)c, port), 0);
    return (uint32_t)c;
}

static uint32_t state_of(uint32_t socket)
{
    local_turns(&local, 3);
    return atomic_load(&sim_socket(&sim, socket)->state);
}

static uint32_t error_of(uint32_t socket)
{
    return atomic_load(&sim_socket(&sim, socket)->so_error);
}

static void refused_connect_is_told(void **state)
{
    (void)state;
    uint32_t c = connecting(99);
    assert_true(state_of(c) & DMM_SS_DEAD);
    assert_int_equal(error_of(c), ECONNREFUSED);
}

static void the_last_holder_closes(void **state)
{
    struct sim child;
    (void)state;
    uint32_t l = listener(80, 4);
    uint32_t c = connecting(80);
    uint32_t s = (uint32_t)sim_wait_accept(&sim, l);
    local_fork(&local, client, &sim, &child);
    sim_close(&sim, s);
    assert_false(state_of(c) & DMM_SS_EOF);
    assert_int_equal(sim_write(&child, s, "child", 5), 5); /* the child still has it */
    sim_close(&child, s);
    assert_true(state_of(c) & DMM_SS_EOF);
    assert_false(state_of(c) & DMM_SS_DEAD);
    local_exit(&local, client, &child);
}

static void commands_before_fork_count(void **state)
{
    struct sim child;
    (void)state;
    uint32_t l = listener(80, 4);
    uint32_t c = connecting(80);
    local_turns(&local, 3);
    /* Accepted, told, but the worker has not looked yet. */
    void (*turn)(void *) = sim.turn;
    sim.turn = NULL;
    uint32_t s = (uint32_t)sim_accept(&sim, l);
    local_fork(&local, client, &sim, &child);
    sim.turn = child.turn = turn;
    assert_true(dmm_sock_held(client->sockets[s], child.process));
    local_exit(&local, client, &child);
    assert_false(state_of(c) & DMM_SS_EOF);
}

static void a_dead_process_s_sockets_close(void **state)
{
    struct sim child;
    (void)state;
    uint32_t l = listener(80, 4);
    local_fork(&local, client, &sim, &child);
    int c = sim_open(&child, 1, SOCK_STREAM, 0);
    assert_int_equal(sim_connect_to(&child, (uint32_t)c, 80), 0);
    uint32_t s = (uint32_t)sim_wait_accept(&sim, l);
    atomic_store(&sim_socket(&sim, (uint32_t)c)->tx_lock, child.process + 1);
    atomic_store(&sim_socket(&sim, l)->rx_lock, (child.process + 1) | 1u << 31);
    atomic_store(&sim_socket(&sim, s)->rx_lock, sim.process + 1);
    local_exit(&local, client, &child);
    assert_true(state_of(s) & DMM_SS_EOF);
    assert_int_equal(atomic_load(&sim_socket(&sim, l)->rx_lock), 0);
    assert_int_equal(atomic_load(&sim_socket(&sim, s)->rx_lock), sim.process + 1);
    assert_false(client->ended);
}

static void the_last_process_s_death_ends_the_client(void **state)
{
    (void)state;
    uint32_t l = listener(80, 4);
    connecting(80);
    sim_wait_accept(&sim, l);
    local_exit(&local, client, &sim);
    assert_int_equal(local.ended, 1);
    assert_int_equal(local.gone, 1);
    assert_int_equal(local.worker.stats.violations, 0);
    sim.bell = dup(0);
}

static void unread_bytes_turn_a_close_into_a_reset(void **state)
{
    (void)state;
    uint32_t l = listener(80, 4);
    uint32_t c = connecting(80);
    uint32_t s = (uint32_t)sim_wait_accept(&sim, l);
    sim_write(&sim, c, "unread", 6);
    local_turns(&local, 2);
    sim_close(&sim, s);
    assert_true(state_of(c) & DMM_SS_DEAD);
    assert_int_equal(error_of(c), ECONNRESET);
}

static void bytes_written_before_a_close_arrive(void **state)
{
    char buf[16];
    (void)state;
    uint32_t l = listener(80, 4);
    uint32_t c = connecting(80);
    uint32_t s = (uint32_t)sim_wait_accept(&sim, l);
    void (*turn)(void *) = sim.turn;
    sim.turn = NULL; /* both commands before a turn */
    sim_write(&sim, c, "last words", 10);
    sim_close(&sim, c);
    sim.turn = turn;
    assert_true(state_of(s) & DMM_SS_EOF);
    assert_int_equal(sim_read(&sim, s, buf, sizeof(buf)), 10);
}

static void an_unaccepted_connection_is_reset_with_its_listener(void **state)
{
    (void)state;
    uint32_t l = listener(80, 4);
    uint32_t c = connecting(80);
    assert_true(state_of(c) & DMM_SS_CONNECTED);
    sim_close(&sim, l);
    assert_true(state_of(c) & DMM_SS_DEAD);
    assert_int_equal(error_of(c), ECONNRESET);
}

static void a_claim_whose_claimer_died_is_reset(void **state)
{
    struct sim child;
    (void)state;
    uint32_t l = listener(80, 4);
    uint32_t c = connecting(80);
    local_fork(&local, client, &sim, &child);
    assert_true(state_of(c) & DMM_SS_CONNECTED);
    atomic_fetch_add(&sim_socket(&sim, l)->rx_head, 4); /* claimed, and then */
    local_exit(&local, client, &child);                 /* it died */
    assert_false(state_of(c) & DMM_SS_DEAD);
    assert_int_not_equal(client->sweep_at, 0);
    client->sweep_at = 1; /* a second later */
    assert_true(state_of(c) & DMM_SS_DEAD);
}

/* Of a busy server: a claim is under way whenever some process dies. */
static void a_claim_after_someone_died_is_not_doubted(void **state)
{
    struct sim child;
    (void)state;
    uint32_t l = listener(80, 4);
    local_fork(&local, client, &sim, &child);
    local_exit(&local, client, &child);
    uint32_t c = connecting(80);
    assert_true(state_of(c) & DMM_SS_CONNECTED);
    struct dmm_socket *queue = sim_socket(&sim, l);
    uint32_t head = atomic_fetch_add(&queue->rx_head, 4);
    for (int second = 0; second < 2; second++) {
        if (client->sweep_at)
            client->sweep_at = 1;
        assert_false(state_of(c) & DMM_SS_DEAD);
    }
    atomic_store(&queue->rx_head, head);
    assert_true(sim_accept(&sim, l) >= 0);
    assert_false(state_of(c) & DMM_SS_DEAD);
}

static void a_full_queue_waits_for_accept(void **state)
{
    (void)state;
    uint32_t l = listener(80, 2);
    uint32_t c[4]; /* as on Linux, one more than the backlog fit */
    for (int i = 0; i < 4; i++)
        c[i] = connecting(80);
    assert_true(state_of(c[2]) & DMM_SS_CONNECTED);
    assert_false(state_of(c[3]) & DMM_SS_CONNECTED);
    assert_true(sim_accept(&sim, l) >= 0);
    assert_true(state_of(c[3]) & DMM_SS_CONNECTED);
    assert_true(sim_accept(&sim, l) >= 0);
    assert_true(sim_accept(&sim, l) >= 0);
    assert_true(sim_accept(&sim, l) >= 0);
    assert_int_equal(sim_accept(&sim, l), -1);
}

static void rings_grow_and_keep_every_byte(void **state)
{
    enum { TOTAL = 900000 };
    (void)state;
    uint32_t l = listener(80, 4);
    uint32_t c = connecting(80);
    uint32_t s = (uint32_t)sim_wait_accept(&sim, l);
    char *out = malloc(TOTAL), *in = malloc(TOTAL);
    for (uint32_t i = 0; i < TOTAL; i++)
        out[i] = (char)(i * 2654435761u >> 24);
    uint32_t sent = 0, got = 0;
    unsigned seed = 3;
    /* The reader is slow at first, so that both rings fill and grow with bytes in them. */
    for (int i = 0; got < TOTAL && i < 100000; i++) {
        sent += sim_write(&sim, c, out + sent, TOTAL - sent);
        uint32_t want = i < 40 ? 10 : (uint32_t)rand_r(&seed) % 50000;
        got += sim_read(&sim, s, in + got, want < TOTAL - got ? want : TOTAL - got);
        sim_pause(&sim);
    }
    assert_int_equal(got, TOTAL);
    assert_memory_equal(in, out, TOTAL);
    assert_true(dmm_ring_size(atomic_load(&sim_socket(&sim, s)->rx_ring)) > DMM_RX_FIRST);
    assert_true(dmm_ring_size(atomic_load(&sim_socket(&sim, c)->tx_ring)) > DMM_TX_FIRST);
    assert_null(client->sockets[s]->rx_old);
    free(out);
    free(in);
}

static void memory_comes_back(void **state)
{
    (void)state;
    uint64_t before = client->heap.used;
    uint32_t l = listener(80, 4);
    for (int i = 0; i < 40; i++) {
        uint32_t c = connecting(80);
        uint32_t s = (uint32_t)sim_wait_accept(&sim, l);
        char buf[3000] = "";
        for (int n = 0; n < 30; n++) {
            sim_write(&sim, c, buf, sizeof(buf));
            if (n % 3)
                sim_read(&sim, s, buf, sizeof(buf));
        }
        sim_close(&sim, s);
        sim_close(&sim, c);
        local_turns(&local, 4);
    }
    sim_close(&sim, l);
    local_turns(&local, 4);
    assert_int_equal(client->heap.used, before);
    assert_int_equal(client->n_sockets, 0);
    assert_true(client->sockets_top <= 4);
}

static void a_full_heap_is_survived(void **state)
{
    static const struct dmm_limits small = {.max_clients = 1,
                                            .max_sockets = 64,
                                            .rx_max = 1 << 20,
                                            .tx_max = 1 << 20,
                                            .heap_size = 1 << 16};
    (void)state;
    local_stop(&local);
    local_start(&local, &small);
    close(sim.bell);
    client = local_client(&local, &sim);
    uint32_t l = listener(80, 4);
    uint32_t c = connecting(80);
    uint32_t s = (uint32_t)sim_wait_accept(&sim, l);
    char buf[8000] = "";
    uint32_t sent = 0, got = 0;
    for (int i = 0; i < 400; i++)
        sent += sim_write(&sim, c, buf, sizeof(buf));
    assert_true(sent > 8000 && sent < 1 << 16);
    for (int i = 0; i < 4000 && got < sent; i++) {
        got += sim_read(&sim, s, buf, sizeof(buf));
        sim_pause(&sim);
    }
    assert_int_equal(got, sent); /* none is lost */
    for (int i = 0; i < 60; i++)
        sim_open(&sim, 1, SOCK_STREAM, 0); /* some get no ring */
    assert_int_equal(sim_open(&sim, 1, SOCK_DGRAM, 0) >= 0, true);
    assert_false(client->ended);
}

static void the_table_s_end_is_an_error(void **state)
{
    int last = 0;
    (void)state;
    for (uint32_t i = 0; i < local.limits.max_sockets; i++)
        assert_true((last = sim_open(&sim, 1, SOCK_STREAM, 0)) >= 0);
    assert_int_equal(sim_open(&sim, 1, SOCK_STREAM, 0), -ENFILE);
    sim_close(&sim, (uint32_t)last);
    uint32_t generation = atomic_load(&sim_socket(&sim, (uint32_t)last)->generation);
    assert_int_equal(sim_open(&sim, 1, SOCK_STREAM, 0), last);
    assert_int_equal(atomic_load(&sim_socket(&sim, (uint32_t)last)->generation), generation + 1);
}

static void a_linked_index_is_not_reused_while_there_are_others(void **state)
{
    (void)state;
    uint32_t l = listener(80, 4);
    uint32_t c = connecting(80);
    uint32_t s = (uint32_t)sim_wait_accept(&sim, l);
    sim_watch(&sim, s, 0, DMM_EV_IN);
    sim_write(&sim, c, "x", 1);
    local_turns(&local, 2); /* linked in the ready list, which no one takes */
    assert_int_not_equal(atomic_load(&sim_socket(&sim, s)->watches[0].pending), 0);
    sim_close(&sim, s);
    local_turns(&local, 2);
    assert_int_equal(atomic_load(&sim_socket(&sim, s)->watches[0].owner), 0);
    for (int i = 0; i < 10; i++)
        assert_int_not_equal(sim_open(&sim, 1, SOCK_STREAM, 0), s);
    sim_take_ready(&sim, s);
    int again = -1;
    for (int i = 0; i < 10 && again != (int)s; i++)
        again = sim_open(&sim, 1, SOCK_STREAM, 0);
    assert_int_equal(again, s);
}

static void adopted_listeners_are_shared(void **state)
{
    struct sim child;
    (void)state;
    local_fork(&local, client, &sim, &child);
    int a = sim_open(&sim, 1, SOCK_STREAM, DMM_OPEN_ADOPT);
    assert_int_equal(sim_bind(&sim, (uint32_t)a, 80), 0);
    assert_int_equal(sim_listen(&sim, (uint32_t)a, 4), 0);
    int b = sim_open(&child, 1, SOCK_STREAM, DMM_OPEN_ADOPT);
    assert_int_not_equal(a, b);
    assert_int_equal(sim_bind(&child, (uint32_t)b, 80), 0);
    assert_int_equal(child.reply.socket, a);
    assert_int_equal(sim_listen(&child, (uint32_t)a, 4), 0);
    connecting(80);
    assert_true(sim_wait_accept(&child, (uint32_t)a) >= 0);
    /* One that was another socket before, by SO_REUSEPORT, is not joined with it. */
    struct dmm_command other = {.op = DMM_CMD_OPEN,
                                .instance = 1,
                                .value = 7,
                                .open = {.family = AF_INET,
                                         .type = SOCK_STREAM,
                                         .protocol = IPPROTO_TCP,
                                         .flags = DMM_OPEN_ADOPT}};
    assert_int_equal(sim_call(&child, &other), 0);
    assert_int_equal(sim_bind(&child, child.reply.socket, 80), -EADDRINUSE);
    /* Without the flag it is what it always was. */
    int c = sim_open(&child, 1, SOCK_STREAM, 0);
    assert_int_equal(sim_bind(&child, (uint32_t)c, 80), -EADDRINUSE);
    local_exit(&local, client, &child);
}

static void datagrams_keep_their_bounds(void **state)
{
    struct {
        struct dmm_datagram_header header;
        char payload[24];
    } out = {.header = {.len = 19}}, in;
    (void)state;
    uint32_t a = (uint32_t)sim_open(&sim, 1, SOCK_DGRAM, 0);
    uint32_t b = (uint32_t)sim_open(&sim, 1, SOCK_DGRAM, 0);
    assert_int_equal(sim_bind(&sim, b, 53), 0);
    assert_int_equal(sim_connect_to(&sim, a, 53), 0);
    memcpy(out.payload, "nineteen characters", 19);
    uint32_t record = dmm_datagram_record_size(19);
    for (int i = 0; i < 3000; i++) { /* many laps of the ring */
        out.payload[0] = (char)i;
        assert_int_equal(sim_write(&sim, a, &out, record), record);
        sim_pause(&sim);
        assert_int_equal(sim_read(&sim, b, &in, record), record);
        assert_int_equal(in.header.len, 19);
        assert_int_equal(in.header.peer.family, AF_INET);
        assert_memory_equal(in.payload, out.payload, 19);
    }
}

/* For a stack that does not cut what was sent by UDP_SEGMENT the host does. */
static void segments_are_cut(void **state)
{
    struct {
        struct dmm_datagram_header header;
        char payload[24];
    } out = {.header = {.len = 19, .segment = 8}, .payload = "nineteen characters"}, in;
    static const char *const parts[] = {"nineteen", " charact", "ers"};
    (void)state;
    uint32_t a = (uint32_t)sim_open(&sim, 1, SOCK_DGRAM, 0);
    uint32_t b = (uint32_t)sim_open(&sim, 1, SOCK_DGRAM, 0);
    assert_int_equal(sim_bind(&sim, b, 53), 0);
    assert_int_equal(sim_connect_to(&sim, a, 53), 0);
    for (int i = 0; i < 300; i++) { /* laps of the ring */
        uint32_t record = dmm_datagram_record_size(19);
        assert_int_equal(sim_write(&sim, a, &out, record), record);
        sim_pause(&sim);
        for (int part = 0; part < 3; part++) {
            uint32_t len = (uint32_t)strlen(parts[part]);
            record = dmm_datagram_record_size(len);
            assert_int_equal(sim_read(&sim, b, &in, record), record);
            assert_int_equal(in.header.len, len);
            assert_int_equal(in.header.segment, 0);
            assert_memory_equal(in.payload, parts[part], len);
        }
    }
    assert_int_equal(sim_read(&sim, b, &in, sizeof(in)), 0);
}

static void shutdown_of_a_listener_wakes_who_accepts(void **state)
{
    (void)state;
    uint32_t l = listener(80, 4);
    uint32_t c = connecting(80);
    assert_true(state_of(c) & DMM_SS_CONNECTED);
    struct dmm_command command = {
        .op = DMM_CMD_SHUTDOWN, .socket = l, .reply = DMM_NO_REPLY, .value = SHUT_RDWR};
    sim_post(&sim, &command);
    assert_true(state_of(l) & DMM_SS_DEAD);
    assert_int_equal(error_of(l), 0);
    assert_true(state_of(c) & DMM_SS_DEAD);
}

/* OPEN with a peer: open and connect in one round trip. */
static int open_to(int type, uint16_t family, uint16_t port)
{
    struct dmm_command command = {.op = DMM_CMD_OPEN, .instance = 1};
    command.open.family = AF_INET;
    command.open.type = (uint16_t)type;
    command.open.protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    command.open.peer = (struct dmm_addr){.family = family, .port = port, .ip = {10, 0, 0, 1}};
    int rc = sim_call(&sim, &command);
    return rc < 0 ? rc : (int)sim.reply.socket;
}

static void open_connects_too(void **state)
{
    (void)state;
    uint32_t l = listener(80, 4);
    int c = open_to(SOCK_STREAM, AF_INET, 80);
    assert_true(c >= 0);
    assert_int_equal(sim.reply.addr.family, AF_INET);
    assert_true(state_of((uint32_t)c) & DMM_SS_CONNECTED);
    uint32_t s = (uint32_t)sim_wait_accept(&sim, l);
    assert_int_equal(sim_write(&sim, (uint32_t)c, "hello", 5), 5);
    char in[8];
    sim_pause(&sim);
    assert_int_equal(sim_read(&sim, s, in, sizeof(in)), 5);
    assert_int_equal(sim_socket(&sim, (uint32_t)c)->peer.port, 80);
}

static void an_open_that_cannot_connect_leaves_no_socket(void **state)
{
    (void)state;
    uint32_t before = client->n_sockets;
    assert_int_equal(open_to(SOCK_STREAM, 77, 80), -EAFNOSUPPORT);
    assert_int_equal(open_to(SOCK_DGRAM, AF_INET, 80), -EAFNOSUPPORT);
    assert_int_equal(open_to(SOCK_STREAM, AF_INET6, 80), -EAFNOSUPPORT); /* the stack says so */
    assert_int_equal(client->n_sockets, before);
    assert_int_equal(local.worker.stats.violations, 0);
}

/* An option whose answer nobody waits for is set before what comes after it. */
static void an_option_may_go_without_an_answer(void **state)
{
    (void)state;
    int c = sim_open(&sim, 1, SOCK_STREAM, 0);
    struct dmm_command set = {.op = DMM_CMD_SETSOCKOPT,
                              .socket = (uint32_t)c,
                              .reply = DMM_NO_REPLY,
                              .opt = {.level = SOL_SOCKET, .name = SO_RCVBUF, .len = sizeof(int)}};
    int bytes = 50000;
    memcpy(set.opt.value, &bytes, sizeof(bytes));
    sim_post(&sim, &set);
    struct dmm_command get = {.op = DMM_CMD_GETSOCKOPT,
                              .socket = (uint32_t)c,
                              .opt = {.level = SOL_SOCKET, .name = SO_RCVBUF, .len = sizeof(int)}};
    assert_int_equal(sim_call(&sim, &get), 0);
    memcpy(&bytes, sim.reply.data, sizeof(bytes));
    assert_int_equal(bytes, 100000);
    set.reply = DMM_CHANNEL_REPLIES; /* neither a slot nor none */
    sim_post(&sim, &set);
    local_turns(&local, 2);
    assert_int_equal(local.worker.stats.violations, 1);
    assert_int_equal(local.worker.n_clients, 0); /* its end is the client's */
}

#define LIFE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(refused_connect_is_told),
        LIFE(the_last_holder_closes),
        LIFE(commands_before_fork_count),
        LIFE(a_dead_process_s_sockets_close),
        LIFE(the_last_process_s_death_ends_the_client),
        LIFE(unread_bytes_turn_a_close_into_a_reset),
        LIFE(bytes_written_before_a_close_arrive),
        LIFE(an_unaccepted_connection_is_reset_with_its_listener),
        LIFE(a_claim_whose_claimer_died_is_reset),
        LIFE(a_claim_after_someone_died_is_not_doubted),
        LIFE(a_full_queue_waits_for_accept),
        LIFE(rings_grow_and_keep_every_byte),
        LIFE(memory_comes_back),
        LIFE(a_full_heap_is_survived),
        LIFE(the_table_s_end_is_an_error),
        LIFE(a_linked_index_is_not_reused_while_there_are_others),
        LIFE(adopted_listeners_are_shared),
        LIFE(datagrams_keep_their_bounds),
        LIFE(segments_are_cut),
        LIFE(shutdown_of_a_listener_wakes_who_accepts),
        LIFE(open_connects_too),
        LIFE(an_open_that_cannot_connect_leaves_no_socket),
        LIFE(an_option_may_go_without_an_answer),
    };
    dmm_log_setup("test", DMM_LOG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
