// SPDX-License-Identifier: Apache-2.0
/* Memory for one program, given back all at once. It grows with what was read, never with what was announced. */
#include <stdlib.h>
#include <unistd.h>

#include "program.h"

#define CHUNK (64u << 10)

struct chunk {
	struct chunk *next;
	max_align_t data[];
};

static void *new_chunk(struct arena *arena, size_t size)
{
	struct chunk *chunk = calloc(1, sizeof(*chunk) + size);

	if (!chunk) {
		static const char text[] = "vfio-conform-helper: out of memory\n";

		if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
			_exit(71);
		_exit(70);
	}
	chunk->next = arena->chunks;
	arena->chunks = chunk;
	return chunk->data;
}

void *arena_take(struct arena *arena, size_t size)
{
	void *taken;

	/* Nothing is something too: an address that is not NULL. */
	size += !size;
	size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (size > CHUNK / 4)
		return new_chunk(arena, size);
	if (size > arena->left) {
		arena->next = new_chunk(arena, CHUNK);
		arena->left = CHUNK;
	}
	taken = arena->next;
	arena->next += size;
	arena->left -= size;
	return taken;
}

void arena_free(struct arena *arena)
{
	while (arena->chunks) {
		struct chunk *next = arena->chunks->next;

		free(arena->chunks);
		arena->chunks = next;
	}
	arena->left = 0;
	arena->next = NULL;
}
