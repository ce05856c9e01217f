// SPDX-License-Identifier: Apache-2.0
/* A line's smallest parts: tokens, names and numbers; and how a text is refused. */
#include <stdio.h>
#include <string.h>

#include "parse.h"

bool refuse(struct parser *parser, const char *wrong, struct text about)
{
	size_t length = about.end - about.at;
	char shown[4 * 24 + 4];
	char *end = escape(shown, about.at, length < 24 ? length : 24);

	if (length > 24) {
		memcpy(end, "...", 3);
		end += 3;
	}
	*end = 0;
	snprintf(parser->refusal->text, sizeof(parser->refusal->text), length ? "%s, found \"%s\"" : "%s", wrong, shown);
	return false;
}

bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool next_token(struct text *line, struct text *token)
{
	const char *close;

	while (line->at < line->end && is_blank(*line->at))
		line->at++;
	if (line->at == line->end)
		return false;
	token->at = line->at;
	close = *line->at == '[' ? memchr(line->at, ']', line->end - line->at) : NULL;
	if (close)
		line->at = close;
	while (line->at < line->end && !is_blank(*line->at))
		line->at++;
	token->end = line->at;
	return true;
}

bool text_is(struct text text, const char *word)
{
	size_t length = text.end - text.at;

	return strlen(word) == length && !memcmp(text.at, word, length);
}

bool is_name(struct text text)
{
	if (text.end - text.at < 1 || text.end - text.at > MAX_NAME)
		return false;
	for (const char *c = text.at; c < text.end; c++) {
		bool letter = *c >= 'a' && *c <= 'z';

		if (!letter && (c == text.at || (*c != '_' && *c != '-' && (*c < '0' || *c > '9'))))
			return false;
	}
	return true;
}

static bool read_hex(const char *at, const char *end, uint64_t *number)
{
	if (at == end || end - at > 16)
		return false;
	for (*number = 0; at < end; at++) {
		int digit = *at >= '0' && *at <= '9' ? *at - '0' :
			    *at >= 'a' && *at <= 'f' ? *at - 'a' + 10 :
			    *at >= 'A' && *at <= 'F' ? *at - 'A' + 10 :
						       -1;

		if (digit < 0)
			return false;
		*number = *number << 4 | digit;
	}
	return true;
}

bool read_number(struct text text, uint64_t *number)
{
	const char *at = text.at;

	if (text.end - at > 2 && at[0] == '0' && at[1] == 'x')
		return read_hex(at + 2, text.end, number);
	if (at == text.end || text.end - at > 20)
		return false;
	for (*number = 0; at < text.end; at++) {
		if (*at < '0' || *at > '9' || __builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, *at - '0', number))
			return false;
	}
	return true;
}
