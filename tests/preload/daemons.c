/* SPDX-License-Identifier: Apache-2.0 */
/* Processes made in other ways than by a plain fork: daemons that close everything, clone(). */
#include "tests/preload/say.h"

#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>

enum how { DAEMON, TWICE, CLOSING, CLONE, CLONE_NUMBER, CLONE3_NUMBER, FORK_ONLY, HOWS };

static int serve_one(int listener)
{
    char buf[8];
    int fd = accept(listener, NULL, NULL);
    ssize_t n = recv(fd, buf, 4, MSG_WAITALL);
    return n == 4 && write(fd, "served", 6) == 6 ? 0 : 1;
}

static int serve_cloned(void *arg)
{
    return serve_one(*(int *)arg);
}

/* In the child that the case began with. */
static void become(enum how how, int listener)
{
    static char stack[65536];
    struct clone_args args = {.exit_signal = SIGCHLD};
    switch (how) {
    case DAEMON:
        if (daemon(0, 0) < 0)
            _exit(1);
        break;
    case TWICE:
        setsid();
        if (fork() > 0)
            _exit(0);
        break;
    case CLOSING: /* as daemons did before closefrom(): every number there is */
        if (dup2(listener, 5) != 5)
            _exit(1);
        for (int fd = sysconf(_SC_OPEN_MAX) > 4096 ? 4096 : (int)sysconf(_SC_OPEN_MAX); fd >= 0;
             fd--)
            if (fd != 5)
                close(fd);
        listener = 5;
        open("/dev/null", O_RDWR);
        if (dup2(0, 1) != 1 || dup2(0, 2) != 2)
            _exit(1);
        break;
    case CLONE:
        if (clone(serve_cloned, stack + sizeof(stack), SIGCHLD, &listener) < 0)
            _exit(1);
        _exit(0);
    case CLONE_NUMBER:
        if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) != 0)
            _exit(0);
        break;
    case CLONE3_NUMBER:
        if (syscall(SYS_clone3, &args, sizeof(args)) != 0)
            _exit(0);
        break;
    default:
        break;
    }
    _exit(serve_one(listener));
}

static void one(enum how how)
{
    static const char *const names[] = {"daemon()", "fork twice", "close every number",
                                        "clone()",  "SYS_clone",  "SYS_clone3",
                                        "fork"};
    char buf[8];
    struct sockaddr_in at;
    int listener = say_listener(&at);
    say_case(names[how]);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        become(how, listener);
    close(listener);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect(client, (struct sockaddr *)&at, sizeof(at)));
    SAY(write(client, "ping", 4));
    say_bytes("answer", buf, recv(client, buf, 6, MSG_WAITALL));
    SAY(recv(client, buf, 1, 0));
    close(client);
    waitpid(pid, NULL, 0);
    say_settle();
    client = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect(client, (struct sockaddr *)&at, sizeof(at))); /* nobody listens any more */
    close(client);
}

/* A crash in the middle: the connection ends once, and the rest goes on. */
static void crashed(void)
{
    char buf[8];
    int server, client = say_pair(&server);
    say_case("a child crashes while it shares a connection");
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        if (write(server, "last", 4) != 4)
            _exit(1);
        raise(SIGKILL);
    }
    waitpid(pid, NULL, 0);
    say_bytes("from the crashed one", buf, recv(client, buf, 4, MSG_WAITALL));
    SAY(recv(client, buf, 1, MSG_DONTWAIT));
    SAY(write(server, "mine", 4));
    say_bytes("from the other", buf, recv(client, buf, 4, MSG_WAITALL));
    close(server);
    SAY(recv(client, buf, 1, 0));
    close(client);
}

int main(int argc, char **argv)
{
    say_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    for (int how = 0; how < HOWS; how++)
        one((enum how)how);
    crashed();
    return 0;
}
