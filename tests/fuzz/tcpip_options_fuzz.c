/* SPDX-License-Identifier: Apache-2.0 */
/* TCP options: any bytes are read without harm, and what was read is written and read back the
 * same. The first byte says whether it is a SYN. */
#include "sidecar/tcpip/tcp/options.h"
#include "tests/fuzz/fuzz.h"

#include "sidecar/tcpip/tcp/wire.h"

static void round_trip(const struct tcp_options *o, bool syn)
{
    uint8_t built[TCP_OPTIONS_MAX];
    struct tcp_options again;
    const unsigned len = tcp_options_build(built, o);

    fuzz_require(len <= TCP_OPTIONS_MAX && len % 4 == 0, "built options fit and are padded");
    fuzz_require(tcp_options_parse(&again, built, len, syn), "built options are well formed");
    fuzz_require(again.mss == o->mss && again.wscale == o->wscale && again.ts == o->ts &&
                     again.sack_permitted == o->sack_permitted,
                 "built options read back the same");
    fuzz_require(!o->ts || (again.tsval == o->tsval && again.tsecr == o->tsecr), "timestamps too");
    fuzz_require(again.n_sack <= o->n_sack, "no SACK block appears from nowhere");
    fuzz_require(memcmp(again.sack, o->sack, again.n_sack * sizeof(o->sack[0])) == 0,
                 "SACK blocks too");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tcp_options o;

    if (size < 1)
        return 0;
    memset(&o, 0xa5, sizeof(o));

    const bool syn = data[0] & 1;
    const unsigned len = size - 1 < TCP_OPTIONS_MAX ? (unsigned)(size - 1) : TCP_OPTIONS_MAX;
    uint8_t *exact = malloc(len + 1); /* so that a byte too far is seen */

    memcpy(exact, data + 1, len);
    tcp_options_parse(&o, exact, len, syn);
    free(exact);
    fuzz_require(o.n_sack <= TCP_SACK_MAX, "SACK blocks are bounded");
    fuzz_require(o.wscale == TCP_NO_WSCALE || o.wscale <= TCP_WSCALE_MAX, "the shift is bounded");
    fuzz_require(syn || (o.mss == 0 && o.wscale == TCP_NO_WSCALE && !o.sack_permitted),
                 "a SYN's options count only in a SYN");
    if (!syn || o.n_sack == 0)
        round_trip(&o, syn);
    return 0;
}
