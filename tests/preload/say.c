/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/preload/say.h"

struct sockaddr_in say_address;

void say_begin(int argc, char **argv)
{
    say_address.sin_family = AF_INET;
    if (argc < 2 || inet_pton(AF_INET, argv[1], &say_address.sin_addr) != 1) {
        fprintf(stderr, "usage: %s IPV4-ADDRESS\n", argv[0]);
        exit(2);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(60);
}

void say_case(const char *name)
{
    printf("\n# %s\n", name);
}

long say_result(const char *text, long result)
{
    int error = errno;
    if (result < 0)
        printf("%s = %ld %s\n", text, result, strerrorname_np(error));
    else
        printf("%s = %ld\n", text, result);
    errno = error;
    return result;
}

void say_events(const char *text, uint32_t events)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{EPOLLIN, "IN"},       {EPOLLOUT, "OUT"}, {EPOLLERR, "ERR"}, {EPOLLHUP, "HUP"},
                 {EPOLLRDHUP, "RDHUP"}, {EPOLLPRI, "PRI"}, {POLLNVAL, "NVAL"}};
    printf("%s:", text);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (events & names[i].bit)
            printf(" %s", names[i].name);
    }
    printf("\n");
}

void say_bytes(const char *text, const void *bytes, long n)
{
    printf("%s: %ld \"%.*s\"\n", text, n, n > 0 ? (int)n : 0, (const char *)bytes);
}

int say_listener(struct sockaddr_in *at)
{
    socklen_t len = sizeof(*at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    *at = say_address;
    if (fd < 0 || bind(fd, (struct sockaddr *)at, len) < 0 || listen(fd, 16) < 0 ||
        getsockname(fd, (struct sockaddr *)at, &len) < 0) {
        perror("listener");
        exit(1);
    }
    return fd;
}

int say_pair(int *server)
{
    struct sockaddr_in at;
    int listener = say_listener(&at);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (client < 0 || connect(client, (struct sockaddr *)&at, sizeof(at)) < 0) {
        perror("connect");
        exit(1);
    }
    *server = accept(listener, NULL, NULL);
    if (*server < 0) {
        perror("accept");
        exit(1);
    }
    close(listener);
    return client;
}

int say_datagram(struct sockaddr_in *at)
{
    socklen_t len = sizeof(*at);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    *at = say_address;
    if (fd < 0 || bind(fd, (struct sockaddr *)at, len) < 0 ||
        getsockname(fd, (struct sockaddr *)at, &len) < 0) {
        perror("datagram");
        exit(1);
    }
    return fd;
}

void say_nonblock(int fd, int on)
{
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

void say_sleep_ms(int ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

long say_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void say_settle(void)
{
    say_sleep_ms(30);
}

size_t say_fill(int fd)
{
    static char chunk[4096];
    size_t done = 0;
    for (int quiet = 0; quiet < 2; quiet++) {
        ssize_t n;
        while ((n = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL)) > 0) {
            done += (size_t)n;
            quiet = 0;
        }
        say_settle();
    }
    return done;
}

int say_await(int fd, int events)
{
    struct pollfd p = {.fd = fd, .events = (short)events};
    return poll(&p, 1, 5000) > 0 ? p.revents : 0;
}

struct later {
    int ms;
    void (*fn)(void *);
    void *arg;
};

static void *run_later(void *arg)
{
    struct later later = *(struct later *)arg;
    free(arg);
    say_sleep_ms(later.ms);
    later.fn(later.arg);
    return NULL;
}

pthread_t say_later(int ms, void (*fn)(void *), void *arg)
{
    pthread_t thread;
    struct later *later = malloc(sizeof(*later));
    *later = (struct later){ms, fn, arg};
    if (pthread_create(&thread, NULL, run_later, later) != 0) {
        perror("pthread_create");
        exit(1);
    }
    return thread;
}
