// SPDX-License-Identifier: Apache-2.0
/* The bytes form: comma-separated hex digits and PATTERN*COUNT, read and written; and text escaped for a line. */
#include <string.h>

#include "program.h"

/* What is printed is cut into units of this many bytes, as harness/program/bytes.ts does: one text for the same bytes. */
#define UNIT 8
/* Repeats of at most this many bytes are kept expanded: a copy is faster, and the text was hardly shorter. */
#define SMALL 32

static const char digits[] = "0123456789abcdef";

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One item of the text as it stands there. */
struct written {
	const char *hex;
	size_t length;
	uint64_t count;
};

static const char *read_count(const char *text, const char *end, uint64_t *count)
{
	*count = 0;
	if (text == end || end - text > 12)
		return "expected a count of at most 12 digits behind *";
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return "expected a decimal count behind *";
		*count = *count * 10 + (*text - '0');
	}
	return *count ? NULL : "expected a count of at least 1 behind *";
}

static const char *read_item(const char *text, const char *end, struct written *item)
{
	const char *star = memchr(text, '*', end - text);
	const char *stop = star ? star : end;
	const char *wrong;

	item->hex = text;
	item->length = (stop - text) / 2;
	item->count = 1;
	if (stop == text || (stop - text) % 2)
		return "expected an even number of hex digits";
	for (; text < stop; text++)
		if (digit(*text) < 0)
			return "expected hex digits";
	if (!star)
		return NULL;
	if (item->length > UNIT)
		return "expected a pattern of 1 to 8 bytes before *";
	wrong = read_count(star + 1, end, &item->count);
	return wrong;
}

static const char *item_end(const char *text, const char *end)
{
	const char *comma = memchr(text, ',', end - text);

	return comma ? comma : end;
}

static bool is_small(const struct written *item)
{
	return item->count == 1 || item->length * item->count <= SMALL;
}

/* What an item list will need, found before anything is allocated for it. */
struct sizes {
	uint64_t size;
	size_t items;
	size_t literal;
};

static const char *measure(const char *text, const char *end, uint32_t max, struct sizes *sizes)
{
	bool joins = false;

	for (;;) {
		const char *stop = item_end(text, end);
		struct written item;
		const char *wrong = read_item(text, stop, &item);

		if (wrong)
			return wrong;
		sizes->size += item.length * item.count;
		if (sizes->size > max)
			return "too many bytes";
		sizes->literal += is_small(&item) ? item.length * item.count : item.length;
		sizes->items += !(joins && is_small(&item));
		joins = is_small(&item);
		if (stop == end)
			return NULL;
		text = stop + 1;
	}
}

static void unhex(uint8_t *to, const struct written *item)
{
	for (size_t i = 0; i < item->length; i++)
		to[i] = digit(item->hex[2 * i]) << 4 | digit(item->hex[2 * i + 1]);
}

/* Repeats the first `length` of `total` bytes, twice as much each time. */
static void spread(uint8_t *to, size_t length, size_t total)
{
	while (length < total) {
		size_t more = length < total - length ? length : total - length;

		memcpy(to + length, to, more);
		length += more;
	}
}

static void fill_items(const char *text, const char *end, struct item *items, uint8_t *literal)
{
	struct item *last = NULL;

	for (;; text++) {
		const char *stop = item_end(text, end);
		struct written item;

		read_item(text, stop, &item);
		unhex(literal, &item);
		if (!is_small(&item)) {
			*items = (struct item){ literal, item.length, item.count };
			literal += item.length;
			items++;
			last = NULL;
		} else {
			size_t total = item.length * item.count;

			spread(literal, item.length, total);
			if (!last) {
				last = items++;
				*last = (struct item){ literal, 0, 1 };
			}
			last->length += total;
			literal += total;
		}
		text = stop;
		if (stop == end)
			return;
	}
}

const char *bytes_parse(struct arena *arena, const char *text, size_t length, uint32_t max, struct bytes *bytes)
{
	struct sizes sizes = { 0 };
	struct item *items;
	const char *wrong;

	*bytes = (struct bytes){ 0 };
	if (length == 1 && *text == '-')
		return NULL;
	wrong = measure(text, text + length, max, &sizes);
	if (wrong)
		return wrong;
	items = arena_take(arena, sizes.items * sizeof(*items));
	fill_items(text, text + length, items, arena_take(arena, sizes.literal));
	*bytes = (struct bytes){ sizes.size, sizes.items, items };
	return NULL;
}

void bytes_expand(const struct bytes *bytes, uint8_t *to)
{
	for (uint32_t i = 0; i < bytes->count; i++) {
		const struct item *item = &bytes->items[i];
		size_t total = (size_t)item->length * item->count;

		memcpy(to, item->data, item->length);
		spread(to, item->length, total);
		to += total;
	}
}

static char *print_hex(char *to, const uint8_t *bytes, size_t size)
{
	while (size--) {
		*to++ = digits[*bytes >> 4];
		*to++ = digits[*bytes++ & 15];
	}
	return to;
}

static char *print_decimal(char *to, uint64_t value)
{
	char text[20];
	int at = sizeof(text);

	do
		text[--at] = '0' + value % 10;
	while (value /= 10);
	memcpy(to, text + at, sizeof(text) - at);
	return to + sizeof(text) - at;
}

/* How many bytes from `at` on repeat what stands one unit before. */
static size_t same_as_unit_before(const uint8_t *bytes, size_t at, size_t size)
{
	size_t end = at;

	while (end + UNIT <= size && !memcmp(bytes + end, bytes + end - UNIT, UNIT))
		end += UNIT;
	while (end < size && bytes[end] == bytes[end - UNIT])
		end++;
	return end - at;
}

/* The shortest period of one unit: 1, 2, 4 or 8 bytes. */
static size_t period_of(const uint8_t *unit)
{
	size_t period = 1;

	while (period < UNIT && memcmp(unit, unit + period, UNIT - period))
		period *= 2;
	return period;
}

char *bytes_print(char *to, const uint8_t *bytes, size_t size)
{
	size_t at = 0;

	if (!size)
		*to++ = '-';
	while (at < size) {
		size_t length = size - at < UNIT ? size - at : UNIT;
		size_t period = length, same = 0;

		if (at)
			*to++ = ',';
		if (length == UNIT) {
			period = period_of(bytes + at);
			same = same_as_unit_before(bytes, at + UNIT, size);
		}
		if (length < UNIT || (same < UNIT && period > 1)) {
			to = print_hex(to, bytes + at, length);
		} else {
			/* A run that does not reach the end stops between units, so that the next one is aligned again. */
			size_t step = at + UNIT + same == size ? period : UNIT;

			length = (UNIT + same) / step * step;
			to = print_hex(to, bytes + at, period);
			*to++ = '*';
			to = print_decimal(to, length / period);
		}
		at += length;
	}
	return to;
}

char *escape(char *to, const char *text, size_t length)
{
	while (length--) {
		uint8_t byte = *text++;

		if (byte < 0x20 || byte > 0x7e || byte == '\\') {
			*to++ = '\\';
			*to++ = 'x';
			*to++ = digits[byte >> 4];
			*to++ = digits[byte & 15];
		} else {
			*to++ = byte;
		}
	}
	return to;
}
