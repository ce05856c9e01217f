// SPDX-License-Identifier: Apache-2.0
/* Any text is a program or refused with a line and a reason; what a program says lies within its bounds. */
#include <stdlib.h>
#include <string.h>

#include "../program.h"

#define REQUIRE(condition)       \
	do {                     \
		if (!(condition)) \
			abort();  \
	} while (0)

static void check_place(const struct program *program, const struct place *place)
{
	REQUIRE(place->mem >= -1 && place->mem < program->mem_count);
}

static void check_bytes(const struct bytes *bytes, uint32_t max)
{
	uint64_t size = 0;
	uint8_t *expanded;

	for (uint32_t i = 0; i < bytes->count; i++)
		size += (uint64_t)bytes->items[i].length * bytes->items[i].count;
	REQUIRE(size == bytes->size && size <= max);
	if (size > 1 << 16)
		return;
	expanded = malloc(size + 1);
	REQUIRE(expanded);
	bytes_expand(bytes, expanded);
	free(expanded);
}

static void check_arg(const struct program *program, const struct arg *arg)
{
	if (arg->kind == ARG_PLACE)
		check_place(program, &arg->place);
	if (arg->kind != ARG_INLINE)
		return;
	check_bytes(&arg->bytes, MAX_INLINE);
	for (uint32_t i = 0; i < arg->patches; i++) {
		const struct patch *patch = &arg->patch[i];

		REQUIRE(patch->at + (patch->kind == PATCH_FD ? 4ull : 8ull) <= arg->bytes.size);
		if (patch->kind == PATCH_POINTER)
			check_place(program, &patch->place);
		if (patch->kind == PATCH_FD)
			REQUIRE(patch->fd >= 0 && patch->fd < program->fd_count);
	}
}

static void check_value(const struct program *program, const struct param *param, const union value *value)
{
	switch ((enum kind)param->kind) {
	case KIND_actor:
	case KIND_newactor:
		REQUIRE(value->name >= 0 && value->name < program->actor_count);
		break;
	case KIND_fd:
	case KIND_newfd:
		REQUIRE(value->name >= 0 && value->name < program->fd_count);
		break;
	case KIND_mem:
	case KIND_newmem:
		REQUIRE(value->name >= 0 && value->name < program->mem_count);
		break;
	case KIND_num:
		REQUIRE(value->num <= param->max);
		break;
	case KIND_place:
		check_place(program, value->place);
		break;
	case KIND_arg:
		check_arg(program, value->arg);
		break;
	case KIND_bytes:
		check_bytes(value->bytes, MAX_DATA);
		break;
	case KIND_path:
		REQUIRE(value->text[0] == '/' && strlen(value->text) <= MAX_PATH);
		break;
	case KIND_word:
		REQUIRE(param->words || strlen(value->text) <= MAX_NAME);
		break;
	}
}

static void check(const struct program *program)
{
	REQUIRE(program->call_count <= MAX_CALLS && program->actor_count <= MAX_ACTORS);
	for (uint32_t i = 0; i < program->call_count; i++) {
		const struct call *call = &program->calls[i];
		const struct operation *operation = &operations[call->op];

		REQUIRE(call->actor < program->actor_count);
		REQUIRE(call->repeat < (int32_t)program->repeat_count);
		REQUIRE(call->keep_at + call->keep_room <= MAX_KEPT_TOTAL);
		for (int p = 0; p < operation->params; p++) {
			REQUIRE(p >= operation->required || given(call, p));
			if (given(call, p))
				check_value(program, &operation->param[p], &call->value[p]);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct program program;
	struct refusal refusal;

	ops_init();
	if (program_parse(&program, (const char *)data, size, &refusal)) {
		check(&program);
		program_free(&program);
	} else {
		REQUIRE(refusal.line >= 1 && refusal.text[0]);
		for (const char *c = refusal.text; *c; c++)
			REQUIRE(*c >= 0x20 && *c <= 0x7e);
	}
	return 0;
}
