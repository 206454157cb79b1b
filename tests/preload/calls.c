/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the names in the shim's table of calls, to be compared with what the library exports. */
#include "preload/calls.h"

#define PRINT(name) puts(#name);

int main(void)
{
    DMM_CALLS(PRINT)
    return 0;
}
