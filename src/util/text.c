// Text helpers that libc lacks: a copy that refuses instead of cutting, edit distance for
// suggestions, lists separated by commas. Used by units, the RPC library and the CLI. No
// allocation, no locale.

#include "rtvs/text.h"

#include <limits.h>
#include <string.h>

#define DISTANCE_MAX_LEN 63

bool
text_copy(char *dst, size_t size, const char *src)
{
	size_t len = strlen(src);

	if (len >= size)
		return false;
	memcpy(dst, src, len + 1);
	return true;
}

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

// Three rows of the usual table are enough: the swap looks back two.
unsigned
text_distance(const char *a, const char *b)
{
	unsigned row[3][DISTANCE_MAX_LEN + 1];
	size_t len_a = strlen(a), len_b = strlen(b);

	if (len_a > DISTANCE_MAX_LEN || len_b > DISTANCE_MAX_LEN)
		return UINT_MAX;
	for (size_t j = 0; j <= len_b; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= len_a; i++) {
		unsigned *cur = row[i % 3], *prev = row[(i + 2) % 3], *prev2 = row[(i + 1) % 3];

		cur[0] = (unsigned)i;
		for (size_t j = 1; j <= len_b; j++) {
			cur[j] = min3(prev[j] + 1, cur[j - 1] + 1, prev[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && prev2[j - 2] + 1 < cur[j])
				cur[j] = prev2[j - 2] + 1;
		}
	}
	return row[len_a % 3][len_b];
}

bool
text_is_near(const char *word, const char *name)
{
	return text_distance(word, name) <= 1 + strlen(name) / 6;
}

bool
text_next_piece(const char **cursor, char *buf, size_t size)
{
	const char *piece = *cursor;
	size_t len;

	if (piece == NULL)
		return false;
	len = strcspn(piece, ",");
	*cursor = piece[len] == ',' ? piece + len + 1 : NULL;
	if (len >= size)
		len = 0;
	memcpy(buf, piece, len);
	buf[len] = '\0';
	return true;
}
