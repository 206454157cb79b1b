/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void sizes_are_powers_of_two_and_aligned(void **state)
{
    struct dmm_heap heap;
    uint32_t size;
    (void)state;
    assert_int_equal(dmm_heap_init(&heap, 64 << 20), 0);
    for (uint64_t bytes = 1; bytes <= 16 << 20; bytes = bytes * 3 + 1) {
        uint64_t at = dmm_heap_alloc(&heap, bytes, &size);
        assert_true(at != DMM_HEAP_NONE);
        assert_true(size >= bytes && size >= 2048 && !(size & (size - 1)));
        assert_true(bytes <= 2048 || size / 2 < bytes);
        assert_int_equal(at % size, 0);
        assert_true(dmm_heap_free(&heap, at));
    }
    assert_true(dmm_heap_alloc(&heap, (16 << 20) + 1, &size) == DMM_HEAP_NONE);
    assert_int_equal(heap.used, 0);
    dmm_heap_destroy(&heap);
}

static void all_of_it_can_be_had_and_merges_again(void **state)
{
    struct dmm_heap heap;
    uint32_t size;
    (void)state;
    /* Not a power of two: 3 MiB and one block. */
    uint64_t bytes = (3 << 20) + 2048;
    assert_int_equal(dmm_heap_init(&heap, bytes), 0);
    for (int round = 0; round < 3; round++) {
        uint64_t n = 0;
        while (dmm_heap_alloc(&heap, 2048, &size) != DMM_HEAP_NONE)
            n++;
        assert_int_equal(n, bytes / 2048);
        for (uint64_t i = 0; i < n; i++) /* in an order that merges late */
            assert_true(dmm_heap_free(&heap, (i * 5 % n) * 2048));
        assert_int_equal(heap.used, 0);
        uint64_t large = dmm_heap_alloc(&heap, 2 << 20, &size);
        assert_true(large != DMM_HEAP_NONE);
        assert_true(dmm_heap_free(&heap, large));
    }
    dmm_heap_destroy(&heap);
}

static void blocks_never_overlap(void **state)
{
    enum { N = 200 };
    struct dmm_heap heap;
    uint64_t at[N] = {0};
    uint32_t size[N] = {0};
    unsigned seed = 7;
    (void)state;
    assert_int_equal(dmm_heap_init(&heap, 8 << 20), 0);
    uint8_t *owner = calloc(1, 8 << 20 >> 11);
    for (int step = 0; step < 20000; step++) {
        int i = rand_r(&seed) % N;
        if (size[i]) {
            for (uint32_t b = 0; b < size[i] >> 11; b++) {
                assert_int_equal(owner[(at[i] >> 11) + b], i + 1);
                owner[(at[i] >> 11) + b] = 0;
            }
            assert_true(dmm_heap_free(&heap, at[i]));
            size[i] = 0;
            continue;
        }
        at[i] = dmm_heap_alloc(&heap, 1u << (rand_r(&seed) % 20), &size[i]);
        if (at[i] == DMM_HEAP_NONE) {
            size[i] = 0;
            continue;
        }
        assert_true(at[i] + size[i] <= 8 << 20);
        for (uint32_t b = 0; b < size[i] >> 11; b++) {
            assert_int_equal(owner[(at[i] >> 11) + b], 0);
            owner[(at[i] >> 11) + b] = (uint8_t)(i + 1);
        }
    }
    free(owner);
    dmm_heap_destroy(&heap);
}

static void wrong_frees_are_refused(void **state)
{
    struct dmm_heap heap;
    uint32_t size;
    (void)state;
    assert_int_equal(dmm_heap_init(&heap, 1 << 20), 0);
    uint64_t at = dmm_heap_alloc(&heap, 8192, &size);
    assert_false(dmm_heap_free(&heap, at + 2048)); /* inside */
    assert_false(dmm_heap_free(&heap, at + 1));
    assert_false(dmm_heap_free(&heap, 1 << 20));
    assert_false(dmm_heap_free(&heap, DMM_HEAP_NONE));
    assert_true(dmm_heap_free(&heap, at));
    assert_false(dmm_heap_free(&heap, at)); /* twice */
    assert_int_equal(heap.used, 0);
    dmm_heap_destroy(&heap);
    assert_int_not_equal(dmm_heap_init(&heap, 100), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_powers_of_two_and_aligned),
        cmocka_unit_test(all_of_it_can_be_had_and_merges_again),
        cmocka_unit_test(blocks_never_overlap),
        cmocka_unit_test(wrong_frees_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
