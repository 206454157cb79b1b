/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate: at which rate the network delivers, by one sample an ACK (draft-cheng-iccrg-delivery-rate-
 * estimation-02), for TCP_INFO.
 *
 * Each transmission record carries a stamp of what had been delivered when it was sent. A sample is
 * what has been delivered since, over the longer of the time that it took to send and the time that
 * it took to acknowledge. Counts are bytes of sequence space and wrap; only differences of less
 * than 2^31 are used. Times in ns. Pure, any thread.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_RATE_H
#define DMM_SIDECAR_TCPIP_TCP_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* Per transmission (3.1). */
struct rate_stamp {
    uint64_t delivered_at, first_sent;
    uint32_t delivered;
    bool app_limited;
};

/* Per connection (3.1). */
struct rate {
    uint64_t delivered_at; /* when `delivered` last grew */
    uint64_t first_sent;   /* start of the flight that is being measured */
    uint32_t delivered;
    uint32_t limited_until; /* app_limited: until so much is delivered */
    /* the sample that is told */
    uint32_t sample_bytes, sample_us; /* 0 us: none yet */
    bool app_limited;
    bool sample_app_limited;
};

/* What one ACK delivered: of the transmission that was sent last. Start from zero. */
struct rate_newest {
    struct rate_stamp stamp;
    uint64_t sent; /* 0: nothing was delivered */
    uint32_t end;
};

void rate_init(struct rate *r);
/* Something is sent (again); nothing_in_flight: before it. Gives its stamp (3.2). */
struct rate_stamp rate_sent(struct rate *r, uint64_t now, bool nothing_in_flight);
/* `bytes` up to `end`, sent at `sent`, were delivered for the first time (3.3). */
void rate_delivered(struct rate *r, struct rate_newest *newest, const struct rate_stamp *stamp,
                    uint64_t sent, uint32_t end, uint32_t bytes, uint64_t now);
/* All that an ACK delivered was told. min_rtt: a sample over less time is not believed (3.3). */
void rate_sample(struct rate *r, const struct rate_newest *newest, uint64_t now, uint64_t min_rtt);
/* The application has nothing more to send while the network would take it (3.4). */
void rate_app_limited(struct rate *r, uint32_t in_flight);
/* Bytes a second; 0 without a sample. */
uint64_t rate_bytes_per_second(const struct rate *r);

#endif
