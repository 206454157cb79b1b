/* SPDX-License-Identifier: Apache-2.0 */
/* The timing wheel beside a plain list of deadlines. */
#include "sidecar/tcpip/wheel.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>

#define TICK   (1ULL << WHEEL_TICK_SHIFT)
#define TIMERS 500

struct entry {
    struct wheel_timer timer;
    uint64_t deadline; /* 0: not armed */
    unsigned fired, early;
};

static struct entry entries[TIMERS];
static struct wheel w;
static uint64_t now;

static void fire(struct tcpip *ip, struct wheel_timer *timer)
{
    struct entry *e = (struct entry *)timer;

    UNUSED(ip);
    assert_true(e->deadline != 0);
    if (now < e->deadline) { /* each time a level lower */
        assert_true(++e->early < WHEEL_LEVELS);
        wheel_arm(&w, timer, e->deadline);
        return;
    }
    assert_true(now < e->deadline + 2 * TICK || now - e->deadline < 1000 * TICK);
    e->deadline = 0;
    e->early = 0;
    e->fired++;
}

static void fires_in_time(void **state)
{
    static const uint64_t spans[] = {1, TICK, 1000 * TICK, 1000000ULL * TICK, 1ULL << 45};
    unsigned seed = 1;

    UNUSED(state);
    now = 123456789;
    wheel_init(&w, now);
    for (unsigned i = 0; i < TIMERS; i++)
        entries[i] = (struct entry){.timer = {.fire = fire}};
    for (unsigned turn = 0; turn < 200000; turn++) {
        struct entry *e = &entries[(unsigned)rand_r(&seed) % TIMERS];

        if (rand_r(&seed) % 4 == 0) {
            wheel_disarm(&w, &e->timer);
            e->deadline = 0;
        } else {
            const uint64_t span = spans[(unsigned)rand_r(&seed) % 5];

            e->early = 0;
            e->deadline = now + 1 + (uint64_t)rand_r(&seed) % span;
            wheel_arm(&w, &e->timer, e->deadline);
        }
        const uint64_t next = wheel_next(&w);

        for (unsigned i = 0; i < TIMERS && turn % 97 == 0; i++)
            assert_true(entries[i].deadline == 0 || next <= entries[i].deadline + TICK);
        /* go to the next moment, or a little on */
        if (next != UINT64_MAX && next > now && rand_r(&seed) % 8 == 0)
            now = next;
        else
            now += (uint64_t)rand_r(&seed) % (4 * TICK);
        wheel_advance(&w, NULL, now);
        for (unsigned i = 0; i < TIMERS && turn % 97 == 0; i++)
            assert_true(entries[i].deadline == 0 || entries[i].deadline + TICK > now);
    }
}

/* A far timer whose deadline moves on before its slot comes is looked at once for each time that it
 * was put in, whatever level it lies on. */
static void a_deadline_that_moves_on(void **state)
{
    const uint64_t far = 100000 * TICK;
    struct entry *e = &entries[0];
    unsigned looks = 0;

    UNUSED(state);
    now = 1;
    *e = (struct entry){.timer = {.fire = fire}};
    wheel_init(&w, now);
    e->deadline = now + far;
    wheel_arm(&w, &e->timer, e->deadline);
    while (now < 50 * far) {
        e->deadline = now + far; /* an answer has come: no call of the wheel */
        looks += wheel_advance(&w, NULL, now);
        assert_true(wheel_armed(&e->timer));
        e->early = 0;
        now += far / 100;
    }
    assert_int_equal(e->fired, 0);
    assert_true(looks <= 100);
    wheel_disarm(&w, &e->timer);
    assert_true(wheel_next(&w) == UINT64_MAX);
}

/* More timers in one slot than it has lists; one goes, all others fire, and nothing is left. */
static void many_in_one_slot(void **state)
{
    UNUSED(state);
    now = 1;
    wheel_init(&w, now);
    for (unsigned i = 0; i < TIMERS; i++) {
        entries[i] = (struct entry){.timer = {.fire = fire}, .deadline = 5 * TICK};
        wheel_arm(&w, &entries[i].timer, entries[i].deadline);
    }
    wheel_disarm(&w, &entries[7].timer);
    now = 5 * TICK;
    assert_int_equal(wheel_advance(&w, NULL, now), TIMERS - 1);
    for (unsigned i = 0; i < TIMERS; i++)
        assert_int_equal(entries[i].fired, i != 7);
    assert_true(wheel_next(&w) == UINT64_MAX);
}

static struct wheel again;
static unsigned rounds;

static void fire_again(struct tcpip *ip, struct wheel_timer *timer)
{
    UNUSED(ip);
    if (++rounds < 10)
        wheel_arm(&again, timer, 0); /* due already: not in this same tick again */
}

static void arming_while_firing(void **state)
{
    struct wheel_timer t = {.fire = fire_again};

    UNUSED(state);
    wheel_init(&again, 0);
    wheel_arm(&again, &t, 5);
    for (uint64_t at = 0; at < 20; at++)
        wheel_advance(&again, NULL, at * TICK);
    assert_int_equal(rounds, 10);
    assert_false(wheel_armed(&t));
    assert_true(wheel_next(&again) == UINT64_MAX);
}

/* Owners whose memory goes in any order afterwards have no link left into each other. */
static void clear_unlinks_all(void **state)
{
    struct wheel_timer *first = calloc(1, sizeof(*first)), *second = calloc(1, sizeof(*second));
    struct wheel_timer far = {.fire = fire_again};

    UNUSED(state);
    assert_true(first != NULL && second != NULL);
    wheel_init(&w, 0);
    wheel_arm(&w, first, 1000 * TICK);
    wheel_arm(&w, second, 1000 * TICK);
    wheel_arm(&w, &far, UINT64_MAX);
    wheel_clear(&w);
    assert_true(!wheel_armed(first) && !wheel_armed(second) && !wheel_armed(&far));
    assert_true(wheel_next(&w) == UINT64_MAX);
    free(second);
    wheel_disarm(&w, first);
    wheel_arm(&w, first, 2000 * TICK);
    wheel_disarm(&w, first);
    free(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_in_time),     cmocka_unit_test(a_deadline_that_moves_on),
        cmocka_unit_test(many_in_one_slot),  cmocka_unit_test(arming_while_firing),
        cmocka_unit_test(clear_unlinks_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
