/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MAX_SCRIPTS  4
#define MAX_HEADERS  256
#define MAX_SECTIONS 4096
#define MAX_DYNAMIC  (1u << 20)

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_NONE
#endif

/* ---- finding the file ---- */

static int find(char path[PATH_MAX], const char *name, const char *list, struct dmm_err *err)
{
    if (strchr(name, '/')) {
        snprintf(path, PATH_MAX, "%s", name);
        return access(path, F_OK) ? dmm_err_set(err, errno, "%s: %s", path, strerror(errno)) : 0;
    }
    while (list && *list) {
        size_t len = strcspn(list, ":");
        int n = snprintf(path, PATH_MAX, "%.*s/%s", (int)(len ? len : 1), len ? list : ".", name);
        if (n > 0 && n < PATH_MAX && access(path, X_OK) == 0)
            return 0;
        list += len + (list[len] == ':');
    }
    return dmm_err_set(err, ENOENT, "%s: no such program in $PATH", name);
}

/* "#!/usr/bin/env -S python3 -u": what is run by it. False: not a script. */
static bool script_of(const char *head, char interpreter[PATH_MAX])
{
    char line[256];
    char *words[3] = {NULL};
    if (head[0] != '#' || head[1] != '!')
        return false;
    snprintf(line, sizeof(line), "%s", head + 2);
    line[strcspn(line, "\n")] = '\0';
    char *rest = NULL;
    char *word = strtok_r(line, " \t", &rest);
    for (int n = 0; word && n < 3; word = strtok_r(NULL, " \t", &rest)) {
        bool option = n > 0 && (word[0] == '-' || strchr(word, '='));
        if (!option)
            words[n++] = word;
    }
    if (!words[0])
        return false;
    const char *base = strrchr(words[0], '/');
    bool env = words[1] && base && strcmp(base, "/env") == 0;
    snprintf(interpreter, PATH_MAX, "%s", env ? words[1] : words[0]);
    return true;
}

/* ---- ELF ---- */

static bool read_at(int fd, void *to, size_t len, uint64_t at)
{
    return at <= INT64_MAX && pread(fd, to, len, (off_t)at) == (ssize_t)len;
}

static void look_at_interpreter(struct program *program, int fd, const Elf64_Phdr *header)
{
    size_t len = header->p_filesz < sizeof(program->interpreter) ? (size_t)header->p_filesz
                                                                 : sizeof(program->interpreter) - 1;
    if (!read_at(fd, program->interpreter, len, header->p_offset))
        len = 0;
    program->interpreter[len] = '\0';
    const char *base = strrchr(program->interpreter, '/');
    base = base ? base + 1 : program->interpreter;
    program->libc = strncmp(base, "ld-musl", 7) == 0 ? PROGRAM_MUSL
                    : strncmp(base, "ld-linux", 8) == 0 || strncmp(base, "ld64", 4) == 0
                        ? PROGRAM_GLIBC
                        : PROGRAM_OTHER_LIBC;
}

/* Go's linker leaves a note of that name. */
static bool is_go_note(int fd, const Elf64_Phdr *header)
{
    uint64_t at = header->p_offset;
    uint64_t end = at + (header->p_filesz < 65536 ? header->p_filesz : 65536);
    Elf64_Nhdr note;
    char name[4];
    while (at + sizeof(note) <= end && read_at(fd, &note, sizeof(note), at)) {
        at += sizeof(note);
        if (note.n_namesz == sizeof(name) && read_at(fd, name, sizeof(name), at) &&
            memcmp(name, "Go\0\0", sizeof(name)) == 0)
            return true;
        at += (((uint64_t)note.n_namesz + 3) & ~UINT64_C(3)) +
              (((uint64_t)note.n_descsz + 3) & ~UINT64_C(3));
    }
    return false;
}

/* Does the dynamic section's string table name the library? */
static bool needs(int fd, const Elf64_Ehdr *elf, const char *library)
{
    bool found = false;
    for (unsigned i = 0; i < elf->e_shnum && i < MAX_SECTIONS && !found; i++) {
        Elf64_Shdr section;
        if (elf->e_shentsize != sizeof(section) ||
            !read_at(fd, &section, sizeof(section), elf->e_shoff + (uint64_t)i * sizeof(section)))
            break;
        if (section.sh_type != SHT_STRTAB || !(section.sh_flags & SHF_ALLOC) ||
            section.sh_size > MAX_DYNAMIC)
            continue;
        char *text = malloc(section.sh_size + 1);
        if (text && read_at(fd, text, section.sh_size, section.sh_offset))
            found = memmem(text, section.sh_size, library, strlen(library)) != NULL;
        free(text);
    }
    return found;
}

static int look_at_elf(struct program *program, int fd, struct dmm_err *err)
{
    Elf64_Ehdr elf;
    if (!read_at(fd, &elf, sizeof(elf), 0) || memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0)
        return dmm_err_set(err, ENOEXEC, "%s: neither an ELF program nor a script", program->path);
    program->elf = true;
    program->class64 = elf.e_ident[EI_CLASS] == ELFCLASS64;
    program->machine_ours = elf.e_machine == MACHINE;
    if (!program->class64)
        return 0;
    for (unsigned i = 0; i < elf.e_phnum && i < MAX_HEADERS; i++) {
        Elf64_Phdr header;
        if (elf.e_phentsize != sizeof(header) ||
            !read_at(fd, &header, sizeof(header), elf.e_phoff + (uint64_t)i * sizeof(header)))
            return dmm_err_set(err, ENOEXEC, "%s: a damaged ELF file", program->path);
        if (header.p_type == PT_INTERP)
            look_at_interpreter(program, fd, &header);
        else if (header.p_type == PT_NOTE)
            program->go |= is_go_note(fd, &header);
    }
    program->io_uring = needs(fd, &elf, "liburing.so");
    return 0;
}

/* ---- privileges ---- */

static void look_at_privileges(struct program *program, const struct stat *st)
{
    const char *why = NULL;
    if (st->st_mode & S_ISUID && st->st_uid != getuid())
        why = "setuid";
    else if (st->st_mode & S_ISGID && st->st_mode & S_IXGRP && st->st_gid != getgid())
        why = "setgid";
    else if (getuid() != 0 && getxattr(program->path, "security.capability", NULL, 0) > 0)
        why = "file capabilities";
    program->secure = why != NULL;
    snprintf(program->secure_why, sizeof(program->secure_why), "%s", why ? why : "");
}

/* ---- all of it ---- */

int program_inspect(struct program *program, const char *name, const char *path_list,
                    struct dmm_err *err)
{
    char next[PATH_MAX];
    memset(program, 0, sizeof(*program));
    snprintf(next, sizeof(next), "%s", name);
    for (;;) {
        char head[256] = {0};
        struct stat st;
        int rc = find(program->path, next, path_list, err);
        if (rc)
            return rc;
        int fd = open(program->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st)) {
            rc = dmm_err_set(err, errno, "%s: %s", program->path, strerror(errno));
            if (fd >= 0)
                close(fd);
            return rc;
        }
        bool script = S_ISREG(st.st_mode) && pread(fd, head, sizeof(head) - 1, 0) > 0 &&
                      script_of(head, next);
        if (!S_ISREG(st.st_mode))
            rc = dmm_err_set(err, EACCES, "%s: not a file", program->path);
        else if (!script)
            rc = look_at_elf(program, fd, err);
        close(fd);
        if (!script) {
            look_at_privileges(program, &st);
            return rc;
        }
        if (!program->n_scripts)
            snprintf(program->script, sizeof(program->script), "%s", program->path);
        if (++program->n_scripts > MAX_SCRIPTS)
            return dmm_err_set(err, ELOOP, "%s: too many interpreters", program->path);
    }
}

int program_check_library(const char *path, enum program_libc libc, struct dmm_err *err)
{
    Elf64_Ehdr elf;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dmm_err_set(err, errno, "%s: %s", path, strerror(errno));
    int rc = 0;
    if (!read_at(fd, &elf, sizeof(elf), 0) || memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0)
        rc = dmm_err_set(err, ENOEXEC, "%s: not a library", path);
    else if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_machine != MACHINE)
        rc = dmm_err_set(err, ENOEXEC, "%s: built for another machine", path);
    else if (needs(fd, &elf, "libc.so.6") != (libc == PROGRAM_GLIBC))
        rc = dmm_err_set(err, ENOEXEC, "%s: built for %s, and the program needs one for %s", path,
                         libc == PROGRAM_GLIBC ? "another C library" : "glibc",
                         libc == PROGRAM_GLIBC ? "glibc" : "musl");
    close(fd);
    return rc;
}
