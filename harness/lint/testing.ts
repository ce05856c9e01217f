import { revisionNamed } from '../revisions/index.ts';
import { lint } from './index.ts';

export const BASE = revisionNamed('linux-6.1');

/** `clause: text` of each finding, the room left out. */
export const findingsIn = (text: string, name = 'a.h', revision = BASE): readonly string[] =>
  lint(text, name, revision).findings.map(({ clause, text: said }) => `${clause.id.replace('lint/', '')}: ${said}`);

/** The clauses that a header breaks, in alphabetical order. */
export const broken = (text: string): readonly string[] =>
  [...new Set(lint(text, 'a.h', BASE).findings.map(({ clause }) => clause.id.replace('lint/', '')))].sort();
