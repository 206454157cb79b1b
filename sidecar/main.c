/* SPDX-License-Identifier: Apache-2.0 */
/* dmm-stackd: the sidecar. */
#include "sidecar/control.h"

int main(int argc, char **argv)
{
    struct dmm_options options;
    int rc = dmm_options_parse(&options, argc, argv);
    if (rc)
        return rc < 0 ? 2 : 0;
    dmm_log_setup("stackd", options.log_level, options.log_json, 2);
    return dmm_control_run(&options);
}
