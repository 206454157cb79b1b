/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux_options: what Linux says of each socket option apart from doing it: which sockets take it,
 * lengths, ranges, errors, defaults; and who does it here. From it options.c answers as the kernel
 * does whatever the stack, and docs/sockets.md is checked against it by the oracle.
 *
 * Pure. The facts are those of socket(7), tcp(7), udp(7), ip(7), ipv6(7) and of Linux 6.18's
 * answers.
 */
#ifndef DMM_PRELOAD_LINUX_OPTIONS_H
#define DMM_PRELOAD_LINUX_OPTIONS_H

#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Where the headers of a C library do not have them. */
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef TCP_INQ
#define TCP_INQ 36
#endif
/* Who does an option. */
enum option_how {
    HOW_FLAG,      /* the shim: a bit of the status word (`arg`) */
    HOW_WORD,      /* the shim: a word (`arg`) */
    HOW_TIMEOUT,   /* the shim: a word of time (`arg`) */
    HOW_LOWAT,     /* the shim */
    HOW_PEEK_OFF,  /* the shim */
    HOW_LOCK,      /* the shim: a bit of the status word (`arg`) that stays once it is set */
    HOW_STAMP,     /* the shim: one of two bits of the status word (`arg`) */
    HOW_LINGER,    /* the shim, and the sidecar at close */
    HOW_BUFFER,    /* the sidecar, which owns the rings; the shim remembers */
    HOW_BUF_LOCK,  /* likewise */
    HOW_STACK,     /* the stack; where that has it not, as HOW_FIXED */
    HOW_FIXED,     /* nobody: what `fixed` says holds, and setting that succeeds */
    HOW_IGNORED,   /* Linux takes it and does nothing either */
    HOW_TELL,      /* options.c tells; setting is refused with `error` */
    HOW_NEVER,     /* refused with `error`; getting is ENOPROTOOPT */
    HOW_TRANSLATE, /* options.c sets another one by which it is done */
};

/* How the value looks. */
enum option_shape {
    SHAPE_INT,
    SHAPE_BOOL,  /* an int, kept as 0 or 1 */
    SHAPE_BYTES, /* as it is: at least `min`, at most `max` bytes */
};

struct linux_option {
    int32_t level, name;
    uint8_t sockets; /* OPTION_TCP, OPTION_UDP */
    uint8_t how, shape;
    uint8_t error;    /* positive */
    int32_t min, max; /* of the number, where min < max; of the bytes */
    int32_t fixed;    /* the default */
    uint32_t arg;
};

/* linux_option.arg of the options that the shim does not keep itself. */
enum {
    OPTION_SET_ONLY = 1 << 30,     /* getting is ENOPROTOOPT */
    OPTION_MAY_BE_SHORT = 1 << 29, /* fewer bytes than an int has are 0 */
    /* Else, of HOW_STACK: the bit of the status word that follows it. */
};

enum { OPTION_TCP = 1, OPTION_UDP = 2, OPTION_BOTH = 3 };

/* The kind of a socket: family AF_INET or AF_INET6, type SOCK_STREAM or SOCK_DGRAM. */
struct option_socket {
    uint16_t family, type;
};

/* A value after the checks: what is to be set. */
#define OPTION_VALUE 24
struct option_value {
    int32_t number; /* of SHAPE_INT and SHAPE_BOOL */
    uint32_t len;
    uint8_t bytes[OPTION_VALUE];
};

/* The option, or NULL with what get and set of it end with in *error (negative). */
const struct linux_option *linux_option_find(const struct option_socket *socket, int level,
                                             int name, bool set, int *error);
/* Checks what the app hands to setsockopt; *option as from linux_option_find(). 0 or a negative
 * errno, in Linux's order. */
int linux_option_check(const struct option_socket *socket, int level, int name, const void *value,
                       socklen_t len, const struct linux_option **option,
                       struct option_value *checked);
/* How many bytes of a value Linux reads at most, whatever length comes with it: what is behind them
 * may not be memory. */
socklen_t linux_option_reads(const struct linux_option *option);
/* Gives a number to getsockopt, as the level does. */
void linux_option_give(int level, int32_t number, void *value, socklen_t *len);

#endif
