/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inherit: the shim's first moment in a program: what the environment says then is kept, for
 * programs change theirs, and sockets that the image before this one left (exec.h) are found again,
 * before any code of the program's own runs.
 *
 * Costs a few getenv() where nothing was left. The constructor's thread; then constant.
 */
#ifndef DMM_PRELOAD_INHERIT_H
#define DMM_PRELOAD_INHERIT_H

#define INHERIT_VARIABLE "DMM_CLIENT"
#define INHERIT_KEPT     3

/* What an image that inherits sockets needs of its environment; "" where it was not set. */
struct inherit_surroundings {
    struct {
        const char *name;
        char value[512];
    } kept[INHERIT_KEPT];
};

const struct inherit_surroundings *inherit_surroundings(void);

#endif
