/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/stacks/lwip/calls.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LW_LIBRARY "liblwip.so.0"

struct lw_calls lw;

/* What the dynamic section of a loaded library says about its calls into other files. */
struct relocations {
    uintptr_t base;
    const ElfW(Sym) * symbols;
    const char *strings;
    const ElfW(Rela) * tables[2];
    size_t counts[2];
};

static int find_calls(void *library, char *err, size_t errlen)
{
    static const struct {
        const char *name;
        size_t offset;
    } table[] = {
#define LW_CALL_ENTRY(name) {#name, offsetof(struct lw_calls, name)},
        LW_CALLS(LW_CALL_ENTRY)
#undef LW_CALL_ENTRY
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        void *address = dlsym(library, table[i].name);
        if (!address) {
            snprintf(err, errlen, "%s: no symbol %s", LW_LIBRARY, table[i].name);
            return -ELIBBAD;
        }
        memcpy((char *)&lw + table[i].offset, &address, sizeof(address));
    }
    return 0;
}

static bool read_relocations(void *library, struct relocations *out)
{
    struct link_map *map;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map))
        return false;
    memset(out, 0, sizeof(*out));
    out->base = map->l_addr;
    size_t rela_bytes = 0;
    size_t plt_bytes = 0;
    for (const ElfW(Dyn) *dyn = map->l_ld; dyn->d_tag != DT_NULL; dyn++) {
        /* glibc has relocated these pointers in place on the architectures of Debian. */
        void *pointer = (void *)dyn->d_un.d_ptr;
        switch (dyn->d_tag) {
        case DT_SYMTAB:
            out->symbols = pointer;
            break;
        case DT_STRTAB:
            out->strings = pointer;
            break;
        case DT_RELA:
            out->tables[0] = pointer;
            break;
        case DT_RELASZ:
            rela_bytes = dyn->d_un.d_val;
            break;
        case DT_JMPREL:
            out->tables[1] = pointer;
            break;
        case DT_PLTRELSZ:
            plt_bytes = dyn->d_un.d_val;
            break;
        default:
            break;
        }
    }
    out->counts[0] = out->tables[0] ? rela_bytes / sizeof(ElfW(Rela)) : 0;
    out->counts[1] = out->tables[1] ? plt_bytes / sizeof(ElfW(Rela)) : 0;
    return out->symbols && out->strings && out->counts[1];
}

/* The page is read-only after relocation (RELRO): open it for the store, and close it again. */
static int store_slot(void **slot, void *value)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = (void *)((uintptr_t)slot & ~(uintptr_t)(page_size - 1));
    if (mprotect(page, page_size, PROT_READ | PROT_WRITE))
        return -errno;
    *slot = value;
    return mprotect(page, page_size, PROT_READ) ? -errno : 0;
}

static int redirect(const struct relocations *rel, const struct lw_hook *hook, const void *original,
                    char *err, size_t errlen)
{
    unsigned found = 0;
    for (unsigned t = 0; t < 2; t++) {
        for (size_t i = 0; i < rel->counts[t]; i++) {
            const ElfW(Rela) *entry = &rel->tables[t][i];
            const ElfW(Sym) *symbol = &rel->symbols[ELF64_R_SYM(entry->r_info)];
            if (strcmp(rel->strings + symbol->st_name, hook->name) != 0)
                continue;
            void **slot = (void **)(rel->base + entry->r_offset);
            if (*slot != original)
                continue;
            void *address;
            memcpy(&address, &hook->hook, sizeof(address));
            int rc = store_slot(slot, address);
            if (rc) {
                snprintf(err, errlen, "%s: can't redirect %s: %s", LW_LIBRARY, hook->name,
                         strerror(-rc));
                return rc;
            }
            found++;
        }
    }
    if (!found) {
        snprintf(err, errlen, "%s: its calls of %s can't be redirected", LW_LIBRARY, hook->name);
        return -ELIBBAD;
    }
    return 0;
}

int lw_calls_open(const struct lw_hook *hooks, size_t n_hooks, char *err, size_t errlen)
{
    static bool opened;
    if (opened)
        return 0;
    void *library = dlopen(LW_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(err, errlen, "%s (Debian package liblwip0)", dlerror());
        return -ELIBACC;
    }
    struct relocations rel;
    int rc = find_calls(library, err, errlen);
    if (!rc && !read_relocations(library, &rel)) {
        snprintf(err, errlen, "%s: no relocations to redirect", LW_LIBRARY);
        rc = -ELIBBAD;
    }
    for (size_t i = 0; !rc && i < n_hooks; i++) {
        const void *original = dlsym(library, hooks[i].name);
        rc = redirect(&rel, &hooks[i], original, err, errlen);
    }
    if (rc) {
        /* Closing drops the library's pages, and with them what was redirected so far. */
        dlclose(library);
        return rc;
    }
    lw.lwip_init();
    opened = true;
    return 0;
}
