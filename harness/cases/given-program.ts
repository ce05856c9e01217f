import type { Platform, PlatformGroup } from '../program/platform.ts';
import type { Program } from '../program/step.ts';
import type { Case } from './case.ts';

/* Programs that somebody wrote, and that belong to no suite. */

/** What they are named by, in place of a clause. */
export const GIVEN = 'program/given';

/** A program as a case that expects nothing of its own: the model alone says what must follow. The host's `let`s take the place of its own. */
export const givenCase = (title: string, { steps }: Pick<Program, 'steps'>): Case => ({
  id: `${GIVEN}: ${title}`,
  clause: GIVEN,
  title,
  steps,
  expectations: [],
  needs: [],
});

/**
 * The platform of a machine that is known by a program's `let`s alone: the groups and devices that they name, at the places
 * that they give, and otherwise `like` another. Without any, that platform as it is.
 */
export const platformOf = ({ lets }: Pick<Program, 'lets'>, like: Platform): Platform => {
  if (Object.keys(lets).length === 0) return like;
  return { ...like, groups: like.groups.filter(({ name }) => name in lets).map((group) => asNamed(group, lets)) };
};

const asNamed = (group: PlatformGroup, lets: Program['lets']): PlatformGroup => ({
  ...group,
  path: lets[group.name] ?? group.path,
  devices: group.devices.map(({ cdev: _, ...device }) => {
    const cdev = lets[`${device.name}-cdev`];
    return { ...device, address: lets[device.name] ?? device.address, ...(cdev === undefined ? {} : { cdev }) };
  }),
});
