/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what calls cost, in ns: for a comparison of the kernel with the shim, by hand and by the
 * benchmarks. ADDRESS [ROUNDS].
 */
#include "tests/preload/say.h"

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *values, int n)
{
    qsort(values, (size_t)n, sizeof(*values), by_value);
    return values[n / 2];
}

static uint64_t clock_cost(void)
{
    uint64_t costs[1001];
    for (int i = 0; i < 1001; i++) {
        uint64_t begin = now_ns();
        costs[i] = now_ns() - begin;
    }
    return median(costs, 1001);
}

/* The median call by itself: one that wakes nobody, and for receives, with the bytes there. */
static void receive_and_send(int rounds)
{
    enum { BATCH = 16 };
    static char buf[64];
    size_t n = (size_t)rounds * BATCH;
    uint64_t *sends = calloc(n, sizeof(*sends));
    uint64_t *receives = calloc(n, sizeof(*receives));
    uint64_t overhead = clock_cost();
    int on = 1, server, client = say_pair(&server);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (size_t i = 0; i < n; i += BATCH) {
        for (size_t j = 0; j < BATCH; j++) {
            uint64_t begin = now_ns();
            send(client, buf, sizeof(buf), 0);
            sends[i + j] = now_ns() - begin - overhead;
        }
        int held = 0;
        while (held < BATCH * 64)
            ioctl(server, FIONREAD, &held);
        for (size_t j = 0; j < BATCH; j++) {
            uint64_t begin = now_ns();
            recv(server, buf, sizeof(buf), 0);
            receives[i + j] = now_ns() - begin - overhead;
        }
    }
    printf("send 64 B: %llu\nrecv 64 B: %llu\n", (unsigned long long)median(sends, (int)n),
           (unsigned long long)median(receives, (int)n));
    close(client);
    close(server);
    free(sends);
    free(receives);
}

static void foreign(int rounds)
{
    char c;
    int fd = open("/dev/zero", O_RDONLY);
    uint64_t begin = now_ns();
    for (int i = 0; i < rounds; i++)
        if (read(fd, &c, 0) < 0)
            abort();
    printf("read of a file: %llu\n", (unsigned long long)((now_ns() - begin) / (unsigned)rounds));
    close(fd);
}

static void connections(int rounds)
{
    struct sockaddr_in at;
    int listener = say_listener(&at);
    uint64_t begin = now_ns();
    for (int i = 0; i < rounds; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(client, (struct sockaddr *)&at, sizeof(at)) < 0)
            abort();
        close(accept(listener, NULL, NULL));
        close(client);
    }
    printf("connect, accept, close: %llu\n",
           (unsigned long long)((now_ns() - begin) / (unsigned)rounds));
    close(listener);
}

int main(int argc, char **argv)
{
    say_begin(argc, argv);
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 2000;
    foreign(rounds * 100);
    receive_and_send(rounds);
    foreign(rounds * 100);
    connections(rounds);
    return 0;
}
