// SPDX-License-Identifier: Apache-2.0
/* ops.def at run time: its lines taken apart, and its hash. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

/* The file itself is linked in, so that the hash is that of the very lines this was compiled from. */
__asm__(".section .rodata\n"
	".globl ops_def_begin\n"
	"ops_def_begin: .incbin \"ops.def\"\n"
	".globl ops_def_end\n"
	"ops_def_end:\n"
	".previous\n");
extern const char ops_def_begin[], ops_def_end[];

static const struct {
	const char *name;
	const char *parameters;
} lines[OP_COUNT] = {
#define OP(name, parameters, observes) { #name, parameters },
#include "ops.def"
#undef OP
};

static const char *const kinds[] = {
	[KIND_actor] = "actor", [KIND_newactor] = "newactor", [KIND_fd] = "fd",	      [KIND_newfd] = "newfd",
	[KIND_mem] = "mem",	[KIND_newmem] = "newmem",     [KIND_num] = "num",     [KIND_place] = "place",
	[KIND_arg] = "arg",	[KIND_bytes] = "bytes",	      [KIND_path] = "path",   [KIND_word] = "word",
};

static const char *const flags[] = { "rw", "r", "w", NULL };
static const char *const share[] = { "private", "shared", NULL };
static const char *const prot[] = { "none", "r", "w", "rw", NULL };
static const char *const capability[] = {
	"ipc_lock", "sys_admin", "sys_rawio", "sys_resource", "dac_override", "all", NULL,
};
/* Test modules of the project: nothing else can be named. */
const char *const test_modules[] = { "vfio_emulated", "iova_bitmap_test", "mediator_test", NULL };
static const char *const resource[] = { "memlock", "nofile", "as", "data", NULL };

static const struct {
	const char *param;
	const char *const *words;
} word_lists[] = {
	{ "flags", flags },	      { "share", share },	{ "prot", prot },
	{ "capability", capability }, { "resource", resource }, { "module", test_modules },
};

/* Bounds of numbers that are known before anything runs. */
static const struct {
	enum op op;
	const char *param;
	uint64_t max;
	enum form form;
} rules[] = {
	{ OP_exit, "status", 255, FORM_any },
	{ OP_user, "uid", UINT32_MAX - 1, FORM_any },
	{ OP_mem, "size", MAX_MEMORY, FORM_any },
	{ OP_mem, "offset", MAX_LEAD, FORM_any },
	{ OP_mem, "huge", MAX_MEMORY, FORM_power },
	{ OP_mem, "align", MAX_MEMORY, FORM_power },
	{ OP_mem, "guard", 1, FORM_any },
	{ OP_map, "size", MAX_MEMORY, FORM_any },
	{ OP_map, "align", MAX_MEMORY, FORM_power },
	{ OP_protect, "size", MAX_MEMORY, FORM_any },
	{ OP_unmap, "size", MAX_MEMORY, FORM_any },
	{ OP_fill, "size", MAX_MEMORY, FORM_any },
	{ OP_fill, "byte", 255, FORM_any },
	{ OP_read, "size", MAX_DATA, FORM_any },
	{ OP_hash, "size", MAX_MEMORY, FORM_any },
	{ OP_peek, "width", 8, FORM_width },
	{ OP_poke, "width", 8, FORM_width },
	{ OP_await, "width", 8, FORM_width },
	{ OP_await, "timeout_ms", MAX_AWAIT_MS, FORM_any },
	{ OP_memfd, "huge", MAX_MEMORY, FORM_power },
	{ OP_pread, "size", MAX_DATA, FORM_any },
	{ OP_readfd, "size", MAX_DATA, FORM_any },
	{ OP_writefd, "size", MAX_DATA, FORM_any },
	{ OP_poll, "events", INT16_MAX, FORM_any },
	{ OP_ioctl, "request", UINT32_MAX, FORM_any },
	{ OP_ioctl, "at", MAX_INLINE - sizeof(int32_t), FORM_any },
};

struct operation operations[OP_COUNT];

uint64_t fnv1a64(uint64_t hash, const void *bytes, size_t size)
{
	const uint8_t *byte = bytes;

	while (size--)
		hash = (hash ^ *byte++) * 0x100000001b3ull;
	return hash;
}

uint64_t ops_hash(void)
{
	return fnv1a64(FNV1A64_START, ops_def_begin, ops_def_end - ops_def_begin);
}

static int kind_named(const char *name, size_t length)
{
	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++)
		if (strlen(kinds[kind]) == length && !memcmp(kinds[kind], name, length))
			return kind;
	/* The table is ours: a kind that nobody knows is a defect that the first start shows. */
	abort();
}

static void take_apart(struct operation *operation, const char *text)
{
	while (*text) {
		struct param *param = &operation->param[operation->params];
		size_t name = strcspn(text, "?:");
		size_t kind;

		if (operation->params++ == MAX_PARAMS || name >= sizeof(param->name))
			abort();
		memcpy(param->name, text, name);
		text += name;
		param->optional = *text == '?';
		text += param->optional ? 2 : 1;
		kind = strcspn(text, " ");
		param->kind = kind_named(text, kind);
		text += kind + strspn(text + kind, " ");
		param->max = UINT64_MAX;
		if (!param->optional)
			operation->required = operation->params;
	}
}

static struct param *param_named(struct operation *operation, const char *name)
{
	for (int i = 0; i < operation->params; i++)
		if (!strcmp(operation->param[i].name, name))
			return &operation->param[i];
	return NULL;
}

static void set_words(struct operation *operation)
{
	for (size_t i = 0; i < sizeof(word_lists) / sizeof(word_lists[0]); i++) {
		struct param *param = param_named(operation, word_lists[i].param);

		if (param && param->kind == KIND_word)
			param->words = word_lists[i].words;
	}
}

static void set_rules(void)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct param *param = param_named(&operations[rules[i].op], rules[i].param);

		if (!param || param->kind != KIND_num)
			abort();
		param->max = rules[i].max;
		param->form = rules[i].form;
	}
}

void ops_init(void)
{
	if (operations[0].name)
		return;
	for (int op = 0; op < OP_COUNT; op++) {
		operations[op].name = lines[op].name;
		operations[op].length = strlen(lines[op].name);
		take_apart(&operations[op], lines[op].parameters);
		set_words(&operations[op]);
	}
	set_rules();
}
