/** A piece of HTML that is known to be well formed: text from anywhere becomes one only by being escaped. */
export interface Markup {
  readonly markup: string;
}

type Value = string | number | Markup | readonly Markup[] | undefined;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escaped = (text: string): string => text.replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? '');

const written = (value: Value): string => {
  if (value === undefined) return '';
  if (typeof value === 'string' || typeof value === 'number') return escaped(String(value));
  return 'markup' in value ? value.markup : value.map(({ markup }) => markup).join('');
};

/** HTML from a template: whatever is put into it is escaped, unless it is markup already. Attributes stand in double quotes. */
export const html = (strings: TemplateStringsArray, ...values: readonly Value[]): Markup => ({
  markup: strings.reduce((text, part, index) => text + written(values[index - 1]) + part),
});

/** Markup that the project itself holds as text: its style sheet. */
export const verbatimMarkup = (markup: string): Markup => ({ markup });

/** An id for a link within the page, made of a text; nothing of it can leave the attribute. */
export const anchor = (kind: string, text: string): string => `${kind}-${text.replace(/[^A-Za-z0-9]+/g, '-')}`;
