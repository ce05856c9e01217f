// SPDX-License-Identifier: Apache-2.0
/* Parameters of a call as text, one kind after the other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"

static size_t length_of(struct text text)
{
	return text.end - text.at;
}

static bool starts_with(struct text text, const char *prefix)
{
	return length_of(text) >= strlen(prefix) && !memcmp(text.at, prefix, strlen(prefix));
}

static bool parse_used_name(struct parser *parser, enum thing thing, struct text text, int32_t *name)
{
	static const char *const what[] = {
		"expected an actor that an earlier line makes",
		"expected a descriptor that an earlier line makes",
		"expected a memory that an earlier line makes",
	};

	*name = find_name(parser, thing, text);
	return *name >= 0 || refuse(parser, what[thing], text);
}

static bool parse_number(struct parser *parser, struct text text, uint64_t *number)
{
	return read_number(text, number) ||
	       refuse(parser, "expected a number, decimal or 0x hex, of at most 64 bits", text);
}

static bool parse_num(struct parser *parser, const struct param *param, struct text text, uint64_t *number)
{
	if (!parse_number(parser, text, number))
		return false;
	if (*number > param->max) {
		char wrong[64];

		snprintf(wrong, sizeof(wrong), "expected a %s of at most %llu", param->name,
			 (unsigned long long)param->max);
		return refuse(parser, wrong, text);
	}
	if (param->form != FORM_any && (!*number || *number & (*number - 1)))
		return refuse(parser,
			      param->form == FORM_width ? "expected a width of 1, 2, 4 or 8" :
							  "expected a power of two",
			      text);
	return true;
}

static bool parse_place(struct parser *parser, struct text text, struct place *place)
{
	struct text name = { text.at + 1, NULL }, offset = { NULL, text.end };

	place->mem = -1;
	if (!starts_with(text, "&"))
		return parse_number(parser, text, &place->offset);
	name.end = memchr(text.at, '+', length_of(text));
	if (!name.end)
		return refuse(parser, "expected &MEMORY+0xOFFSET", text);
	offset.at = name.end + 1;
	if (!starts_with(offset, "0x"))
		return refuse(parser, "expected &MEMORY+0xOFFSET", text);
	return parse_used_name(parser, THING_MEM, name, &place->mem) &&
	       parse_number(parser, offset, &place->offset);
}

static bool add_items(struct parser *parser, const struct item *items, uint32_t count)
{
	if (count > parser->item_room - parser->item_count) {
		uint32_t room = (parser->item_count + count) * 2;
		struct item *more = realloc(parser->items, room * sizeof(*more));

		if (!more)
			return false;
		parser->items = more;
		parser->item_room = room;
	}
	if (count)
		memcpy(parser->items + parser->item_count, items, count * sizeof(*items));
	parser->item_count += count;
	return true;
}

/* One segment: bytes, or the text of a let. */
static bool parse_segment(struct parser *parser, struct text text, struct bytes *bytes)
{
	const char *wrong;
	const struct let *let;
	struct item *item;

	if (!starts_with(text, "$")) {
		wrong = bytes_parse(&parser->program->arena, text.at, length_of(text), MAX_INLINE, bytes);
		return !wrong || refuse(parser, wrong, text);
	}
	let = find_let(parser, (struct text){ text.at + 1, text.end });
	if (!let)
		return refuse(parser, "expected a let", text);
	item = arena_take(&parser->program->arena, sizeof(*item));
	*item = (struct item){ (const uint8_t *)let->text, let->length, 1 };
	*bytes = (struct bytes){ let->length, 1, item };
	return true;
}

static struct text next_segment(struct text *rest)
{
	struct text segment = { rest->at, rest->end };
	const char *at = rest->at;

	/* Neighbouring items of bytes are one segment; $NAME is one of its own. */
	do {
		const char *comma = memchr(at, ',', rest->end - at);

		segment.end = comma ? comma : rest->end;
		at = comma ? comma + 1 : rest->end;
	} while (segment.end < rest->end && *rest->at != '$' && (at == rest->end || *at != '$'));
	rest->at = segment.end < rest->end ? segment.end + 1 : NULL;
	return segment;
}

static bool parse_segments(struct parser *parser, struct text text, struct bytes *bytes)
{
	struct text rest = text;
	struct item *items;
	uint32_t size = 0;

	if (!memchr(text.at, '$', length_of(text)))
		return parse_segment(parser, text, bytes);
	parser->item_count = 0;
	while (rest.at) {
		struct text segment = next_segment(&rest);

		if (!parse_segment(parser, segment, bytes))
			return false;
		if (bytes->size > MAX_INLINE - size)
			return refuse(parser, "too many bytes", text);
		size += bytes->size;
		if (!add_items(parser, bytes->items, bytes->count))
			return refuse(parser, "out of memory", text);
	}
	items = arena_take(&parser->program->arena, parser->item_count * sizeof(*items));
	memcpy(items, parser->items, parser->item_count * sizeof(*items));
	*bytes = (struct bytes){ size, parser->item_count, items };
	return true;
}

static bool parse_patch(struct parser *parser, struct text text, uint32_t size, struct patch *patch)
{
	static const char form[] = "expected @OFFSET=PLACE, @OFFSET=fd:NAME or +OFFSET=STRIDE";
	const char *equals = memchr(text.at, '=', length_of(text));
	struct text offset = { text.at + 1, equals }, what = { equals ? equals + 1 : NULL, text.end };
	uint64_t at;

	if (!equals || equals - text.at < 2 || equals - text.at > 8 || starts_with(offset, "0x") ||
	    !read_number(offset, &at))
		return refuse(parser, form, text);
	patch->at = at;
	if (*text.at == '+') {
		patch->kind = PATCH_STRIDE;
		if (!parse_number(parser, what, &patch->stride))
			return false;
	} else if (*text.at != '@') {
		return refuse(parser, form, text);
	} else if (starts_with(what, "fd:")) {
		patch->kind = PATCH_FD;
		what.at += 3;
		if (!parse_used_name(parser, THING_FD, what, &patch->fd))
			return false;
	} else {
		patch->kind = PATCH_POINTER;
		if (!parse_place(parser, what, &patch->place))
			return false;
	}
	return at + (patch->kind == PATCH_FD ? 4 : 8) <= size ||
	       refuse(parser, "expected a patch within the argument", text);
}

static bool parse_inline(struct parser *parser, struct text text, struct arg *arg)
{
	struct text rest = { text.at + 1, text.end - 1 }, token = rest, counted;
	struct patch *patches;
	uint32_t count = 0;

	if (length_of(text) < 2 || text.end[-1] != ']')
		return refuse(parser, "expected ] at the end of an argument", text);
	while (token.at < token.end && *token.at != ' ' && *token.at != '\t')
		token.at++;
	rest.at = token.at;
	if (!parse_segments(parser, (struct text){ text.at + 1, token.at }, &arg->bytes))
		return false;
	for (counted = rest; next_token(&counted, &token);)
		count++;
	patches = arena_take(&parser->program->arena, count * sizeof(*patches));
	arg->patch = patches;
	for (; next_token(&rest, &token); patches++)
		if (!parse_patch(parser, token, arg->bytes.size, patches))
			return false;
	arg->patches = count;
	return true;
}

static bool parse_arg(struct parser *parser, struct text text, struct arg *arg)
{
	if (starts_with(text, "=")) {
		arg->kind = ARG_VALUE;
		text.at++;
		return parse_number(parser, text, &arg->value);
	}
	if (starts_with(text, "[")) {
		arg->kind = ARG_INLINE;
		return parse_inline(parser, text, arg);
	}
	arg->kind = ARG_PLACE;
	return parse_place(parser, text, &arg->place);
}

static bool in_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Takes the next piece of a path: a $NAME replaced, or the characters up to one. */
static bool next_piece(struct parser *parser, struct text *path, struct text *piece)
{
	const char *at = path->at;
	const struct let *let;

	if (*at != '$') {
		while (at < path->end && *at != '$')
			at++;
		*piece = (struct text){ path->at, at };
		path->at = at;
		return true;
	}
	for (at++; at < path->end && in_name(*at);)
		at++;
	let = find_let(parser, (struct text){ path->at + 1, at });
	if (!let)
		return refuse(parser, "expected a let", (struct text){ path->at, at });
	*piece = (struct text){ let->text, let->text + let->length };
	path->at = at;
	return true;
}

static bool parse_path(struct parser *parser, struct text text, const char **path)
{
	char whole[MAX_PATH + 1];
	struct text rest = text;
	size_t length = 0;

	while (rest.at < rest.end) {
		struct text piece = { NULL, NULL };

		if (!next_piece(parser, &rest, &piece))
			return false;
		if (length_of(piece) > MAX_PATH - length)
			return refuse(parser, "expected a path of at most 4095 bytes", text);
		memcpy(whole + length, piece.at, length_of(piece));
		length += length_of(piece);
	}
	if (!length || *whole != '/')
		return refuse(parser, "expected an absolute path", text);
	*path = copy_text(parser, (struct text){ whole, whole + length });
	return true;
}

static bool is_word(struct text text)
{
	if (length_of(text) < 1 || length_of(text) > MAX_NAME)
		return false;
	for (const char *c = text.at; c < text.end; c++) {
		bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');

		if (!letter && (c == text.at || (*c != '_' && (*c < '0' || *c > '9'))))
			return false;
	}
	return true;
}

static bool parse_word(struct parser *parser, const struct param *param, struct text text, union value *value)
{
	char wrong[120] = "expected one of";

	if (!param->words) {
		if (!is_word(text))
			return refuse(parser, "expected a word", text);
		value->text = copy_text(parser, text);
		return true;
	}
	for (value->num = 0; param->words[value->num]; value->num++)
		if (text_is(text, param->words[value->num]))
			return true;
	for (int i = 0; param->words[i]; i++)
		snprintf(wrong + strlen(wrong), sizeof(wrong) - strlen(wrong), " %s", param->words[i]);
	return refuse(parser, wrong, text);
}

static bool parse_bytes(struct parser *parser, struct text text, struct bytes *bytes)
{
	const char *wrong = bytes_parse(&parser->program->arena, text.at, length_of(text), MAX_DATA, bytes);

	return !wrong || refuse(parser, wrong, text);
}

bool parse_value(struct parser *parser, const struct param *param, struct text text, union value *value)
{
	struct arena *arena = &parser->program->arena;
	struct place *place;
	struct bytes *bytes;
	struct arg *arg;

	switch ((enum kind)param->kind) {
	case KIND_actor:
		return parse_used_name(parser, THING_ACTOR, text, &value->name);
	case KIND_fd:
		return parse_used_name(parser, THING_FD, text, &value->name);
	case KIND_mem:
		return parse_used_name(parser, THING_MEM, text, &value->name);
	case KIND_num:
		return parse_num(parser, param, text, &value->num);
	case KIND_place:
		value->place = place = arena_take(arena, sizeof(*place));
		return parse_place(parser, text, place);
	case KIND_arg:
		value->arg = arg = arena_take(arena, sizeof(*arg));
		return parse_arg(parser, text, arg);
	case KIND_bytes:
		value->bytes = bytes = arena_take(arena, sizeof(*bytes));
		return parse_bytes(parser, text, bytes);
	case KIND_path:
		return parse_path(parser, text, &value->text);
	case KIND_word:
		return parse_word(parser, param, text, value);
	case KIND_newactor:
	case KIND_newfd:
	case KIND_newmem:
		break;
	}
	abort();
}
