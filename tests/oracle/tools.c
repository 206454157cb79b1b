/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/oracle/oracle.h"

static int must(const char *what, int r)
{
    if (r < 0) {
        perror(what);
        exit(1);
    }
    return r;
}

int o_tcp(void)
{
    return must("socket", socket(AF_INET, SOCK_STREAM, 0));
}

int o_udp(void)
{
    return must("socket", socket(AF_INET, SOCK_DGRAM, 0));
}

int o_pair(int *b)
{
    return say_pair(b);
}

int o_udp_pair(int *b)
{
    struct sockaddr_in a_at, b_at;
    int a = say_datagram(&a_at);
    *b = say_datagram(&b_at);
    must("connect", connect(a, SA(&b_at), sizeof(b_at)));
    must("connect", connect(*b, SA(&a_at), sizeof(a_at)));
    return a;
}

int o_listener(struct sockaddr_in *at)
{
    return say_listener(at);
}

/* The port of a socket of each kind that was bound and closed: free just now. */
struct sockaddr_in o_nobody(void)
{
    struct sockaddr_in at;
    close(say_datagram(&at));
    close(say_listener(&at));
    return at;
}

int o_int_option(int fd, int level, int name)
{
    int value = -12345;
    socklen_t len = sizeof(value);
    return getsockopt(fd, level, name, &value, &len) < 0 ? -errno : value;
}

void o_show_int_option(const char *text, int fd, int level, int name)
{
    int value = -12345;
    socklen_t len = sizeof(value);
    if (say_result(text, getsockopt(fd, level, name, &value, &len)) == 0)
        printf("  %d (%u bytes)\n", value, len);
}

void o_show_poll(const char *text, int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
    int n = poll(&p, 1, ms);
    printf("%d ", n);
    say_events(text, (uint32_t)(n > 0 ? p.revents : 0));
}

void o_show_address(const char *text, const struct sockaddr *sa, socklen_t len)
{
    char name[INET6_ADDRSTRLEN + 8] = "?";
    unsigned port = 0;
    printf("%s: %u bytes, ", text, len);
    if (len >= sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        inet_ntop(AF_INET, &in->sin_addr, name, sizeof(name));
        if (in->sin_addr.s_addr == say_address.sin_addr.s_addr)
            snprintf(name, sizeof(name), "ADDRESS");
        port = in->sin_port;
    } else if (len >= sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)sa;
        inet_ntop(AF_INET6, &in->sin6_addr, name, sizeof(name));
        if (memcmp(&in->sin6_addr, &oracle_address6.sin6_addr, 16) == 0)
            snprintf(name, sizeof(name), "ADDRESS6");
        if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr) &&
            memcmp(&in->sin6_addr.s6_addr[12], &say_address.sin_addr, 4) == 0)
            snprintf(name, sizeof(name), "::ffff:ADDRESS");
        port = in->sin6_port;
    } else if (len >= sizeof(sa->sa_family)) {
        printf("family %u\n", sa->sa_family);
        return;
    }
    printf("%s %s\n", name, port ? "port" : "port 0");
}

void o_show_bytes(const char *text, const void *bytes, long n)
{
    say_bytes(text, bytes, n);
}

void o_show_time(const char *text, long begin, long low, long high)
{
    long took = say_now_ms() - begin;
    printf("%s: %s\n", text, took < low ? "too soon" : took < high ? "in time" : "too late");
}

static unsigned char pattern(size_t at)
{
    return (unsigned char)((at * 31) ^ (at >> 8));
}

void o_write_all(int fd, size_t n)
{
    unsigned char buf[8192];
    for (size_t done = 0; done < n;) {
        size_t piece = n - done < sizeof(buf) ? n - done : sizeof(buf);
        /* cppcheck-suppress knownConditionTrueFalse ; it is wrong about the smaller of two */
        for (size_t i = 0; i < piece; i++)
            buf[i] = pattern(done + i);
        ssize_t r = write(fd, buf, piece);
        if (r <= 0) {
            say_result("o_write_all", r);
            return;
        }
        done += (size_t)r;
    }
}

size_t o_read_all(int fd, size_t n)
{
    unsigned char buf[8192];
    size_t done = 0;
    while (done < n) {
        ssize_t r = read(fd, buf, n - done < sizeof(buf) ? n - done : sizeof(buf));
        if (r <= 0) {
            say_result("o_read_all", r);
            break;
        }
        for (size_t i = 0; i < (size_t)r; i++) {
            if (buf[i] != pattern(done + i)) {
                printf("byte %zu differs\n", done + i);
                return done + i;
            }
        }
        done += (size_t)r;
    }
    return done;
}

static void on_signal(int sig)
{
    (void)sig;
}

void o_signal_in(int ms, int sa_flags)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = sa_flags};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec spec = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}};
    timer_t timer;
    sigaction(SIGUSR1, &action, NULL);
    must("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer));
    timer_settime(timer, 0, &spec, NULL);
}
