// SPDX-License-Identifier: Apache-2.0
/* What a program's names are: those that earlier lines made, as numbers, and its lets. */
#include <string.h>

#include "parse.h"

char *copy_text(struct parser *parser, struct text text)
{
	size_t length = text.end - text.at;
	char *copy = arena_take(&parser->program->arena, length + 1);

	memcpy(copy, text.at, length);
	return copy;
}

/* The slot of a name, or the free one where it belongs. */
static uint16_t *name_slot(struct names *names, struct text text)
{
	uint64_t hash = fnv1a64(FNV1A64_START, text.at, text.end - text.at);
	uint32_t slot = (hash ^ hash >> 32) % NAME_SLOTS;

	while (names->slots[slot] && !text_is(text, names->name[names->slots[slot] - 1]))
		slot = (slot + 1) % NAME_SLOTS;
	return &names->slots[slot];
}

int find_name(struct parser *parser, enum thing thing, struct text text)
{
	return is_name(text) ? *name_slot(&parser->names[thing], text) - 1 : -1;
}

int make_name(struct parser *parser, enum thing thing, struct text text)
{
	struct names *names = &parser->names[thing];
	uint16_t *slot = name_slot(names, text);

	if (!*slot) {
		if (names->count == (thing == THING_ACTOR ? MAX_ACTORS : MAX_NAMES))
			return -1;
		names->name[names->count++] = copy_text(parser, text);
		*slot = names->count;
	}
	return *slot - 1;
}

const struct let *find_let(struct parser *parser, struct text name)
{
	for (int i = 0; i < parser->let_count; i++)
		if (text_is(name, parser->lets[i].name))
			return &parser->lets[i];
	return NULL;
}
