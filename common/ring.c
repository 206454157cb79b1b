/* SPDX-License-Identifier: Apache-2.0 */
#include "common/ring.h"

void dmm_ring_move(char *to, uint32_t to_size, const char *from, uint32_t from_size, uint32_t at,
                   uint32_t len)
{
    while (len) {
        uint32_t start = at & (from_size - 1);
        uint32_t piece = len < from_size - start ? len : from_size - start;
        dmm_ring_write(to, to_size, at, from + start, piece);
        at += piece;
        len -= piece;
    }
}
