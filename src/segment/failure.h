// One line about an error, for a caller that may show it.
#pragma once

// Writes into err[SEGMENT_ERR_SIZE]. Returns rc.
int failure(char *err, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
