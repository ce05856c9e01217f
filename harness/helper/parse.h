/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the parser share: parse.c reads lines, values.c the parameters on them. */
#ifndef VFIO_CONFORM_PARSE_H
#define VFIO_CONFORM_PARSE_H

#include "program.h"

/* A piece of the program's text. */
struct text {
	const char *at;
	const char *end;
};

#define NAME_SLOTS (2 * MAX_NAMES)

/* Names by number, and numbers by name. */
struct names {
	const char *name[MAX_NAMES];
	int count;
	/* 1 + number, or 0. */
	uint16_t slots[NAME_SLOTS];
};

enum thing { THING_ACTOR, THING_FD, THING_MEM, THING_COUNT };

struct let {
	const char *name;
	const char *text;
	uint32_t length;
};

struct parser {
	struct program *program;
	struct refusal *refusal;
	struct names names[THING_COUNT];
	struct let lets[MAX_LETS];
	int let_count;
	/* How many names each actor has made, and which. */
	uint16_t own_count[MAX_ACTORS][THING_COUNT];
	uint8_t own[MAX_ACTORS][THING_COUNT][MAX_NAMES / 8];
	uint32_t call_room;
	uint32_t repeat_room;
	bool in_repeat;
	uint32_t kept;
	/* Items of an argument that is made of several segments, while it is put together. */
	struct item *items;
	uint32_t item_count;
	uint32_t item_room;
};

/* Says why the program is refused, with the text it is about (may be empty). Always false. */
bool refuse(struct parser *parser, const char *wrong, struct text about);

/* tokens.c */
bool is_blank(char c);
/* A token is what stands between blanks; one that begins with [ goes on to the ], blanks included. */
bool next_token(struct text *line, struct text *token);
bool text_is(struct text text, const char *word);
bool is_name(struct text text);
bool read_number(struct text text, uint64_t *number);

/* scope.c: the number of a name, or -1 when no line has made it. */
int find_name(struct parser *parser, enum thing thing, struct text text);
/* The number of a name that this line makes; -1 when there are too many. */
int make_name(struct parser *parser, enum thing thing, struct text text);
const struct let *find_let(struct parser *parser, struct text name);
char *copy_text(struct parser *parser, struct text text);

/* values.c: reads a parameter of any kind but those that make a name. */
bool parse_value(struct parser *parser, const struct param *param, struct text text, union value *value);

#endif
