import type { Clause } from '../../spec/clause.ts';
import type { Law } from '../law.ts';
import type { Iommu, Mapping, Pin } from './state.ts';

/** What a device without an IOMMU behind it did with neighbouring pages of a mapping: `count` of them, from page `first` of it on. */
export type Use = {
  readonly iommu: Iommu;
  readonly mapping: Mapping;
  readonly first: number;
  readonly count: number;
} & (
  | { readonly how: 'pinned'; readonly pin: Pin; readonly anew: boolean; readonly write: boolean }
  /** Another page of the same call could not be: none stays pinned. */
  | { readonly how: 'pinned in vain' }
  /** `partly`: a fault ended it part of the way, and these are the pages that it got to. */
  | { readonly how: 'written' | 'partly written' }
);

/** What is remembered of the use of pages, so that it can be told later. */
export interface Witness extends Clause {
  readonly kind: 'witness';
  readonly sees: (use: Use, self: Clause) => void;
}

export const witness = (stated: Omit<Witness, 'kind'>): Witness => ({ kind: 'witness', ...stated });

/** Tells all witnesses in force of a use. */
export const witnessed = (law: Law, use: Use): void => {
  for (const one of law.all<Witness>('witness')) one.sees(use, one);
};
