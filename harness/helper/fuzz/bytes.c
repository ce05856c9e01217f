// SPDX-License-Identifier: Apache-2.0
/* Bytes become text and the same bytes again; and so does whatever text stands for bytes. */
#include <stdlib.h>
#include <string.h>

#include "../program.h"

#define MAX 65536

static uint8_t *expanded(const struct bytes *bytes)
{
	uint8_t *memory = malloc(bytes->size + 1);

	if (!memory)
		abort();
	bytes_expand(bytes, memory);
	return memory;
}

static void there_and_back(const uint8_t *bytes, size_t size)
{
	char *text = malloc(BYTES_TEXT(size)), *end = bytes_print(text, bytes, size);
	struct arena arena = { 0 };
	struct bytes again;
	uint8_t *memory;

	if ((size_t)(end - text) > BYTES_TEXT(size) || bytes_parse(&arena, text, end - text, MAX, &again) ||
	    again.size != size)
		abort();
	memory = expanded(&again);
	if (size && memcmp(memory, bytes, size))
		abort();
	free(memory);
	free(text);
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct bytes bytes;

	if (size > MAX)
		return 0;
	there_and_back(data, size);
	if (!bytes_parse(&arena, (const char *)data, size, MAX, &bytes)) {
		uint8_t *memory = expanded(&bytes);

		there_and_back(memory, bytes.size);
		free(memory);
	}
	arena_free(&arena);
	return 0;
}
