/* SPDX-License-Identifier: Apache-2.0 */
#include "common/number.h"

bool dmm_number_parse(const char *text, size_t len, unsigned long max, unsigned long *value)
{
    unsigned long sum = 0;
    if (len == 0 || (len > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        unsigned long digit = (unsigned long)(text[i] - '0');
        if (digit > max || sum > (max - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}
