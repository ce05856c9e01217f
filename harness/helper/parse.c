// SPDX-License-Identifier: Apache-2.0
/* Reads a program's text, line by line. The whole of it is checked before anything of it runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"

static const char no_memory[] = "out of memory";

static bool is_keyword(struct text text)
{
	return text_is(text, "let") || text_is(text, "repeat") || text_is(text, "end");
}

static bool parse_let(struct parser *parser, struct text line)
{
	struct text name, text, more;

	if (parser->program->call_count || parser->in_repeat)
		return refuse(parser, "expected let lines before all others", line);
	if (!next_token(&line, &name) || !next_token(&line, &text) || next_token(&line, &more) || !is_name(name) ||
	    text.end - text.at > MAX_PATH)
		return refuse(parser, "expected let NAME TEXT", line);
	if (find_let(parser, name))
		return refuse(parser, "expected each let once", name);
	if (parser->let_count == MAX_LETS)
		return refuse(parser, "expected at most 256 lets", name);
	parser->lets[parser->let_count++] =
		(struct let){ copy_text(parser, name), copy_text(parser, text), text.end - text.at };
	return true;
}

static bool parse_repeat(struct parser *parser, struct text line)
{
	struct program *program = parser->program;
	struct text count, more;
	uint64_t number;

	if (parser->in_repeat)
		return refuse(parser, "expected end: repeats do not nest", (struct text){ 0 });
	if (!next_token(&line, &count) || next_token(&line, &more) || !read_number(count, &number) || !number ||
	    number > MAX_ITERATIONS)
		return refuse(parser, "expected repeat and a count of 1 to 1048576", line);
	if (program->repeat_count == parser->repeat_room) {
		uint32_t room = parser->repeat_room ? 2 * parser->repeat_room : 16;
		struct repeat *repeats = realloc(program->repeats, room * sizeof(*repeats));

		if (!repeats)
			return refuse(parser, no_memory, line);
		program->repeats = repeats;
		parser->repeat_room = room;
	}
	program->repeats[program->repeat_count++] = (struct repeat){ program->call_count, 0, number };
	parser->in_repeat = true;
	parser->kept = 0;
	return true;
}

static bool parse_end(struct parser *parser, struct text line)
{
	struct program *program = parser->program;
	struct text more;
	struct repeat *repeat;

	if (!parser->in_repeat || next_token(&line, &more))
		return refuse(parser, "expected end alone, after repeat", line);
	repeat = &program->repeats[program->repeat_count - 1];
	repeat->calls = program->call_count - repeat->first;
	if (!repeat->calls)
		return refuse(parser, "expected a call within repeat", line);
	parser->in_repeat = false;
	return true;
}

static int operation_named(struct text text)
{
	size_t length = text.end - text.at;

	for (int op = 0; op < OP_COUNT; op++)
		if (operations[op].length == length && !memcmp(operations[op].name, text.at, length))
			return op;
	return -1;
}

/* The name that a call makes, if it makes one: taken in when all of its line is read, so that it cannot use it itself. */
struct making {
	enum thing thing;
	struct text name;
	union value *value;
};

static bool makes(enum kind kind, enum thing *thing)
{
	switch (kind) {
	case KIND_newactor:
		*thing = THING_ACTOR;
		return true;
	case KIND_newfd:
		*thing = THING_FD;
		return true;
	case KIND_newmem:
		*thing = THING_MEM;
		return true;
	default:
		return false;
	}
}

static bool parse_param(struct parser *parser, const struct param *param, struct text text, union value *value,
			struct making *making)
{
	enum thing thing;

	if (!makes(param->kind, &thing))
		return parse_value(parser, param, text, value);
	if (!is_name(text) || (thing == THING_ACTOR && is_keyword(text)))
		return refuse(parser, "expected a name ([a-z][a-z0-9_-]{0,30}, no keyword)", text);
	*making = (struct making){ thing, text, value };
	return true;
}

static bool take_name(struct parser *parser, int actor, const struct making *making)
{
	uint8_t *own = parser->own[actor][making->thing];
	int name = make_name(parser, making->thing, making->name);

	making->value->name = name;
	if (name < 0)
		return refuse(parser, "expected at most 16 actors", making->name);
	if (own[name / 8] >> name % 8 & 1)
		return true;
	own[name / 8] |= 1 << name % 8;
	if (++parser->own_count[actor][making->thing] > MAX_OWN_NAMES)
		return refuse(parser, "expected at most 256 names a kind and actor", making->name);
	return true;
}

static bool parse_option(struct parser *parser, const struct operation *operation, struct text token,
			 struct call *call, union value *values, struct making *making)
{
	const char *equals = memchr(token.at, '=', token.end - token.at);
	struct text name = { token.at, equals ? equals : token.at };

	for (int i = operation->required; i < operation->params; i++) {
		if (!text_is(name, operation->param[i].name))
			continue;
		if (given(call, i))
			return refuse(parser, "expected each option once", token);
		call->given |= 1 << i;
		return parse_param(parser, &operation->param[i], (struct text){ equals + 1, token.end }, &values[i],
				   making);
	}
	return refuse(parser, "expected the end of the line, or an option of the operation", token);
}

/* How many bytes a call may put out. */
static uint64_t output_of(const struct call *call)
{
	switch (call->op) {
	case OP_ioctl:
		return call->value[2].arg->kind == ARG_INLINE ? call->value[2].arg->bytes.size : 0;
	case OP_read:
	case OP_pread:
		return num(call, 2);
	case OP_hash:
		return 8;
	case OP_cat:
		return MAX_CAT;
	default:
		return 0;
	}
}

static void keep_output(struct parser *parser, struct call *call)
{
	uint64_t size = (output_of(call) + 7) & ~7ull;

	if (size > MAX_KEPT || size > MAX_KEPT_TOTAL - parser->kept)
		return;
	call->keep_at = parser->kept;
	call->keep_room = size;
	parser->kept += size;
}

static bool add_call(struct parser *parser, struct call *call)
{
	struct program *program = parser->program;

	if (program->call_count == MAX_CALLS)
		return refuse(parser, "expected at most 65536 calls", (struct text){ 0 });
	if (program->call_count == parser->call_room) {
		uint32_t room = parser->call_room ? 2 * parser->call_room : 64;
		struct call *calls = realloc(program->calls, room * sizeof(*calls));

		if (!calls)
			return refuse(parser, no_memory, (struct text){ 0 });
		program->calls = calls;
		parser->call_room = room;
	}
	if (parser->in_repeat) {
		const struct repeat *repeat = &program->repeats[program->repeat_count - 1];

		call->repeat = program->repeat_count - 1;
		keep_output(parser, call);
		if (program->call_count > repeat->first && program->calls[repeat->first].actor != call->actor)
			return refuse(parser, "expected the same actor in all of a repeat", (struct text){ 0 });
	}
	program->has_exec |= call->op == OP_exec;
	program->has_send |= call->op == OP_send;
	program->calls[program->call_count++] = *call;
	return true;
}

static bool parse_call(struct parser *parser, struct text actor_name, struct text line)
{
	struct call call = { .repeat = -1 };
	struct making making = { .value = NULL };
	const struct operation *operation;
	int actor = find_name(parser, THING_ACTOR, actor_name);
	union value *values;
	struct text token;
	int op;

	if (actor < 0)
		return refuse(parser, "expected let, repeat, end, or an actor that an earlier line makes", actor_name);
	if (!next_token(&line, &token))
		return refuse(parser, "expected an operation", line);
	op = operation_named(token);
	if (op < 0)
		return refuse(parser, "expected an operation of ops.def", token);
	operation = &operations[op];
	values = arena_take(&parser->program->arena, operation->params * sizeof(*values));
	call.op = op;
	call.actor = actor;
	call.value = values;
	for (int i = 0; i < operation->required; i++) {
		char wrong[64];

		if (!next_token(&line, &token)) {
			snprintf(wrong, sizeof(wrong), "expected %s of %s", operation->param[i].name, operation->name);
			return refuse(parser, wrong, line);
		}
		call.given |= 1 << i;
		if (!parse_param(parser, &operation->param[i], token, &values[i], &making))
			return false;
	}
	while (next_token(&line, &token))
		if (!parse_option(parser, operation, token, &call, values, &making))
			return false;
	if (making.value && !take_name(parser, actor, &making))
		return false;
	return add_call(parser, &call);
}

static bool parse_line(struct parser *parser, struct text line)
{
	struct text word;

	while (line.at < line.end && is_blank(*line.at))
		line.at++;
	if (line.at == line.end || *line.at == '#')
		return true;
	for (const char *c = line.at; c < line.end; c++)
		if ((*c < 0x20 || *c > 0x7e) && *c != '\t')
			return refuse(parser, "expected printable ASCII", (struct text){ c, c + 1 });
	next_token(&line, &word);
	if (text_is(word, "let"))
		return parse_let(parser, line);
	if (text_is(word, "repeat"))
		return parse_repeat(parser, line);
	if (text_is(word, "end"))
		return parse_end(parser, line);
	return parse_call(parser, word, line);
}

static bool parse_lines(struct parser *parser, struct text text)
{
	while (text.at < text.end) {
		const char *newline = memchr(text.at, '\n', text.end - text.at);
		struct text line = { text.at, newline ? newline : text.end };

		parser->refusal->line++;
		if (line.end - line.at > MAX_LINE)
			return refuse(parser, "expected at most 131072 bytes a line", (struct text){ 0 });
		if (!parse_line(parser, line))
			return false;
		text.at = newline ? newline + 1 : text.end;
	}
	parser->refusal->line++;
	return !parser->in_repeat || refuse(parser, "expected end of a repeat", (struct text){ 0 });
}

/* Names outlive the parser. */
static const char **keep_names(struct parser *parser, enum thing thing, int *count)
{
	const struct names *names = &parser->names[thing];
	const char **kept = arena_take(&parser->program->arena, names->count * sizeof(*kept));

	*count = names->count;
	memcpy(kept, names->name, names->count * sizeof(*kept));
	return kept;
}

bool program_parse(struct program *program, const char *text, size_t size, struct refusal *refusal)
{
	static const char main_actor[] = "main";
	struct parser *parser = calloc(1, sizeof(*parser));
	bool good = false;

	*program = (struct program){ 0 };
	*refusal = (struct refusal){ 0 };
	if (!parser) {
		snprintf(refusal->text, sizeof(refusal->text), "%s", no_memory);
		return false;
	}
	parser->program = program;
	parser->refusal = refusal;
	make_name(parser, THING_ACTOR, (struct text){ main_actor, main_actor + 4 });
	if (size > MAX_TEXT)
		refuse(parser, "expected at most 8388608 bytes of text", (struct text){ 0 });
	else
		good = parse_lines(parser, (struct text){ text, text + size });
	if (good) {
		program->actors = keep_names(parser, THING_ACTOR, &program->actor_count);
		program->fds = keep_names(parser, THING_FD, &program->fd_count);
		program->mems = keep_names(parser, THING_MEM, &program->mem_count);
	} else {
		program_free(program);
	}
	free(parser->items);
	free(parser);
	return good;
}

void program_free(struct program *program)
{
	arena_free(&program->arena);
	free(program->calls);
	free(program->repeats);
	*program = (struct program){ 0 };
}
