/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool: what the plugin does when a person, or a unit at boot, calls it with arguments.
 *
 *   dmm gc [--boot] [--state-dir DIR] [--network NAME]
 *
 * takes back the attachments whose namespace is gone, of one network or of all; with --boot, those
 * that an earlier boot left and no others, so that it may run in a container, which sees no
 * namespaces of pods.
 */
#ifndef DMM_CNI_TOOL_H
#define DMM_CNI_TOOL_H

/* Returns the exit status: 0; 1 if something could not be taken back; 2 for bad arguments. */
int dmm_tool(int argc, char **argv);

#endif
