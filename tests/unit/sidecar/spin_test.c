/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/spin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void short_sleeps_open_the_window(void **state)
{
    struct dmm_spin spin = {0};
    (void)state;
    assert_false(dmm_spin_again(&spin, 100)); /* at first it sleeps */
    dmm_spin_slept(&spin, DMM_SPIN_MAX / 2);
    assert_int_equal(spin.window, DMM_SPIN_MIN);
    assert_true(dmm_spin_again(&spin, 100));
    for (int i = 0; i < 20; i++)
        dmm_spin_slept(&spin, DMM_SPIN_MAX / 2);
    assert_int_equal(spin.window, DMM_SPIN_MAX);
}

static void the_window_is_spent_and_renewed_by_work(void **state)
{
    struct dmm_spin spin = {.window = 10000};
    int looks = 0;
    (void)state;
    while (dmm_spin_again(&spin, 1000))
        looks++;
    assert_int_equal(looks, 9);
    dmm_spin_work(&spin);
    assert_true(dmm_spin_again(&spin, 1000));
}

static void long_sleeps_close_it(void **state)
{
    struct dmm_spin spin = {.window = DMM_SPIN_MAX};
    (void)state;
    for (int i = 0; i < 10; i++)
        dmm_spin_slept(&spin, UINT64_C(10) * DMM_SPIN_MAX);
    assert_int_equal(spin.window, 0);
}

static void a_shared_core_closes_it_longer_each_time(void **state)
{
    struct dmm_spin spin = {.window = DMM_SPIN_MAX};
    uint32_t before = 0;
    (void)state;
    for (int round = 0; round < 20; round++) {
        assert_true(dmm_spin_again(&spin, DMM_SPIN_SHARED + 1)); /* one more look */
        assert_int_equal(spin.window, 0);
        assert_false(dmm_spin_again(&spin, 100));
        uint32_t sleeps = 0;
        for (; !spin.window; sleeps++)
            dmm_spin_slept(&spin, 100);
        assert_true(sleeps > before || sleeps > DMM_SPIN_CLOSED_MAX);
        assert_true(sleeps <= DMM_SPIN_CLOSED_MAX + 1);
        before = sleeps;
    }
    /* Spins that pay make up for it. */
    for (int i = 0; i < 100; i++) {
        dmm_spin_again(&spin, 100);
        dmm_spin_work(&spin);
    }
    dmm_spin_again(&spin, DMM_SPIN_SHARED + 1);
    assert_true(spin.closed <= 4 * DMM_SPIN_CLOSED_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_sleeps_open_the_window),
        cmocka_unit_test(the_window_is_spent_and_renewed_by_work),
        cmocka_unit_test(long_sleeps_close_it),
        cmocka_unit_test(a_shared_core_closes_it_longer_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
