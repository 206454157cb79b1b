/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stress ADDRESS SECONDS CONNECTIONS HELD: an echo server of many threads on shared epoll sets, and
 * clients that open, close, shut down, reset and fork at random, until the time is over or so many
 * connections were made; up to HELD are open at a time, each of which takes two descriptors. Every
 * byte is checked, and every answer must come within ten seconds: a lost edge is a stall, a
 * duplicate one does no harm here but is counted where it can be seen.
 *
 * Prints "N connections, N stalls, N wrong, spurious: few, N descriptors left" and, when its input
 * ends, goes.
 */
#include "tests/preload/say.h"

#include <dirent.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define SERVERS                 4
#define CLIENTS                 8
#define STALL_MS                10000
#define LARGEST                 20000
#define SPURIOUS_PER_CONNECTION 4
#define HELD_MOST               9000 /* in all */

static struct sockaddr_in at;
static int listener, shared_set, stop_event;
static atomic_bool over;
static atomic_long connections, stalls, wrong, spurious, most;
static int held_each = 1; /* connections that a client keeps open at most */

/* ---- the server ---- */

static void watch(int op, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | EPOLLONESHOT,
                                .data.fd = fd};
    if (epoll_ctl(shared_set, op, fd, &event) < 0 && errno != ENOENT && errno != EBADF)
        perror("epoll_ctl");
}

static void accept_all(void)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
        watch(EPOLL_CTL_ADD, fd);
}

/* Echoes what is there. False: the connection is over. */
static int echo(int fd)
{
    static _Thread_local char buf[16384];
    for (int first = 1;; first = 0) {
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        if (n < 0 && errno == EAGAIN) {
            if (first)
                atomic_fetch_add(&spurious, 1);
            return 1;
        }
        if (n <= 0)
            return 0;
        for (ssize_t done = 0; done < n;) {
            ssize_t m = send(fd, buf + done, (size_t)(n - done), MSG_NOSIGNAL);
            if (m < 0 && errno == EAGAIN) {
                struct pollfd p = {.fd = fd, .events = POLLOUT};
                if (poll(&p, 1, STALL_MS) == 0) {
                    atomic_fetch_add(&stalls, 1);
                    return 0;
                }
                continue;
            }
            if (m < 0)
                return 0;
            done += m;
        }
    }
}

static void handle(const struct epoll_event *event)
{
    int fd = event->data.fd;
    if (fd == listener) {
        accept_all();
        watch(EPOLL_CTL_MOD, listener);
    } else if (fd != stop_event) {
        if (echo(fd))
            watch(EPOLL_CTL_MOD, fd);
        else
            close(fd);
    }
}

/* Half of the servers wait in the set, the others in a poll of it: then several are woken. */
static void *serve(void *arg)
{
    struct epoll_event events[8];
    struct pollfd p[2] = {{.fd = shared_set, .events = POLLIN},
                          {.fd = stop_event, .events = POLLIN}};
    while (!atomic_load(&over)) {
        if ((long)arg % 2)
            poll(p, 2, 1000);
        int n = epoll_wait(shared_set, events, 8, (long)arg % 2 ? 0 : 1000);
        for (int i = 0; i < n; i++)
            handle(&events[i]);
    }
    return NULL;
}

/* ---- clients ---- */

static char pattern(unsigned seed, size_t i)
{
    return (char)((seed * 2654435761u + i * 40503u) >> 16);
}

/* One message and its echo. False: the connection is over, or a fault was counted. */
static int talk(int fd, unsigned seed, size_t len)
{
    char out[LARGEST] = "", in[LARGEST];
    size_t got = 0;
    for (size_t i = 0; i < len; i++)
        out[i] = pattern(seed, i);
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, out + done, len - done, MSG_NOSIGNAL);
        if (n <= 0) {
            atomic_fetch_add(&stalls, 1);
            return 0;
        }
        done += (size_t)n;
    }
    while (got < len) {
        ssize_t n = recv(fd, in + got, len - got, 0);
        if (n <= 0) {
            atomic_fetch_add(&stalls, 1);
            return 0;
        }
        got += (size_t)n;
    }
    if (memcmp(in, out, len) != 0) {
        atomic_fetch_add(&wrong, 1);
        return 0;
    }
    return 1;
}

static int open_one(unsigned *seed)
{
    struct timeval tv = {.tv_sec = STALL_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    int late = rand_r(seed) % 2;
    if (late)
        say_nonblock(fd, 1);
    int r = connect(fd, (struct sockaddr *)&at, sizeof(at));
    if (r < 0 && late && errno == EINPROGRESS)
        r = (say_await(fd, POLLOUT) & POLLOUT) ? 0 : -1;
    if (late)
        say_nonblock(fd, 0);
    if (r == 0)
        return fd;
    close(fd);
    return -1;
}

static void in_a_child(int fd, unsigned seed)
{
    pid_t pid = fork();
    int status = 0;
    if (pid == 0)
        _exit(talk(fd, seed, 1000) ? 0 : 1);
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
        atomic_fetch_add(&stalls, 1);
}

static void end(int fd, unsigned *seed)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    char c;
    switch (rand_r(seed) % 5) {
    case 0:
        shutdown(fd, SHUT_WR);
        if (recv(fd, &c, 1, 0) != 0)
            atomic_fetch_add(&stalls, 1);
        break;
    case 1:
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        break;
    case 2:
        shutdown(fd, SHUT_RDWR);
        break;
    default:
        break;
    }
    close(fd);
}

/* Some of what a program may do with an open connection. False: it is to be ended. */
static int use(int fd, long number, unsigned *seed)
{
    int copy = rand_r(seed) % 8 == 0 ? dup(fd) : -1;
    int fine = 1;
    for (int i = rand_r(seed) % 4; fine && i > 0; i--)
        fine = talk(fd, (unsigned)rand_r(seed), 1 + (size_t)rand_r(seed) % (LARGEST - 1));
    if (fine && number % 50 == 7)
        in_a_child(fd, (unsigned)rand_r(seed));
    if (copy >= 0)
        close(copy);
    return fine;
}

static void *ask(void *arg)
{
    unsigned seed = (unsigned)(long)arg * 7919u + 1;
    int held[HELD_MOST / CLIENTS];
    int n = 0;
    while (!atomic_load(&over) && atomic_load(&connections) < atomic_load(&most)) {
        if (n < held_each && (n == 0 || rand_r(&seed) % 3)) {
            held[n] = open_one(&seed);
            if (held[n] < 0)
                atomic_fetch_add(&stalls, 1);
            else
                n++;
            atomic_fetch_add(&connections, 1);
        }
        if (n == 0)
            continue;
        int i = rand_r(&seed) % n;
        if (use(held[i], atomic_load(&connections), &seed) && n < held_each && rand_r(&seed) % 2)
            continue;
        end(held[i], &seed);
        held[i] = held[--n];
    }
    while (n > 0)
        end(held[--n], &seed);
    return NULL;
}

/* Below those where the shim keeps its own. */
static int count_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        n += entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) < 900;
    if (dir)
        closedir(dir);
    return n;
}

/* Two descriptors a connection, and a few. */
static void raise_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    pthread_t servers[SERVERS], clients[CLIENTS];
    char c;
    say_begin(argc, argv);
    if (argc < 5 || strtol(argv[4], NULL, 10) > HELD_MOST)
        return 2;
    long seconds = strtol(argv[2], NULL, 10);
    atomic_store(&most, strtol(argv[3], NULL, 10));
    held_each = (int)strtol(argv[4], NULL, 10) / CLIENTS;
    raise_limit();
    int before = count_descriptors();
    alarm((unsigned)seconds + 60);
    signal(SIGPIPE, SIG_IGN);
    listener = say_listener(&at);
    listen(listener, 512);
    say_nonblock(listener, 1);
    shared_set = epoll_create1(0);
    stop_event = eventfd(0, EFD_NONBLOCK);
    struct epoll_event stop = {.events = EPOLLIN, .data.fd = stop_event};
    epoll_ctl(shared_set, EPOLL_CTL_ADD, stop_event, &stop);
    watch(EPOLL_CTL_ADD, listener);
    for (long i = 0; i < SERVERS; i++)
        pthread_create(&servers[i], NULL, serve, (void *)i);
    for (long i = 0; i < CLIENTS; i++)
        pthread_create(&clients[i], NULL, ask, (void *)i);
    for (long end_at = say_now_ms() + seconds * 1000;
         say_now_ms() < end_at && atomic_load(&connections) < atomic_load(&most);)
        say_sleep_ms(20);
    if (atomic_load(&connections) < atomic_load(&most))
        atomic_store(&most, 0);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    say_sleep_ms(200);
    atomic_store(&over, 1);
    if (write(stop_event, &(uint64_t){1}, 8) != 8)
        perror("write");
    for (int i = 0; i < SERVERS; i++)
        pthread_join(servers[i], NULL);
    close(listener);
    close(shared_set);
    close(stop_event);
    long n = atomic_load(&connections);
    printf("%ld connections, %ld stalls, %ld wrong, spurious: %s, %d descriptors left\n", n,
           atomic_load(&stalls), atomic_load(&wrong),
           atomic_load(&spurious) <= n * SPURIOUS_PER_CONNECTION ? "few" : "many",
           count_descriptors() - before);
    fprintf(stderr, "spurious %ld\n", atomic_load(&spurious));
    fflush(stdout);
    while (read(0, &c, 1) > 0)
        ;
    return 0;
}
