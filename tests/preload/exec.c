/* SPDX-License-Identifier: Apache-2.0 */
/* exec, spawn and SCM_RIGHTS: what the next program, or the receiver, does with a socket. */
#include "tests/preload/say.h"

#include <spawn.h>
#include <sys/syscall.h>
#include <sys/un.h>

static char *self, *address;

/* ---- the program that is started ---- */

static void show_nonblock(int fd)
{
    SAY((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
}

/* An epoll set that survived: data are a label, and the descriptor. */
static int child_set(int ep)
{
    char buf[8];
    struct epoll_event events[4];
    for (int turn = 0; turn < 3; turn++) {
        int n = epoll_wait(ep, events, 4, turn ? 60 : 5000);
        SAY(n);
        for (int i = 0; i < n; i++) {
            int fd = (int)(uint32_t)events[i].data.u64;
            printf("label %d", (int)(events[i].data.u64 >> 32));
            say_events("", events[i].events);
            if (events[i].data.u64 >> 32 == 3)
                SAY(close(accept(fd, NULL, NULL)));
            else
                say_bytes("got", buf, recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
            SAY(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
        }
    }
    return 0;
}

static int child(const char *kind, int fd)
{
    char buf[64];
    int value = 0;
    struct sockaddr_in name;
    socklen_t len = sizeof(name);
    alarm(20);
    SAY(getenv("DMM_CLIENT") != NULL);
    if (strcmp(kind, "set") == 0)
        return child_set(fd);
    if (strcmp(kind, "closed") == 0) {
        SAY(fcntl(fd, F_GETFD));
        SAY(write(fd, "x", 1));
        return 0;
    }
    SAY(getsockname(fd, (struct sockaddr *)&name, &len));
    SAY(name.sin_family == AF_INET);
    show_nonblock(fd);
    len = sizeof(value);
    if (strcmp(kind, "stream") == 0) {
        SAY(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len));
        SAY(value != 0);
        say_bytes("got", buf, recv(fd, buf, 4, MSG_WAITALL));
        SAY(write(fd, "child", 5));
    } else if (strcmp(kind, "listener") == 0) {
        SAY(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len));
        SAY(value);
        int taken = accept(fd, NULL, NULL);
        SAY(write(taken, "taken", 5));
        close(taken);
    } else if (strcmp(kind, "datagram") == 0) {
        socklen_t size = sizeof(name);
        ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&name, &size);
        say_bytes("datagram", buf, n);
        SAY(sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&name, size));
    } else if (strcmp(kind, "fresh") == 0) {
        /* Not bound before exec: everything is still to come. */
        name = say_address;
        SAY(bind(fd, (struct sockaddr *)&name, sizeof(name)));
        SAY(listen(fd, 5));
    } else if (strcmp(kind, "two") == 0) {
        int copy = fd + 1; /* a dup of it */
        close(fd);
        say_bytes("by the other number", buf, recv(copy, buf, 4, MSG_WAITALL));
        SAY(write(copy, "child", 5));
    }
    return 0;
}

/* ---- starting it ---- */

struct start {
    char fd[16];
    const char *kind;
    char *argv[6];
};

static void prepare(struct start *start, const char *kind, int fd)
{
    start->kind = kind;
    snprintf(start->fd, sizeof(start->fd), "%d", fd);
    char *argv[] = {self, address, (char *)(size_t)kind, start->fd, NULL};
    memcpy(start->argv, argv, sizeof(argv));
}

static void ended(pid_t pid)
{
    int status = -1;
    SAY(waitpid(pid, &status, 0) == pid);
    SAY(status);
}

enum how {
    EXECVE,
    EXECV,
    EXECVP,
    EXECVPE,
    EXECL,
    EXECLP,
    EXECLE,
    FEXECVE,
    EXECVEAT,
    BY_NUMBER,
    SPAWN,
    SPAWNP,
    SYSTEM,
    POPEN,
    VFORK,
    HOWS
};

static void exec_it(enum how how, struct start *s)
{
    switch (how) {
    case EXECV:
        execv(self, s->argv);
        break;
    case EXECVP:
        execvp(self, s->argv);
        break;
    case EXECVPE:
        execvpe(self, s->argv, environ);
        break;
    case EXECL:
        execl(self, self, address, s->kind, s->fd, (char *)NULL);
        break;
    case EXECLP:
        execlp(self, self, address, s->kind, s->fd, (char *)NULL);
        break;
    case EXECLE:
        execle(self, self, address, s->kind, s->fd, (char *)NULL, environ);
        break;
    case FEXECVE:
        fexecve(open(self, O_RDONLY | O_CLOEXEC), s->argv, environ);
        break;
    case BY_NUMBER:
        syscall(SYS_execve, self, s->argv, environ);
        break;
    case EXECVEAT:
        execveat(AT_FDCWD, self, s->argv, environ, 0);
        break;
    default:
        execve(self, s->argv, environ);
    }
    _exit(99);
}

static void run(enum how how, const char *kind, int fd)
{
    struct start s;
    char command[512];
    pid_t pid = -1;
    int r;
    prepare(&s, kind, fd);
    snprintf(command, sizeof(command), "exec %s %s %s %s", self, address, kind, s.fd);
    fflush(stdout);
    switch (how) {
    case SPAWN:
        r = posix_spawn(&pid, self, NULL, NULL, s.argv, environ);
        ended(pid);
        SAY(r);
        break;
    case SPAWNP:
        r = posix_spawnp(&pid, self, NULL, NULL, s.argv, environ);
        ended(pid);
        SAY(r);
        break;
    case SYSTEM:
        SAY(system(command)); /* NOLINT(cert-env33-c) */
        break;
    case POPEN: {
        char line[256];
        FILE *file = popen(command, "r"); /* NOLINT(cert-env33-c) */
        while (file && fgets(line, sizeof(line), file))
            fputs(line, stdout);
        SAY(file ? pclose(file) : -1);
        break;
    }
    case VFORK:
        pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): it is what is tested */
        if (pid == 0)
            exec_it(EXECVE, &s); /* NOLINT(clang-analyzer-unix.Vfork): likewise */
        ended(pid);
        break;
    default:
        pid = fork();
        if (pid == 0)
            exec_it(how, &s);
        ended(pid);
    }
}

/* ---- cases ---- */

static void stream(enum how how)
{
    static const char *const names[] = {"execve",   "execv",      "execvp",      "execvpe",
                                        "execl",    "execlp",     "execle",      "fexecve",
                                        "execveat", "SYS_execve", "posix_spawn", "posix_spawnp",
                                        "system",   "popen",      "vfork"};
    char buf[16];
    int one = 1, server, client = say_pair(&server);
    say_case(names[how]);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    SAY(write(client, "ping", 4));
    run(how, "stream", server);
    say_bytes("answer", buf, recv(client, buf, 5, MSG_WAITALL));
    SAY(write(server, "parent", 6));
    say_bytes("still open", buf, recv(client, buf, 6, MSG_WAITALL));
    close(server);
    SAY(read(client, buf, 1));
    close(client);
}

static void others(void)
{
    char buf[16];
    struct sockaddr_in at;
    int server, client = say_pair(&server);

    say_case("close-on-exec");
    fcntl(server, F_SETFD, FD_CLOEXEC);
    run(EXECVE, "closed", server);
    fcntl(server, F_SETFD, 0);
    say_nonblock(server, 1);
    run(EXECVE, "stream", server); /* nothing to read */
    say_bytes("answer", buf, recv(client, buf, 5, MSG_WAITALL));

    say_case("two numbers");
    say_nonblock(server, 0);
    int low = fcntl(server, F_DUPFD, 50);
    SAY(dup2(low, low + 1) == low + 1);
    SAY(write(client, "ping", 4));
    run(EXECVE, "two", low);
    say_bytes("answer", buf, recv(client, buf, 5, MSG_WAITALL));
    close(low);
    close(low + 1);

    say_case("exec fails");
    pid_t pid = fork();
    if (pid == 0) {
        SAY(execl("/nonexistent", "x", (char *)NULL));
        SAY(write(server, "after", 5));
        fflush(stdout);
        _exit(0);
    }
    ended(pid);
    say_bytes("answer", buf, recv(client, buf, 5, MSG_WAITALL));

    say_case("the only holder executes");
    pid = fork();
    if (pid == 0) {
        struct start s;
        close(client);
        prepare(&s, "stream", server);
        exec_it(EXECVE, &s);
    }
    close(server);
    SAY(write(client, "ping", 4));
    ended(pid);
    say_bytes("answer", buf, recv(client, buf, 5, MSG_WAITALL));
    SAY(read(client, buf, 1));
    close(client);

    say_case("a listener");
    int listener = say_listener(&at);
    client = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect(client, (struct sockaddr *)&at, sizeof(at)));
    run(EXECVE, "listener", listener);
    say_bytes("answer", buf, recv(client, buf, 5, MSG_WAITALL));
    close(client);
    client = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect(client, (struct sockaddr *)&at, sizeof(at)));
    SAY(accept(listener, NULL, NULL) >= 0);
    close(client);
    close(listener);

    say_case("datagrams");
    int udp = say_datagram(&at);
    client = socket(AF_INET, SOCK_DGRAM, 0);
    SAY(connect(client, (struct sockaddr *)&at, sizeof(at)));
    SAY(write(client, "hello", 5));
    run(EXECVE, "datagram", udp);
    say_bytes("back", buf, recv(client, buf, sizeof(buf), 0));
    close(client);
    close(udp);

    say_case("a socket without an address");
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    run(EXECVE, "fresh", fresh);
    close(fresh);
}

static void put(int ep, int fd, uint32_t events, uint64_t label)
{
    struct epoll_event event = {.events = events, .data.u64 = label << 32 | (uint32_t)fd};
    SAY(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
}

/* A set without close-on-exec goes on in the new image with what it had been told. */
static void set_survives(enum how how)
{
    struct epoll_event event;
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t len = sizeof(any);
    int ep = epoll_create1(0), server, told, client = say_pair(&server), other = say_pair(&told);
    int wild = socket(AF_INET, SOCK_STREAM, 0), guest = socket(AF_INET, SOCK_STREAM, 0);
    say_case("an epoll set");
    SAY(bind(wild, (struct sockaddr *)&any, sizeof(any)));
    SAY(listen(wild, 5));
    getsockname(wild, (struct sockaddr *)&any, &len);
    any.sin_addr = say_address.sin_addr;
    put(ep, told, EPOLLIN | EPOLLET, 1);
    SAY(write(other, "old", 3));
    SAY(epoll_wait(ep, &event, 1, 5000));
    put(ep, server, EPOLLIN, 2);
    SAY(write(client, "ping", 4));
    say_await(server, POLLIN);
    run(how, "set", ep);
    SAY(epoll_wait(ep, &event, 1, 60));
    put(ep, wild, EPOLLIN, 3);
    SAY(connect(guest, (struct sockaddr *)&any, sizeof(any)));
    run(how, "set", ep);
    close(ep);
    close(wild);
    close(guest);
    close(server);
    close(client);
    close(told);
    close(other);
}

static void spawn_dup2(void)
{
    char buf[16];
    struct start s;
    pid_t pid;
    posix_spawn_file_actions_t actions;
    int server, client = say_pair(&server);
    say_case("posix_spawn moves a close-on-exec socket");
    fcntl(server, F_SETFD, FD_CLOEXEC);
    prepare(&s, "stream", 40);
    posix_spawn_file_actions_init(&actions);
    SAY(posix_spawn_file_actions_adddup2(&actions, server, 40));
    SAY(write(client, "ping", 4));
    fflush(stdout);
    int r = posix_spawn(&pid, self, &actions, NULL, s.argv, environ);
    ended(pid);
    SAY(r);
    say_bytes("answer", buf, recv(client, buf, 5, MSG_WAITALL));
    posix_spawn_file_actions_destroy(&actions);
    close(server);
    close(client);
}

/* ---- SCM_RIGHTS ---- */

static long send_fds(int to, const int *fds, size_t n)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {0};
    struct iovec iov = {"m", 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    return sendmsg(to, &msg, 0);
}

static long receive_fds(int from, int *fds, size_t n, int flags)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    long r = recvmsg(from, &msg, flags);
    struct cmsghdr *c = r > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (!c || c->cmsg_len < CMSG_LEN(n * sizeof(int)))
        return -1;
    memcpy(fds, CMSG_DATA(c), n * sizeof(int));
    return (long)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
}

static void passed_to_itself(void)
{
    char buf[16];
    int line[2], got[3], server, client = say_pair(&server);
    say_case("SCM_RIGHTS to itself, several files");
    socketpair(AF_UNIX, SOCK_STREAM, 0, line);
    const int fds[] = {server, line[0], server};
    SAY(send_fds(line[0], fds, 3));
    SAY(receive_fds(line[1], got, 3, MSG_CMSG_CLOEXEC));
    SAY(fcntl(got[0], F_GETFD));
    close(server);
    SAY(write(client, "ping", 4));
    say_bytes("by the copy", buf, recv(got[0], buf, 4, MSG_WAITALL));
    say_nonblock(got[0], 1);
    show_nonblock(got[2]); /* one open file description */
    close(got[0]);
    SAY(write(got[2], "pong", 4));
    say_bytes("answer", buf, recv(client, buf, 4, MSG_WAITALL));
    SAY(write(got[1], "x", 1));
    close(got[2]);
    SAY(read(client, buf, 1));
    close(client);
    close(got[1]);
    close(line[0]);
    close(line[1]);
}

static void in_flight(void)
{
    char buf[16];
    int line[2], got, server, client = say_pair(&server);
    say_case("under way while the sender closes, and dies");
    socketpair(AF_UNIX, SOCK_STREAM, 0, line);
    pid_t pid = fork();
    if (pid == 0) {
        SAY(send_fds(line[0], &server, 1));
        fflush(stdout);
        _exit(0);
    }
    ended(pid);
    close(server);
    SAY(write(client, "ping", 4));
    say_settle();
    SAY(receive_fds(line[1], &got, 1, 0));
    say_bytes("got", buf, recv(got, buf, 4, MSG_WAITALL));
    SAY(send_fds(line[0], &got, 1));
    close(got);
    say_settle();
    SAY(write(client, "more", 4));
    say_settle();
    close(line[0]);
    close(line[1]); /* nobody will ever receive it */
    SAY(read(client, buf, 1));
    close(client);
}

int main(int argc, char **argv)
{
    if (argc == 4) {
        setvbuf(stdout, NULL, _IOLBF, 0);
        say_address.sin_family = AF_INET;
        inet_pton(AF_INET, argv[1], &say_address.sin_addr);
        return child(argv[2], atoi(argv[3]));
    }
    say_begin(argc, argv);
    self = argv[0];
    address = argv[1];
    for (int how = 0; how < HOWS; how++) {
        if (say_shell() || (how != SYSTEM && how != POPEN))
            stream((enum how)how);
    }
    others();
    set_survives(EXECVE);
    set_survives(SPAWN);
    spawn_dup2();
    passed_to_itself();
    in_flight();
    return 0;
}
