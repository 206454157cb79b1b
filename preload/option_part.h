/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option_part: options of one socket on one stack: checked as Linux checks them (linux_options.h),
 * then done by the shim's words in the region, by the sidecar or by the stack. What nobody does can
 * be set to what holds anyway, and to nothing else: ENOPROTOOPT.
 *
 * Any thread, under the entry's lock. 0 or a negative errno. `socket` is what the app made: a part
 * of an IPv6 socket may speak IPv4.
 */
#ifndef DMM_PRELOAD_OPTION_PART_H
#define DMM_PRELOAD_OPTION_PART_H

#include "preload/entry.h"
#include "preload/linux_options.h"

int option_set_part(struct client *client, const struct part *part,
                    const struct option_socket *socket, int level, int name, const void *value,
                    socklen_t len);
int option_get_part(struct client *client, const struct part *part,
                    const struct option_socket *socket, int level, int name, void *value,
                    socklen_t *len);

/* Where an option is done by another one: changes *name, *value and *len to that; `room` holds the
 * new value. */
int option_translate(const struct option_socket *socket, int level, int *name, const void **value,
                     socklen_t *len, struct option_value *room);

/* The bit in client.options_taken of an option that whoever knows it takes with any int; 0: none.
 */
uint8_t option_plain_bit(int level, int name, socklen_t len);
/* Whether a stream socket of the instance certainly takes the option. */
bool option_is_taken(const struct client *client, uint32_t instance, uint8_t bit);

#endif
