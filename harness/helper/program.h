/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program in memory: what parse.c makes of its text (docs/program-format.md). Nothing here knows how steps are
 * carried out, so that the parser can be tested and fuzzed alone.
 */
#ifndef VFIO_CONFORM_PROGRAM_H
#define VFIO_CONFORM_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds of the format. A program beyond them is refused whole. */
#define MAX_TEXT (8u << 20)
#define MAX_LINE (128u << 10)
#define MAX_CALLS 65536u
#define MAX_ITERATIONS 1048576u
#define MAX_ACTORS 16
#define MAX_LETS 256
#define MAX_OWN_NAMES 256
#define MAX_NAMES (MAX_ACTORS * MAX_OWN_NAMES)
#define MAX_NAME 31
#define MAX_PATH 4095
#define MAX_INLINE (1u << 20)
#define MAX_DATA (64u << 20)
#define MAX_MEMORY (1ull << 40)
/* How far from the start of its first page a memory may begin. */
#define MAX_LEAD (1u << 20)
#define MAX_PARAMS 9
/* Outputs in a repeat are kept for comparison up to these sizes; what is larger is reported each time. */
#define MAX_KEPT (64u << 10)
#define MAX_KEPT_TOTAL (16u << 20)
#define MAX_CAT 4096u
#define MAX_AWAIT_MS 3600000u

enum op {
#define OP(name, parameters, observes) OP_##name,
#include "ops.def"
#undef OP
	OP_COUNT
};

enum kind {
	KIND_actor,
	KIND_newactor,
	KIND_fd,
	KIND_newfd,
	KIND_mem,
	KIND_newmem,
	KIND_num,
	KIND_place,
	KIND_arg,
	KIND_bytes,
	KIND_path,
	KIND_word,
};

/* What a number must be, beside at most `max`. */
enum form { FORM_any, FORM_power, FORM_width };

struct param {
	char name[16];
	uint8_t kind;
	bool optional;
	uint8_t form;
	uint64_t max;
	/* The words it takes, NULL behind the last; a value is then the word's place in the list. NULL: any word. */
	const char *const *words;
};

/* The lists of words, in the order of ops.c. */
enum { FLAGS_rw, FLAGS_r, FLAGS_w };
enum { SHARE_private, SHARE_shared };
enum { PROT_none, PROT_r, PROT_w, PROT_rw };
/* The words of unload, in their order. */
extern const char *const test_modules[];

enum { CAP_ipc_lock, CAP_sys_admin, CAP_sys_rawio, CAP_sys_resource, CAP_dac_override, CAP_all };
enum { RESOURCE_memlock, RESOURCE_nofile, RESOURCE_as, RESOURCE_data };

/* A line of ops.def, taken apart once at start (ops.c). Options stand behind what every call has. */
struct operation {
	const char *name;
	size_t length;
	int required;
	int params;
	struct param param[MAX_PARAMS];
};

extern struct operation operations[OP_COUNT];
void ops_init(void);
/* FNV-1a 64 of ops.def as it was when this was compiled: what the handshake compares. */
uint64_t ops_hash(void);

uint64_t fnv1a64(uint64_t hash, const void *bytes, size_t size);
#define FNV1A64_START 0xcbf29ce484222325ull

/* Memory that is given back all at once. */
struct arena {
	struct chunk *chunks;
	size_t left;
	char *next;
};

/* Never returns NULL: a helper without memory leaves with a message. Zeroed, aligned for anything. */
void *arena_take(struct arena *arena, size_t size);
void arena_free(struct arena *arena);

/* Bytes as items, not expanded: a few characters of text can stand for 64 MiB. */
struct item {
	const uint8_t *data;
	uint32_t length;
	uint32_t count;
};

struct bytes {
	uint32_t size;
	uint32_t count;
	const struct item *items;
};

/* Reads the bytes form; at most `max` bytes. NULL, or what is wrong with the text. */
const char *bytes_parse(struct arena *arena, const char *text, size_t length, uint32_t max, struct bytes *bytes);
/* Writes `bytes->size` bytes. */
void bytes_expand(const struct bytes *bytes, uint8_t *to);
/* The text of bytes, and where it ends; at most BYTES_TEXT(size) characters. */
char *bytes_print(char *to, const uint8_t *bytes, size_t size);
#define BYTES_TEXT(size) (((size) + 7) / 8 * 17 + 32)

/* An address: an offset in a named memory, or a number (`mem` is then -1). */
struct place {
	int32_t mem;
	uint64_t offset;
};

enum patch_kind { PATCH_POINTER, PATCH_FD, PATCH_STRIDE };

struct patch {
	enum patch_kind kind;
	uint32_t at;
	union {
		struct place place;
		int32_t fd;
		uint64_t stride;
	};
};

enum arg_kind { ARG_VALUE, ARG_PLACE, ARG_INLINE };

struct arg {
	enum arg_kind kind;
	uint32_t patches;
	const struct patch *patch;
	union {
		uint64_t value;
		struct place place;
		struct bytes bytes;
	};
};

/* A parameter. Names are numbers: of an actor, or of a descriptor's or a memory's name among all of the program. */
union value {
	uint64_t num;
	int32_t name;
	const struct place *place;
	const struct arg *arg;
	const struct bytes *bytes;
	const char *text;
};

struct call {
	uint8_t op;
	uint8_t actor;
	/* One bit for each parameter that was given. */
	uint16_t given;
	/* The repeat it stands in, or -1. */
	int32_t repeat;
	const union value *value;
	/* In a repeat: where an output is kept while it repeats itself, and how many bytes of room that is. */
	uint32_t keep_at;
	uint32_t keep_room;
};

struct repeat {
	uint32_t first;
	uint32_t calls;
	uint32_t count;
};

struct program {
	struct arena arena;
	struct call *calls;
	uint32_t call_count;
	struct repeat *repeats;
	uint32_t repeat_count;
	/* Names by number: main is actor 0. */
	const char **actors;
	int actor_count;
	const char **fds;
	int fd_count;
	const char **mems;
	int mem_count;
	/* What the steps need beforehand. */
	bool has_exec;
	bool has_send;
};

/* Why a program was refused: the line, from 1, and one line of text. */
struct refusal {
	uint32_t line;
	char text[200];
};

/* Parses and checks a whole program; false with the refusal filled in, and nothing left to free, when it is none. */
bool program_parse(struct program *program, const char *text, size_t size, struct refusal *refusal);
void program_free(struct program *program);

/* Whether the call has that parameter (options may be absent). */
static inline bool given(const struct call *call, int index)
{
	return call->given >> index & 1;
}

static inline uint64_t num(const struct call *call, int index)
{
	return call->value[index].num;
}

static inline uint64_t num_or(const struct call *call, int index, uint64_t otherwise)
{
	return given(call, index) ? call->value[index].num : otherwise;
}

/* What follows leaves text for people: bytes outside 0x20..0x7e and backslashes as \xNN. At most 4 characters a byte. */
char *escape(char *to, const char *text, size_t length);

#endif
