/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/doctor.h"

#include "common/poddir.h"
#include "ctl/fetch.h"
#include "ctl/program.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FINDINGS    32
#define LISTING_MAX 65536
#define SHIM        "libdmm"

enum level { GOOD, NOTE, BAD };
static const char *const level_names[] = {"ok", "note", "PROBLEM"};

struct finding {
    enum level level;
    const char *topic;
    char text[512];
};

struct doctor {
    struct program program;
    struct finding findings[FINDINGS];
    unsigned n;
    bool seen; /* the shim is loaded into the program */
};

static void say(struct doctor *doctor, enum level level, const char *topic, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void say(struct doctor *doctor, enum level level, const char *topic, const char *fmt, ...)
{
    if (doctor->n == FINDINGS)
        return;
    struct finding *finding = &doctor->findings[doctor->n++];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(finding->text, sizeof(finding->text), fmt, ap);
    va_end(ap);
    finding->level = level;
    finding->topic = topic;
}

/* ---- the program ---- */

static void judge_program(struct doctor *doctor)
{
    static const char *const libcs[] = {"", "glibc", "musl", "a C library that is not known"};
    const struct program *program = &doctor->program;
    if (program->n_scripts)
        say(doctor, NOTE, "program", "%s is a script; what runs is %s", program->script,
            program->path);
    if (!program->class64)
        say(doctor, BAD, "program",
            "%s is a 32-bit program: the shim is 64-bit, its loader ignores it; its sockets are "
            "the "
            "kernel's",
            program->path);
    else if (!program->machine_ours)
        say(doctor, BAD, "program", "%s is built for another machine", program->path);
    else if (program->libc == PROGRAM_STATIC)
        say(doctor, BAD, "program",
            "%s is statically linked%s: nothing can be preloaded; its sockets are the kernel's",
            program->path, program->go ? ", and a Go program" : "");
    else if (program->go)
        say(doctor, BAD, "program",
            "%s is a Go program: it makes system calls by itself, past every library; its sockets "
            "are the kernel's",
            program->path);
    else if (program->libc == PROGRAM_OTHER_LIBC)
        say(doctor, BAD, "program", "%s is loaded by %s: there is no shim for that C library",
            program->path, program->interpreter);
    else
        say(doctor, GOOD, "program", "%s is dynamically linked, with %s", program->path,
            libcs[program->libc]);
    if (program->secure)
        say(doctor, BAD, "privileges",
            "%s: %s: the loader then takes preloaded libraries only from its own folders (a name "
            "without a slash, of a setuid file there)",
            program->path, program->secure_why);
    if (program->io_uring)
        say(doctor, NOTE, "io_uring",
            "it is linked with liburing, whose calls the shim cannot see: it must be told to use "
            "epoll");
}

static bool loadable(const struct program *program)
{
    return program->class64 && program->machine_ours && !program->go && !program->secure &&
           (program->libc == PROGRAM_GLIBC || program->libc == PROGRAM_MUSL);
}

/* ---- the preload ---- */

/* Runs LOADER --list PROGRAM and keeps what it says. -1: that can't be done. */
static ssize_t list_objects(const struct program *program, char text[LISTING_MAX])
{
    int ends[2];
    pid_t pid;
    char *const argv[] = {(char *)(size_t)program->interpreter, "--list",
                          (char *)(size_t)program->path, NULL};
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    int rc = posix_spawn(&pid, program->interpreter, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    size_t len = 0;
    ssize_t n = 1;
    while (!rc && n > 0 && len < LISTING_MAX - 1) {
        n = read(ends[0], text + len, LISTING_MAX - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    close(ends[0]);
    text[len] = '\0';
    if (!rc)
        waitpid(pid, NULL, 0);
    return rc ? -1 : (ssize_t)len;
}

/* The line of the listing that speaks of the shim, without its newline; NULL: none does. */
static char *shim_line(char *text, bool complaint)
{
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        bool complains = strstr(line, "cannot be preloaded") || strstr(line, "Error loading") ||
                         strstr(line, "error while loading");
        if (strstr(line, SHIM) && complains == complaint)
            return line + strspn(line, " \t");
    }
    return NULL;
}

static bool preloaded_by_file(char path[256])
{
    FILE *file = fopen("/etc/ld.so.preload", "re");
    bool found = false;
    while (file && !found && fgets(path, 256, file)) {
        path[strcspn(path, "\n")] = '\0';
        found = strstr(path, SHIM) != NULL;
    }
    if (file)
        fclose(file);
    return found;
}

/* Why the loader did not load it, as far as the library's file tells. */
static void explain_library(struct doctor *doctor, const char *preload)
{
    char copy[4096];
    char *rest = NULL;
    snprintf(copy, sizeof(copy), "%s", preload);
    for (char *word = strtok_r(copy, ": ", &rest); word; word = strtok_r(NULL, ": ", &rest)) {
        struct dmm_err err = {0};
        if (strstr(word, SHIM) && !strchr(word, '$') && strchr(word, '/') &&
            program_check_library(word, doctor->program.libc, &err) < 0)
            say(doctor, BAD, "LD_PRELOAD", "%s", err.text);
    }
}

static void judge_preload(struct doctor *doctor)
{
    static char listing[LISTING_MAX], copy[LISTING_MAX];
    char from_file[256];
    const char *preload = getenv("LD_PRELOAD");
    bool named = preload && strstr(preload, SHIM);
    if (!named && preloaded_by_file(from_file))
        say(doctor, GOOD, "preload", "/etc/ld.so.preload names %s", from_file);
    else if (!named)
        say(doctor, BAD, "LD_PRELOAD", "LD_PRELOAD is %s%s%s: it does not name the shim",
            preload ? "\"" : "", preload ? preload : "not set", preload ? "\"" : "");
    if (!loadable(&doctor->program))
        return;
    unsigned before = doctor->n;
    if (named)
        explain_library(doctor, preload);
    if (doctor->n != before)
        return;
    ssize_t n = list_objects(&doctor->program, listing);
    memcpy(copy, listing, sizeof(copy));
    char *loaded = n < 0 ? NULL : shim_line(listing, false);
    char *refused = n < 0 ? NULL : shim_line(copy, true);
    doctor->seen = loaded && !refused;
    if (doctor->seen)
        say(doctor, GOOD, "loader", "%s would load %s", doctor->program.interpreter, loaded);
    else if (refused)
        say(doctor, BAD, "loader", "%s", refused);
    else if (n < 0)
        say(doctor, NOTE, "loader", "%s cannot be asked: %s", doctor->program.interpreter,
            strerror(errno));
    else if (named)
        say(doctor, BAD, "loader", "%s does not load what LD_PRELOAD (\"%s\") names",
            doctor->program.interpreter, preload);
}

/* ---- the sandbox ---- */

static void judge_sandbox(struct doctor *doctor)
{
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "Seccomp:\t2", 10) == 0)
            say(doctor, NOTE, "seccomp",
                "a seccomp filter is on here: it must allow UNIX sockets (socket, connect, "
                "sendmsg, "
                "recvmsg), mmap, eventfd2, epoll and futex, as any network program needs");
        if (strncmp(line, "Seccomp:\t1", 10) == 0)
            say(doctor, BAD, "seccomp", "strict seccomp is on here: no program can make sockets");
    }
    if (file)
        fclose(file);
}

/* ---- the pod ---- */

static bool attach_works(const char *pod_dir,
                         char path[sizeof(((struct sockaddr_un *)0)->sun_path)], int *error)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int n = snprintf(name.sun_path, sizeof(name.sun_path), "%s/%s", pod_dir, DMM_ATTACH_SOCKET);
    snprintf(path, sizeof(name.sun_path), "%s/%s", pod_dir, DMM_ATTACH_SOCKET);
    *error = ENAMETOOLONG;
    if (n < 0 || (size_t)n >= sizeof(name.sun_path))
        return false;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&name, sizeof(name));
    *error = errno;
    if (fd >= 0)
        close(fd);
    return rc == 0;
}

static void judge_stacks(struct doctor *doctor, const char *pod_dir)
{
    struct dmm_err err = {0};
    json_t *answer = NULL;
    size_t i;
    const json_t *stack;
    if (ctl_fetch(pod_dir, "/stacks", &answer, &err) < 0) {
        say(doctor, NOTE, "stacks", "the sidecar's API cannot be asked: %s", err.text);
        return;
    }
    json_array_foreach(json_object_get(answer, "stacks"), i, stack)
    {
        const char *name = json_string_value(json_object_get(stack, "name"));
        if (!json_is_true(json_object_get(stack, "up")))
            say(doctor, BAD, "stacks", "stack %s is not up", name ? name : "?");
    }
    json_decref(answer);
}

/* Rules that can match the process: those that name it, and those that name none. */
static unsigned count_rules(const json_t *mapping, const char *comm)
{
    unsigned n = 0;
    size_t i;
    const json_t *rule;
    json_array_foreach(json_object_get(mapping, "rules"), i, rule)
    {
        const char *process = json_string_value(json_object_get(rule, "process"));
        const json_t *stack = json_object_get(rule, "stack");
        bool kernel = json_is_string(stack) && strcmp(json_string_value(stack), "kernel") == 0;
        n += (!process || strcmp(process, comm) == 0) && !kernel;
    }
    return n;
}

static void judge_mapping(struct doctor *doctor, const char *pod_dir)
{
    struct dmm_err err = {0};
    json_t *answer = NULL;
    char comm[DMM_PROCESS_NAME];
    const char *base = strrchr(doctor->program.path, '/');
    /* The kernel's name of a process that runs a script is the script's. */
    const char *script = doctor->program.n_scripts ? strrchr(doctor->program.script, '/') : NULL;
    base = script ? script : base;
    snprintf(comm, sizeof(comm), "%.15s", base ? base + 1 : doctor->program.path);
    if (ctl_fetch(pod_dir, "/mapping", &answer, &err) < 0)
        return;
    const json_t *mapping = json_object_get(answer, "mapping");
    const char *name = json_string_value(json_object_get(mapping, "default"));
    unsigned rules = count_rules(mapping, comm);
    bool kernel = name && strcmp(name, "kernel") == 0;
    say(doctor, kernel && !rules ? BAD : GOOD, "mapping",
        "default is %s; %u rule%s on a stack can match the process \"%s\"%s", name ? name : "?",
        rules, rules == 1 ? "" : "s", comm,
        kernel && !rules ? ": all its sockets are the kernel's" : "");
    json_decref(answer);
}

static void judge_pod(struct doctor *doctor, const char *pod_dir)
{
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    int error;
    if (access(pod_dir, F_OK)) {
        say(doctor, BAD, "pod", "no pod directory %s (DMM_POD_DIR, --pod-dir): %s", pod_dir,
            strerror(errno));
        return;
    }
    if (!attach_works(pod_dir, path, &error)) {
        say(doctor, BAD, "sidecar", "no sidecar at %s: %s", path, strerror(error));
        return;
    }
    say(doctor, GOOD, "sidecar", "it answers at %s", path);
    judge_stacks(doctor, pod_dir);
    judge_mapping(doctor, pod_dir);
}

/* ---- the verdict ---- */

static bool any_bad(const struct doctor *doctor)
{
    for (unsigned i = 0; i < doctor->n; i++)
        if (doctor->findings[i].level == BAD)
            return true;
    return false;
}

static void print_json(const struct doctor *doctor, const char *command)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < doctor->n; i++) {
        const struct finding *finding = &doctor->findings[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s}", "level", level_names[finding->level],
                                        "topic", finding->topic, "text", finding->text));
    }
    json_t *answer =
        json_pack("{s:s, s:s, s:b, s:b, s:o}", "command", command, "path", doctor->program.path,
                  "seen", doctor->seen, "well", !any_bad(doctor), "findings", list);
    json_dumpf(answer, stdout, JSON_INDENT(2));
    fputc('\n', stdout);
    json_decref(answer);
}

static void print_text(const struct doctor *doctor, const char *command)
{
    for (unsigned i = 0; i < doctor->n; i++)
        printf("%-8s %-11s %s\n", level_names[doctor->findings[i].level], doctor->findings[i].topic,
               doctor->findings[i].text);
    if (!any_bad(doctor))
        printf("The shim sees %s: its sockets go where the mapping says.\n", command);
    else if (doctor->seen)
        printf("The shim sees %s, but see above.\n", command);
    else
        printf("The shim does not see %s: its sockets are the kernel's.\n", command);
}

int ctl_doctor(const char *pod_dir, const char *command, bool json)
{
    static struct doctor doctor;
    struct dmm_err err = {0};
    if (program_inspect(&doctor.program, command, getenv("PATH"), &err) < 0) {
        say(&doctor, BAD, "program", "%s", err.text);
    } else {
        judge_program(&doctor);
        judge_preload(&doctor);
    }
    judge_sandbox(&doctor);
    judge_pod(&doctor, pod_dir);
    if (json)
        print_json(&doctor, command);
    else
        print_text(&doctor, command);
    return fflush(stdout) == 0 && !any_bad(&doctor) ? 0 : 1;
}
