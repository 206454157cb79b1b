/* SPDX-License-Identifier: Apache-2.0 */
/* fork and threads: shared listeners and connections, one epfd and many threads, blocked calls. */
#include "tests/preload/say.h"

static void connect_n(const struct sockaddr_in *at, int n, int *replies)
{
    char c;
    for (int i = 0; i < n; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 && write(fd, "?", 1) == 1 &&
            read(fd, &c, 1) == 1)
            ++*replies;
        close(fd);
    }
}

static void serve(int listener)
{
    char c;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            _exit(1);
        if (read(fd, &c, 1) == 1 && write(fd, "!", 1) != 1)
            _exit(1);
        close(fd);
    }
}

static void prefork(void)
{
    struct sockaddr_in at;
    int replies = 0, listener = say_listener(&at);
    pid_t pids[3];
    say_case("prefork");
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            serve(listener);
    }
    connect_n(&at, 100, &replies);
    SAY(replies);
    kill(pids[0], SIGKILL);
    waitpid(pids[0], NULL, 0);
    close(listener);
    connect_n(&at, 50, &replies);
    SAY(replies);
    for (int i = 1; i < 3; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    /* The sidecar hears of a death a moment later. */
    int refused = 0;
    for (int i = 0; i < 500 && !refused; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        refused = connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 && errno == ECONNREFUSED;
        close(fd);
        if (!refused)
            say_sleep_ms(10);
    }
    SAY(refused);
}

static void inherited(void)
{
    char buf[16];
    int status, server, client = say_pair(&server);
    say_case("a connection over fork");
    pid_t pid = fork();
    if (pid == 0) {
        close(client);
        if (read(server, buf, 4) != 4 || write(server, "child", 5) != 5)
            _exit(1);
        say_nonblock(server, 1);
        _exit(0);
    }
    SAY(write(client, "ping", 4));
    say_bytes("answer", buf, recv(client, buf, 5, MSG_WAITALL));
    waitpid(pid, &status, 0);
    SAY(status);
    SAY((fcntl(server, F_GETFL) & O_NONBLOCK) != 0);
    SAY(write(server, "parent", 6));
    say_bytes("still open", buf, recv(client, buf, 6, MSG_WAITALL));
    pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): it is what is tested */
    if (pid == 0)
        _exit(3);
    waitpid(pid, &status, 0);
    SAY(WEXITSTATUS(status));
    if (say_shell())
        SAY(system("exit 5") >> 8); /* NOLINT(cert-env33-c) */
    SAY(write(server, "after", 5));
    say_bytes("still open", buf, recv(client, buf, 5, MSG_WAITALL));
    pid = fork();
    if (pid == 0) {
        if (say_shell())
            execl("/bin/sh", "sh", "-c", "exit 4", (char *)NULL);
        _exit(9);
    }
    waitpid(pid, &status, 0);
    SAY(WEXITSTATUS(status));
    SAY(write(server, "again", 5));
    say_bytes("still open", buf, recv(client, buf, 5, MSG_WAITALL));
    close(server);
    SAY(read(client, buf, 1));
    close(client);
}

struct pool {
    int epfd, listener;
    int handled;
    int stop;
    int ended[64], n_ended;
    int handed; /* connections that went from one thread to another */
};

static void *worker(void *arg)
{
    struct pool *pool = arg;
    char buf[64];
    while (!__atomic_load_n(&pool->stop, __ATOMIC_RELAXED)) {
        struct epoll_event e;
        if (epoll_wait(pool->epfd, &e, 1, 100) != 1)
            continue;
        __atomic_fetch_add(&pool->handed, 1, __ATOMIC_ACQ_REL); /* for the thread sanitizer */
        if (e.data.fd == pool->listener) {
            int fd;
            while ((fd = accept4(pool->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                struct epoll_event add = {.events = EPOLLIN | EPOLLET | EPOLLONESHOT,
                                          .data.fd = fd};
                epoll_ctl(pool->epfd, EPOLL_CTL_ADD, fd, &add);
            }
            continue;
        }
        ssize_t n;
        while ((n = read(e.data.fd, buf, sizeof(buf))) > 0) {
            if (write(e.data.fd, buf, (size_t)n) != n)
                abort();
            __atomic_fetch_add(&pool->handled, 1, __ATOMIC_RELAXED);
        }
        if (n == 0) {
            /* Closed by who joins the threads: the sanitizer can't see that nobody uses it any
             * more. */
            pool->ended[__atomic_fetch_add(&pool->n_ended, 1, __ATOMIC_ACQ_REL)] = e.data.fd;
            continue;
        }
        struct epoll_event again = {.events = EPOLLIN | EPOLLET | EPOLLONESHOT,
                                    .data.fd = e.data.fd};
        __atomic_fetch_add(&pool->handed, 1, __ATOMIC_ACQ_REL);
        epoll_ctl(pool->epfd, EPOLL_CTL_MOD, e.data.fd, &again);
    }
    return NULL;
}

static struct sockaddr_in pool_at;

static void *pool_client(void *arg)
{
    char buf[16];
    long good = 0;
    for (int c = 0; c < 10; c++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&pool_at, sizeof(pool_at)) < 0)
            break;
        for (int i = 0; i < 50; i++) {
            if (write(fd, "0123456789abcdef", 16) != 16 || recv(fd, buf, 16, MSG_WAITALL) != 16 ||
                memcmp(buf, "0123456789abcdef", 16) != 0)
                return (void *)-1;
            good++;
        }
        close(fd);
    }
    (void)arg;
    return (void *)good;
}

static void one_set(void)
{
    struct pool pool = {.epfd = epoll_create1(0)};
    pthread_t workers[4], clients[4];
    pool.listener = say_listener(&pool_at);
    say_case("many threads on one epfd");
    say_nonblock(pool.listener, 1);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = pool.listener};
    epoll_ctl(pool.epfd, EPOLL_CTL_ADD, pool.listener, &e);
    for (int i = 0; i < 4; i++)
        pthread_create(&workers[i], NULL, worker, &pool);
    for (int i = 0; i < 4; i++)
        pthread_create(&clients[i], NULL, pool_client, NULL);
    long sum = 0;
    for (int i = 0; i < 4; i++) {
        void *good;
        pthread_join(clients[i], &good);
        sum += (long)good;
    }
    SAY(sum);
    __atomic_store_n(&pool.stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 4; i++)
        pthread_join(workers[i], NULL);
    for (int i = 0; i < pool.n_ended; i++)
        close(pool.ended[i]);
    close(pool.listener);
    close(pool.epfd);
}

static void shut(void *arg)
{
    shutdown(*(int *)arg, SHUT_RDWR);
}

static void close_other(void *arg)
{
    close(*(int *)arg);
}

static void blocked(void)
{
    char buf[8];
    int server, client = say_pair(&server);
    say_case("blocked while another thread acts");
    pthread_t later = say_later(50, shut, &server);
    SAY(read(server, buf, 8));
    pthread_join(later, NULL);
    close(server);
    close(client);
    client = say_pair(&server);
    later = say_later(50, close_other, &client);
    SAY(read(server, buf, 8));
    pthread_join(later, NULL);
    close(server);
    struct sockaddr_in at;
    int listener = say_listener(&at);
    later = say_later(50, shut, &listener);
    SAY(accept(listener, NULL, NULL));
    pthread_join(later, NULL);
    close(listener);
}

int main(int argc, char **argv)
{
    say_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    prefork();
    inherited();
    one_set();
    blocked();
    return 0;
}
