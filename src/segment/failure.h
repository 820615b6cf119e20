// One line about what went wrong, for whoever decides to show it.
#pragma once

// Writes into err[SEGMENT_ERR_SIZE]. Returns rc.
int failure(char *err, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
