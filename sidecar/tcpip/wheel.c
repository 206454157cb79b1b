/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/wheel.h"

#include <string.h>

#define DIGIT_BITS 6
/* The horizon: 2^48 ticks are 146 years; a later deadline is brought in to it. */
#define MAX_TICKS ((1ULL << (DIGIT_BITS * WHEEL_LEVELS)) - 1)

static void list_push(struct wheel_timer **head, struct wheel_timer *timer)
{
    timer->next = *head;
    timer->pprev = head;
    if (timer->next != NULL)
        timer->next->pprev = &timer->next;
    *head = timer;
}

static void list_remove(struct wheel_timer *timer)
{
    *timer->pprev = timer->next;
    if (timer->next != NULL)
        timer->next->pprev = timer->pprev;
    timer->pprev = NULL;
}

static bool slot_empty(struct wheel_timer *const *lists)
{
    for (unsigned way = 0; way < WHEEL_WAYS; way++) {
        if (lists[way] != NULL)
            return false;
    }
    return true;
}

/* `timer->expires` > tick. */
static void place(struct wheel *wheel, struct wheel_timer *timer)
{
    const unsigned level =
        (unsigned)(63 - __builtin_clzll(timer->expires ^ wheel->tick)) / DIGIT_BITS;
    const unsigned slot = (timer->expires >> (level * DIGIT_BITS)) % WHEEL_SLOTS;

    list_push(&wheel->slots[level][slot][wheel->way++ % WHEEL_WAYS], timer);
    wheel->bitmap[level] |= 1ULL << slot;
}

void wheel_init(struct wheel *wheel, uint64_t now)
{
    memset(wheel, 0, sizeof(*wheel));
    wheel->tick = now >> WHEEL_TICK_SHIFT;
}

void wheel_disarm(struct wheel *wheel, struct wheel_timer *timer)
{
    if (timer->pprev == NULL)
        return;

    const uintptr_t at = (uintptr_t)timer->pprev - (uintptr_t)wheel->slots;

    list_remove(timer);
    /* It was the head of a list of a slot and nothing follows: the slot may be empty now. */
    if (at < sizeof(wheel->slots) && timer->next == NULL) {
        const unsigned index = (unsigned)(at / sizeof(wheel->slots[0][0]));
        const unsigned level = index / WHEEL_SLOTS, slot = index % WHEEL_SLOTS;

        if (slot_empty(wheel->slots[level][slot]))
            wheel->bitmap[level] &= ~(1ULL << slot);
    }
}

void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline)
{
    const uint64_t round = (1ULL << WHEEL_TICK_SHIFT) - 1;
    uint64_t expires = (deadline >> WHEEL_TICK_SHIFT) + ((deadline & round) != 0);

    if (expires <= wheel->tick)
        expires = wheel->tick + 1;
    if ((expires ^ wheel->tick) > MAX_TICKS)
        expires = wheel->tick | MAX_TICKS;
    if (timer->pprev != NULL) {
        if (timer->expires == expires)
            return;
        wheel_disarm(wheel, timer);
    }
    timer->expires = expires;
    place(wheel, timer);
}

void wheel_clear(struct wheel *wheel)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        for (unsigned i = 0; i < WHEEL_SLOTS * WHEEL_WAYS; i++) {
            struct wheel_timer **head = &wheel->slots[level][i / WHEEL_WAYS][i % WHEEL_WAYS];

            for (struct wheel_timer *t = *head; t != NULL; t = t->next)
                t->pprev = NULL;
            *head = NULL;
        }
        wheel->bitmap[level] = 0;
    }
}

/* The start of the next occupied slot, in ticks; false if there is none. */
static bool next_slot(const struct wheel *wheel, unsigned *level, unsigned *slot, uint64_t *tick)
{
    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        if (wheel->bitmap[l] == 0)
            continue;
        const unsigned shift = l * DIGIT_BITS;
        const uint64_t above = wheel->tick >> shift >> DIGIT_BITS;

        *level = l;
        *slot = (unsigned)__builtin_ctzll(wheel->bitmap[l]);
        *tick = (above << DIGIT_BITS | *slot) << shift;
        return true;
    }
    return false;
}

/* Takes a slot's lists as `due`, keeping the heads' back pointers right. */
static void take_slot(struct wheel *wheel, unsigned level, unsigned slot)
{
    for (unsigned way = 0; way < WHEEL_WAYS; way++) {
        struct wheel_timer **head = &wheel->slots[level][slot][way];

        wheel->due[way] = *head;
        if (*head != NULL)
            (*head)->pprev = &wheel->due[way];
        *head = NULL;
        __builtin_prefetch(wheel->due[way]);
    }
    wheel->bitmap[level] &= ~(1ULL << slot);
}

/* Fires the first of each list in turn, so that the next of it has time to come. */
static unsigned fire_due(struct wheel *wheel, struct tcpip *ip)
{
    unsigned fired = 0, before;

    do {
        before = fired;
        for (unsigned way = 0; way < WHEEL_WAYS; way++) {
            struct wheel_timer *timer = wheel->due[way];

            if (timer == NULL)
                continue;
            list_remove(timer);
            __builtin_prefetch(wheel->due[way]);
            timer->fire(ip, timer);
            fired++;
        }
    } while (fired != before);
    return fired;
}

unsigned wheel_advance(struct wheel *wheel, struct tcpip *ip, uint64_t now)
{
    const uint64_t target = now >> WHEEL_TICK_SHIFT;
    unsigned fired = 0;
    unsigned level, slot;
    uint64_t tick;

    while (next_slot(wheel, &level, &slot, &tick) && tick <= target) {
        wheel->tick = tick;
        take_slot(wheel, level, slot);
        fired += fire_due(wheel, ip);
    }
    if (target > wheel->tick)
        wheel->tick = target;
    return fired;
}

uint64_t wheel_next(const struct wheel *wheel)
{
    unsigned level, slot;
    uint64_t tick;

    if (!next_slot(wheel, &level, &slot, &tick))
        return UINT64_MAX;
    return tick << WHEEL_TICK_SHIFT;
}
